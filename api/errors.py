"""Problems without HTTP: their names, and lists of mistakes with what would have worked."""

import difflib
import re
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
    "digest-replaced",
    "conflict",
    "precondition-failed",
    "request-timeout",
    "content-too-large",
    "uri-too-long",
    "unsupported-media-type",
    "range-not-satisfiable",
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
# Names that a list of what would have worked has; the others are behind its link.
MAX_NAMES = 10
# What other APIs call things, and the names here: the first one that a request can have is suggested.
ELSEWHERE: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("page", "offset", "skip", "start", "after", "before", "marker", "next", "token"), ("cursor",)),
    **dict.fromkeys(("per_page", "page_size", "size", "count", "top", "first", "max", "max_results", "rows", "n"), ("limit",)),
    **dict.fromkeys(("sort", "order", "order_by", "orderby", "ordering", "sort_by", "sortby"), ("sort", "order")),
    **dict.fromkeys(("search", "query", "keyword", "keywords", "term", "text", "s"), ("q", "filter")),
    **dict.fromkeys(("expand", "embed", "with", "populate", "join", "relations"), ("include",)),
    **dict.fromkeys(("select", "columns", "cols", "only", "properties", "attributes", "field"), ("fields",)),
    **dict.fromkeys(("group_by", "groupby", "group", "facet", "aggregate", "aggs"), ("facets",)),
    **dict.fromkeys(("where", "filters", "conditions"), ("filter",)),
    **dict.fromkeys(("total", "with_total", "include_total", "totals"), ("count",)),
    **dict.fromkeys(("highlight", "snippet", "snippets"), ("highlights",)),
    **dict.fromkeys(("version", "at", "asof", "timestamp", "time"), ("as_of", "at")),
    **dict.fromkeys(("type", "kind", "noun", "nouns"), ("kinds", "type")),
    **dict.fromkeys(("subject", "about", "record", "record_id"), ("subject_id",)),
    **dict.fromkeys(("from", "updated_since", "modified_since", "since_version"), ("since", "updated_at__gte")),
    **dict.fromkeys(("updated", "modified", "modified_at", "last_modified", "changed_at"), ("updated_at",)),
}
# What other APIs call operators, and the names here; equality has none.
OPERATORS_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("eq", "equals", "exact", "iexact", "is", "in", "any"), ""),
    **dict.fromkeys(("ne", "neq", "nin", "notin", "exclude"), "not"),
    **dict.fromkeys(("like", "ilike", "icontains", "regex", "iregex", "match", "matches"), "contains"),
    **dict.fromkeys(("istartswith", "prefix", "begins"), "startswith"),
    "after": "gt",
    "before": "lt",
    **dict.fromkeys(("ge", "min", "from", "since"), "gte"),
    **dict.fromkeys(("le", "max", "to", "until"), "lte"),
    **dict.fromkeys(("null", "is_null"), "isnull"),
}
NO_WORDS: Mapping[str, Sequence[str]] = {}
# Signs within a name, as of `rank!=1` and `rank>=1`, and of `rank>1`, which has no `=`.
SIGNS = {("!", False): "not", (">", False): "gte", ("<", False): "lte", (">", True): "gt", ("<", True): "lt"}
# What to do instead in a list, where no parameter does it.
INSTEAD = dict.fromkeys(
    ("format", "output", "alt"), "The format is a suffix of the path, as in `/cities.csv`, or the `Accept` header."
)
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


def meant(name: str, options: Iterable[str], nouns: Mapping[str, Sequence[str]] = NO_WORDS) -> str | None:
    """Return the name that a request probably meant: by other APIs' words, by the last part of a dotted name, or by likeness.

    `filter[state]`, `page[size]`, `rank[lte]` and `pageSize` are read as other APIs write them, and case does not matter.
    ``nouns`` has the names by the nouns of the records that they lead to.
    """
    names = {option.lower(): option for option in options}
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:ECHO]).lower()
    base, _, within = snake.removesuffix("]").partition("[")
    if family := {
        option.removeprefix(f"{base}[").removesuffix("]"): option for option in names if option.startswith(f"{base}[")
    }:
        return names.get(family.get(nearest(within, family) or "", base if not within else ""))
    names = {lower: option for lower, option in names.items() if "[" not in lower}
    if filter := _filter_elsewhere(snake, names):
        return filter
    parts = re.findall(r"\w+", snake)[-2:]
    ours = [f"{here}.{parts[-1]}" for here in nouns.get(parts[0], ())] if len(parts) > 1 else []
    for word in ["__".join(parts), ".".join(parts), *ours, *reversed(parts)]:
        below = [option for option in names.values() if option.startswith(f"{word}.")]
        # The last part is unknown: a name that continues in a similar way is better than the first part by itself.
        if len(parts) > 1 and word == parts[0] and (near := nearest(name, below)):
            return near
        base, *operator = word.split("__")
        elsewhere = (*ELSEWHERE.get(base, ()), *nouns.get(base, ()))
        for known in (word, *("__".join((here, *operator)) for here in elsewhere)):
            if known in names:
                return names[known]
        ends = [option for option in names.values() if option.rpartition(".")[2] == word]
        # A name that only continues ours is better than one that looks like it.
        if longer := ends or (below if len(parts) == 1 else []):
            return min(longer, key=lambda option: (option.count("."), len(option), option))
    # A likeness of letters must not turn a filter into its opposite.
    return nearest(snake, [option for option in names.values() if "__" not in option])


def _filter_elsewhere(name: str, names: Mapping[str, str]) -> str | None:
    """Return the filter that a name means which has an operator of another API, or one that is unknown."""
    sign = re.fullmatch(r"([\w.]+)([!<>])(.*)", name)
    if sign and sign[1] in names:
        return names.get(f"{sign[1]}__{SIGNS.get((sign[2], bool(sign[3])))}", names[sign[1]])
    spelled = re.sub(r"\[(\w+)\]", r"__\1", name)
    for separator in ("__", "_"):
        field, _, operator = spelled.rpartition(separator)
        if field in names and operator in OPERATORS_ELSEWHERE:
            return names.get(f"{field}__{OPERATORS_ELSEWHERE[operator]}", names[field])
    field, _, operator = spelled.rpartition("__")
    ours = [option.removeprefix(f"{field}__") for option in names if option.startswith(f"{field}__")]
    if field not in names or not ours:
        return None
    near = nearest(operator, ours)
    return names[f"{field}__{near}" if near else field]


def closest(name: str, options: Iterable[str]) -> list[str]:
    """Return the `MAX_NAMES` names that are most like a request's, the nearest first."""
    matcher = difflib.SequenceMatcher(b=name[:ECHO].lower())

    def likeness(option: str) -> float:
        matcher.set_seq1(option)
        return -matcher.ratio()

    return sorted(sorted(options), key=likeness)[:MAX_NAMES]


def error_item(  # noqa: PLR0913 - the members of an item
    parameter: str,
    code: str,
    detail: str,
    *,
    pointer: str | None = None,
    allowed: object = None,
    word: str | None = None,
    suggestion: str | None = None,
    records: Sequence[Item] | None = None,
) -> Item:
    """Return one item of ``errors``, with what would have worked and what was probably meant.

    A mistake in a body has a ``pointer`` and an empty ``parameter``. ``word`` is not one of the ``allowed`` names: the nearest
    are listed, and ``more`` counts the others. ``records`` are those that a change conflicts with.
    """
    item: Item = {"parameter": shorten(parameter)} if parameter or pointer is None else {}
    if pointer is not None:
        item["pointer"] = _within(pointer)
    item |= {"code": code, "detail": detail}
    if word is not None and isinstance(allowed, Sequence) and len(allowed) > MAX_NAMES:
        first = [suggestion] if suggestion in allowed else []
        names = [*dict.fromkeys([*first, *closest(word, allowed)])]
        item |= {"allowed": names[:MAX_NAMES], "more": len(allowed) - MAX_NAMES}
    elif allowed is not None:
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

    def unknown(
        self,
        name: str,
        options: Iterable[str],
        what: str = "parameter",
        nouns: Mapping[str, Sequence[str]] = NO_WORDS,
        instead: str | None = None,
        **place: Any,
    ) -> None:
        """Add that ``name`` is not one of the options.

        ``what`` is the kind of thing that they are, ``nouns`` as in `meant`. ``instead`` tells where the name is one.
        """
        if self.full:
            return
        names = list(options)
        if "sort" in names:
            instead = INSTEAD.get(name.lower())
        self.add(
            place.pop("parameter", name),
            f"unknown-{what}",
            f"`{shorten(name)}` is not a {what} here.{f' {instead}' if instead else ''}",
            allowed=names,
            word=name,
            suggestion=None if instead else meant(name, names, nouns),
            **place,
        )

    def raise_any(self, problem: ProblemName = "invalid-query") -> None:
        """Raise a ProblemError with the mistakes, if there are any."""
        if self:
            raise ProblemError(problem, " ".join(item["detail"] for item in self[:MAX_SUMMARY]), *self)
