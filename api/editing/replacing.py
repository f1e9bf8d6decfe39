"""References within a document that go to other records."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any

from api.editing.operations import JOIN, RENAME, Operation, RecordKey
from api.editing.rows import Layout, layout, owners
from api.editing.staging import references
from api.resources import BY_NAME
from api.resources.citations import Citation
from api.schema.canonical import Content

# The ids that take the places of others, by noun and id.
Ids = Mapping[RecordKey, str]


@cache
def columns() -> Mapping[str, Mapping[str, str]]:
    """Return the columns that refer to a record by its id, each with the noun, by table; subjects of citations are apart."""
    result: dict[str, dict[str, str]] = defaultdict(dict)
    for reference in (reference for reference in references() if not reference.is_to_any_noun):
        # A reference to a part begins with the id of the record that the part belongs to.
        noun, owner = owners()[reference.target.name]
        result[reference.table.name][reference.columns[reference.referred.index(owner)]] = noun.name
    return result


def touched(operation: Operation) -> set[str]:
    """Return the nouns whose records an operation changes: a move changes those that refer to a record of its noun."""
    kind = operation.resource.name
    if operation.verb not in {JOIN, RENAME}:
        return {kind}
    referring = {owners()[table][0].name for table, nouns in columns().items() if kind in nouns.values()}
    return {kind, *referring, Citation.__tablename__}


def replaced(kind: str, content: Content, ids: Ids) -> tuple[Content, Mapping[str, str]]:
    """Return a document with other ids in its references, and the new JSON Pointers of the items of its lists by the old ones.

    Of two items of a list that become the same, such as two partners that are merged, the first one stays.
    """
    places: dict[str, str] = {}
    return _replaced(layout(BY_NAME[kind]), content, ids, ("", ""), places), places


def _replaced(below: Layout, content: Content, ids: Ids, way: tuple[str, str], places: dict[str, str]) -> Content:
    result: Content = _with_ids(below, content, ids)
    for part in below.parts:
        keys = [part.key_of(_with_ids(part, item, ids)) for item in content[part.member]]
        # A list of values without an order of its own is sorted.
        order = [*dict.fromkeys(sorted(keys) if part.plucked and not part.position else keys)]
        items: dict[Any, Any] = {}
        for number, (key, item) in enumerate(zip(keys, content[part.member], strict=True)):
            old, new = f"{way[0]}/{part.member}/{number}", f"{way[1]}/{part.member}/{order.index(key)}"
            places[old] = new
            items.setdefault(key, key if part.plucked else _replaced(part, item, ids, (old, new), places))
        result[part.member] = [items[key] for key in order]
    return result


def _with_ids(below: Layout, item: Any, ids: Ids) -> Any:
    """Return the row of a document, which is a single value if it is plucked, with other ids in its own references."""
    referring = columns().get(below.table.name, {})
    if below.plucked:
        return next((ids[noun, item] for noun in referring.values() if (noun, item) in ids), item)
    names = {below.names[column]: noun for column, noun in referring.items() if column in below.names}
    return {**item, **{name: ids.get((noun, item[name]), item[name]) for name, noun in names.items()}}
