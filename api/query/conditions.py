"""The condition that a query's expression is: its shape, which one statement serves, and its values, as parameters."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, bindparam, false, func, not_, or_, select, true
from sqlalchemy.orm import aliased

from api.db.statements import padded
from api.ledger.models import CURRENT, Revision
from api.query.language import Condition, Conditions, Expression, Group
from api.resources import BY_NAME
from api.schema.fields import MAX_INTEGER
from api.schema.operators import OPERATORS, WIDE, bound, condition
from api.schema.resource import Column, Relation, Resource

# A condition, with what is left of its path.
Rest = tuple[tuple[Relation, ...], Condition]


def shape(expression: Expression, values: dict[str, Any]) -> Hashable:
    """Return what of an expression is not a value; the values are added by the names that they have as parameters."""
    if isinstance(expression, Group):
        return expression.connective, tuple([shape(child, values) for child in expression.children])
    return tuple([(row.filter.name, *_named(row, values)) for row in expression.all])


def _named(row: Condition, values: dict[str, Any]) -> tuple[Any, ...]:
    """Name the values of a condition; returns how many there are, and what else its statement depends on."""
    found = bound(row.filter.field.type, row.filter.operator, row.value)
    if row.filter.operator.many:
        found = padded(found)
    for value in found:
        values[f"v{len(values)}"] = value
    return len(found), row.value if row.filter.operator.of_null else None


def parametrized(expression: Expression, names: Iterator[int]) -> Expression:
    """Put parameters in the place of an expression's values, named as `shape` does."""
    if isinstance(expression, Group):
        return replace(expression, children=tuple([parametrized(child, names) for child in expression.children]))
    return Conditions(tuple([replace(row, value=_parameters(row, names)) for row in expression.all]))


def _parameters(row: Condition, names: Iterator[int]) -> Any:
    field, operator = row.filter.field, row.filter.operator
    if operator.of_null:
        return row.value
    count, _ = _named(row, {})
    type = WIDE.get(field.type.name) or field.column.type
    return tuple([bindparam(f"v{next(names)}", type_=type) for _ in range(count)])


def where(resource: Resource, model: Any, expression: Expression, *, probing: bool = False) -> ColumnElement[bool]:
    """Return the condition of a noun's row, ``model`` being its table or an alias of it.

    ``probing``: it is written to be asked of one row after the other, and not to find the rows.
    """
    if isinstance(expression, Conditions):
        return every(resource.name, model, [(row.filter.path, row) for row in expression.all], probing=probing)
    children = [where(resource, model, child, probing=probing) for child in expression.children]
    if expression.connective == "not":
        # What is neither true nor false, as of a null, does not hold: so its contrary does.
        return not_(func.coalesce(children[0], false()))
    return (or_ if expression.connective == "or" else and_)(*children)


def every(kind: str, model: Any, rows: Sequence[Rest], *, probing: bool = False) -> ColumnElement[bool]:
    """Join conditions, each with what is left of its path: those with the same next step are about one related row."""
    own = [_own(kind, model, row) for path, row in rows if not path]
    steps: dict[str, list[Rest]] = {}
    wholes = []
    for path, row in rows:
        if len(path) == 1 and row.filter.whole and row.filter.operator.name in {"not", "isnull"}:
            wholes.append(whole(model, path[0], row))
        elif path:
            steps.setdefault(path[0].prefix, []).append((path, row))
    related = []
    for found in steps.values():
        relation = found[0][0][0]
        holds = partial(holding, relation, [(path[1:], row) for path, row in found], probing=probing)
        related.append(_linked(model, relation, holds, probing=probing))
    return and_(true(), *own, *wholes, *related)


def _own(kind: str, model: Any, row: Condition) -> ColumnElement[bool]:
    field, operator = row.filter.field, row.filter.operator
    if field.column.class_ is Revision:
        return _of_ledger(kind, model, row)
    values = (row.value,) if operator.of_null else row.value
    return condition(field.type, operator, getattr(model, field.column.key), values)


def _of_ledger(kind: str, model: Any, row: Condition) -> ColumnElement[bool]:
    """Compare the version, or the time by way of the version: time never runs backwards in the ledger."""
    operator, values = row.filter.operator, row.value
    if row.filter.field.type.name == "instant":
        # The first version after those that are wanted, or not wanted; none is as great as the greatest.
        (value,) = values
        beyond = Revision.changed_at > value if operator.name in {"gt", "lte"} else Revision.changed_at >= value
        first = select(Revision.version).where(beyond).order_by(Revision.changed_at, Revision.version).limit(1)
        values = (func.coalesce(first.scalar_subquery(), MAX_INTEGER),)
        operator = OPERATORS["gte" if operator.name in {"gt", "gte"} else "lt"]
    found = select(Revision.id).where(Revision.kind == kind, *CURRENT, operator.build(Revision.version.expression, *values))
    return model.id.in_(found)  # type: ignore[no-any-return]


def whole(model: Any, relation: Relation, row: Condition) -> ColumnElement[bool]:
    """Return the condition that a relation leads to none of these, or to none (or any) at all."""
    if row.filter.operator.name == "not":
        return not_(_linked(model, relation, lambda link: getattr(link, target_of(relation).key).in_(row.value)))
    found = _linked(model, relation, lambda _: true())
    return not_(found) if row.value else found


def target_of(relation: Relation) -> Column:
    """Return the column of the id that a relation leads to."""
    assert relation.target is not None
    return cast("Column", relation.target)


def is_target(relation: Relation) -> bool:
    """Tell whether a relation's table is the one that it leads to: so it is where others refer back to a record."""
    return target_of(relation).key == "id"


def holding(relation: Relation, rows: Sequence[Rest], link: Any, *, probing: bool = False) -> ColumnElement[bool]:
    """Return the condition that all of these hold of the row that a link leads to; ``probing`` as in `where`."""
    # What the link's own table says is asked there; the rest of the record that it leads to.
    linked = [(path, row) for path, row in rows if not path and row.filter.linked]
    beyond = [found for found in rows if found not in linked]
    conditions = [_own(relation.to or "", link, row) for _, row in linked]
    if beyond:
        target = BY_NAME[relation.to or ""]
        if is_target(relation):
            conditions.append(every(target.name, link, beyond, probing=probing))
        else:
            other = aliased(target.model)
            found = select(other.id).where(every(target.name, other, beyond))
            conditions.append(getattr(link, target_of(relation).key).in_(found))
    return and_(true(), *conditions)


Holds = Callable[[Any], ColumnElement[bool]]


def _linked(model: Any, relation: Relation, holds: Holds, *, probing: bool = False) -> ColumnElement[bool]:
    """Return the condition that a row has a link of which ``holds`` is true."""
    if relation.owner.key == "id":
        return holds(model)
    owner, links = links_of(relation, holds)
    found: ColumnElement[bool] = links.where(owner == model.id).exists() if probing else model.id.in_(links)
    return found


def links_of(relation: Relation, holds: Holds) -> tuple[Any, Any]:
    """Return the column of those who have such a link, and the statement that selects them."""
    link = aliased(relation.link)
    owner = getattr(link, relation.owner.key)
    # A null among the owners would make `not in` neither true nor false.
    given = [owner.is_not(None)] if relation.owner.property.columns[0].nullable else []
    return owner, select(owner).where(*given, *fixed(link, relation), holds(link))


def is_other(row: Condition, relation: Relation) -> bool:
    """Tell whether a condition is about something else than a row that this relation leads to."""
    wholly = len(row.filter.path) == 1 and row.filter.whole and row.filter.operator.name in {"not", "isnull"}
    return wholly or not row.filter.path or row.filter.path[0] is not relation


def is_single(row: Condition, relation: Relation) -> bool:
    """Tell whether no record has more than one link of which a condition holds: one of its table's key to one record."""
    keys = {column.key for column in relation.link.__table__.primary_key}
    one = row.filter.field.column is relation.target and row.filter.operator.name == "" and len(row.value) == 1
    return one and keys == {relation.owner.key, target_of(relation).key}


def fixed(link: Any, relation: Relation) -> list[ColumnElement[bool]]:
    """Return the conditions that a link must meet to be of this relation."""
    return [getattr(link, name) == value for name, value in relation.where.items()]
