"""What can go wrong, told without HTTP: a problem's name, what was wrong and what would have worked."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Item = dict[str, Any]
# Every kind of problem; `api.web.problem_types` has their texts and statuses.
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
ECHO = 80
# So many mistakes are told at once.
MAX_ERRORS = 20


class ProblemError(Exception):
    """Raised anywhere below a view to answer with a problem of the table."""

    def __init__(
        self, name: ProblemName, detail: str, *errors: Item, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        """``errors`` are the items of the member of that name; ``members`` are further members."""
        super().__init__(detail)
        self.headers = headers or {}
        self.name, self.detail, self.errors, self.members = name, detail, errors, members


def shorten(text: str, length: int = ECHO) -> str:
    """Cut what a caller sent, before it is repeated to them."""
    return text if len(text) <= length else text[:length] + "…"


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option that was probably meant, if any is near."""
    found = difflib.get_close_matches(word[:ECHO].lower(), list(options), n=1, cutoff=0.6)
    return found[0] if found else None


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

    ``parameter`` is empty, and ``pointer`` given, for what is wrong in a body; ``records`` are those in the way.
    """
    item: Item = {"parameter": shorten(parameter)} if parameter or pointer is None else {}
    if pointer is not None:
        item["pointer"] = shorten(pointer)
    item |= {"code": code, "detail": detail}
    if allowed is not None:
        item["allowed"] = allowed
    if suggestion:
        item |= {"detail": f"{detail.rstrip('.')}; did you mean `{suggestion}`?", "suggestion": suggestion}
    if records:
        item["records"] = records
    return item


class ErrorList(list[Item]):
    """Everything that is wrong with a request, to be said at once."""

    def __init__(self, most: int = MAX_ERRORS) -> None:
        """Keep so many: as many as anyone reads."""
        super().__init__()
        self.most = most

    @property
    def full(self) -> bool:
        """Whether there are so many that more would only be work."""
        return len(self) >= self.most

    def add(self, parameter: str, code: str, detail: str, **known: Any) -> None:
        """Add one thing."""
        if not self.full:
            self.append(error_item(parameter, code, detail, **known))

    def unknown(self, name: str, known: Iterable[str], what: str = "parameter", **place: Any) -> None:
        """Add that a name is none of ours."""
        if self.full:
            return
        names = list(known)
        self.add(
            place.pop("parameter", name),
            f"unknown-{what}",
            f"`{shorten(name)}` is not a {what} here.",
            allowed=names,
            suggestion=nearest(name, names),
            **place,
        )

    def raise_any(self, problem: ProblemName = "invalid-query") -> None:
        """Raise them, if there are any."""
        if self:
            raise ProblemError(problem, " ".join(item["detail"] for item in self[:10]), *self)
