"""Questions: texts of cells that can mean several things, or nothing that is known."""

from collections.abc import Sequence

from api.errors import shorten


class Question(Exception):  # noqa: N818 - it is no error of the program
    """Raised for a cell that is not read, with a sentence for its author."""


def ask(text: object, candidates: Sequence[str] = (), cure: str = "") -> Question:
    """Return the question which of some values a text means; without any, it is not known."""
    if len(candidates) > 1:
        meant = f"is it {', '.join(f'`{candidate}`' for candidate in candidates[:-1])} or `{candidates[-1]}`?"
    elif candidates:
        meant = f"is it `{candidates[0]}`?"
    else:
        meant = "is not understood."
    return Question(f"`{shorten(str(text))}`{':' if candidates else ''} {meant} {cure}".strip())
