"""Problems without HTTP: their names, and lists of mistakes with what would have worked."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Item = dict[str, Any]
# `api.web.problem_types` has the text and the status of each.
ProblemName = Literal[
    "invalid-query",
    "invalid-cursor",
    "too-many-included",
    "invalid-json",
    "bad-request",
    "unauthorized",
    "forbidden",
    "not-found",
    "record-not-found",
    "method-not-allowed",
    "not-acceptable",
    "record-deleted",
    "cursor-diverged",
    "history-trimmed",
    "conflict",
    "precondition-failed",
    "request-timeout",
    "content-too-large",
    "uri-too-long",
    "unsupported-media-type",
    "invalid-body",
    "idempotency-mismatch",
    "precondition-required",
    "too-many-requests",
    "internal-error",
    "unavailable",
]
MAX_QUERY_STRING = 32_768
# Characters of a client's text, and of a JSON Pointer with such a text, that an answer repeats.
ECHO, MAX_POINTER = 80, 200
# Mistakes in a query that an answer lists, those in the body of a write, and those that `detail` repeats.
MAX_ERRORS, MAX_REFUSALS, MAX_SUMMARY = 20, 100, 10


class ProblemError(Exception):
    """Raised by any room to answer the request with a problem."""

    def __init__(
        self, name: ProblemName, detail: str, *errors: Item, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        """Take the ``errors`` of the answer, and ``members`` that only this type of problem has."""
        super().__init__(detail)
        self.headers = headers or {}
        self.name, self.detail, self.errors, self.members = name, detail, errors, members


def shorten(text: str, length: int = ECHO) -> str:
    """Return the beginning of a client's text, to repeat it in an answer; `?` stands for half of a surrogate pair."""
    beginning = text[:length].encode(errors="replace").decode()
    return beginning if len(text) <= length else beginning + "…"


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option that was probably meant; None if no option is similar."""
    matches = difflib.get_close_matches(word[:ECHO].lower(), list(options), n=1, cutoff=0.6)
    return matches[0] if matches else None


def error_item(  # noqa: PLR0913 - the members of an item
    parameter: str,
    code: str,
    detail: str,
    *,
    pointer: str | None = None,
    allowed: object = None,
    suggestion: str | None = None,
    records: Sequence[Item] | None = None,
) -> Item:
    """Return one item of ``errors``, with what would have worked and what was probably meant.

    A mistake in a body has a ``pointer`` and an empty ``parameter``. ``records`` are the ones that a change conflicts with.
    """
    item: Item = {"parameter": shorten(parameter)} if parameter or pointer is None else {}
    if pointer is not None:
        item["pointer"] = _within(pointer)
    item |= {"code": code, "detail": detail}
    if allowed is not None:
        item["allowed"] = allowed
    if suggestion:
        item |= {"detail": f"{detail.rstrip('.')}; did you mean `{suggestion}`?", "suggestion": suggestion}
    if records:
        item["records"] = records
    return item


def _within(pointer: str) -> str:
    """Return a JSON Pointer, or that of the nearest value around it if a client's name makes it too long to repeat."""
    while len(pointer) > MAX_POINTER:
        pointer = pointer.rpartition("/")[0]
    return pointer


class ErrorList(list[Item]):
    """The mistakes of a request, collected to be raised at once; it takes at most ``most`` of them."""

    def __init__(self, most: int = MAX_ERRORS) -> None:
        """Begin without a mistake."""
        super().__init__()
        self.most = most

    @property
    def full(self) -> bool:
        """Whether further mistakes would be dropped."""
        return len(self) >= self.most

    def add(self, parameter: str, code: str, detail: str, **more: Any) -> None:
        """Add a mistake; ``more`` are the further arguments of `error_item`."""
        if not self.full:
            self.append(error_item(parameter, code, detail, **more))

    def unknown(self, name: str, options: Iterable[str], what: str = "parameter", **place: Any) -> None:
        """Add that ``name`` is not one of the options; ``what`` is the kind of thing that they are."""
        if self.full:
            return
        names = list(options)
        self.add(
            place.pop("parameter", name),
            f"unknown-{what}",
            f"`{shorten(name)}` is not a {what} here.",
            allowed=names,
            suggestion=nearest(name, names),
            **place,
        )

    def raise_any(self, problem: ProblemName = "invalid-query") -> None:
        """Raise a ProblemError with the mistakes, if there are any."""
        if self:
            raise ProblemError(problem, " ".join(item["detail"] for item in self[:MAX_SUMMARY]), *self)
