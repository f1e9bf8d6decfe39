"""Which facts of a record have a citation: a table of the noun says which members need none, or one for each item."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from api.schema.pointers import children, step, token_of
from api.schema.resource import Resource

# Values that say nothing, so that there is nothing to cite.
_NOTHING: tuple[Any, ...] = (None, "", [], {})


def is_nothing(value: Any) -> bool:
    """Tell whether a value says nothing: null, an empty text, list or object. Zero and false are facts."""
    return value in _NOTHING


def uncited(resource: Resource, content: Mapping[str, Any], cited: Collection[str]) -> Iterator[str]:
    """Yield a pointer to each fact of a record without a citation of itself, or of a list or an object that contains it.

    ``cited`` are the pointers of the record's citations. A list or an object without any citation is named as a whole.
    The id is ours, so it needs none.
    """
    for name in resource.facts:
        if name not in {"id", *resource.unsourced, *resource.judged}:
            yield from _uncited(content.get(name), f"/{token_of(name)}", cited)


def _uncited(value: Any, pointer: str, cited: Collection[str]) -> Iterator[str]:
    if is_nothing(value) or pointer in cited:
        return
    if not any(field.startswith(f"{pointer}/") for field in cited):
        yield pointer
        return
    for token in children(value):
        yield from _uncited(step(value, token), f"{pointer}/{token_of(token)}", cited)


def unjudged(resource: Resource, content: Mapping[str, Any], cited: Collection[str]) -> Iterator[str]:
    """Yield the pointer to each judgement without a citation of its own; that of a whole list tells not which it supports."""
    for name in resource.judged:
        pointers = (f"/{token_of(name)}/{token}" for token in children(content.get(name)))
        yield from (pointer for pointer in pointers if pointer not in cited)
