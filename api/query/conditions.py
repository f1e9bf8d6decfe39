"""Writes the condition of an expression: its shape, which identifies the statement, and its values, as parameters."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, bindparam, false, func, not_, null, or_, select, true
from sqlalchemy.orm import aliased

from api.db.statements import padded
from api.ledger.models import CURRENT, Revision
from api.query.language import Condition, Conditions, Expression, Group
from api.resources import BY_NAME
from api.schema.fields import MAX_INTEGER
from api.schema.operators import OPERATORS, WIDE, bound, condition
from api.schema.resource import Column, Relation, Resource

# A condition, and the rest of its path.
Rest = tuple[tuple[Relation, ...], Condition]


def shape(expression: Expression, values: dict[str, Any]) -> Hashable:
    """Return an expression without its values, which are added to ``values`` by the names of their parameters."""
    if isinstance(expression, Group):
        return expression.connective, tuple([shape(child, values) for child in expression.children])
    return tuple([(row.filter.name, *_named(row, values)) for row in expression.all])


def _named(row: Condition, values: dict[str, Any]) -> tuple[Any, ...]:
    """Add the values of a condition; returns their number, and anything else on which its statement depends."""
    bound_values = bound(row.filter.field.type, row.filter.operator, row.value)
    if row.filter.operator.many:
        bound_values = padded(bound_values)
    for value in bound_values:
        values[f"v{len(values)}"] = value
    return len(bound_values), row.value if row.filter.operator.of_null else None


def parametrized(expression: Expression, names: Iterator[int]) -> Expression:
    """Replace the values of an expression by parameters, with the names that `shape` gives them."""
    if isinstance(expression, Group):
        return replace(expression, children=tuple([parametrized(child, names) for child in expression.children]))
    return Conditions(tuple([replace(row, value=_parameters(row, names)) for row in expression.all]))


def _parameters(row: Condition, names: Iterator[int]) -> Any:
    field, operator = row.filter.field, row.filter.operator
    if operator.of_null:
        return row.value
    count, _ = _named(row, {})
    type = WIDE.get(field.type.name) or row.filter.column.type
    return tuple([bindparam(f"v{next(names)}", type_=type) for _ in range(count)])


def where(
    resource: Resource, model: Any, expression: Expression, *, probing: bool = False, unindexed: bool = False
) -> ColumnElement[bool]:
    """Return the condition for a row of a noun's table, or of an alias of it.

    ``probing``: relations are written to be tested row by row, and not to find the rows. ``unindexed``: the conditions on the
    noun's own columns are written so that no index finds the rows.
    """
    if isinstance(expression, Conditions):
        rows = [(row.filter.path, row) for row in expression.all]
        return every(resource.name, model, rows, probing=probing, unindexed=unindexed)
    children = [where(resource, model, child, probing=probing, unindexed=unindexed) for child in expression.children]
    if expression.connective == "not":
        # A condition that is neither true nor false, because of a null, does not hold, so its negation does.
        return not_(func.coalesce(children[0], false()))
    return (or_ if expression.connective == "or" else and_)(*children)


def every(
    kind: str, model: Any, rows: Sequence[Rest], *, probing: bool = False, unindexed: bool = False
) -> ColumnElement[bool]:
    """Join conditions, each with the rest of its path; those with the same next step are about the same related row."""
    unrelated = [_on_column(kind, model, row, unindexed=unindexed) for path, row in rows if not path]
    steps: dict[str, list[Rest]] = {}
    wholes = []
    for path, row in rows:
        if len(path) == 1 and row.filter.whole and row.filter.operator.name in {"not", "isnull"}:
            wholes.append(whole(model, path[0], row))
        elif path:
            steps.setdefault(path[0].prefix, []).append((path, row))
    related = []
    for same_step in steps.values():
        relation = same_step[0][0][0]
        beyond = [(path[1:], row) for path, row in same_step]
        # What the noun's own row refers to can find rows, whether links are probed or not.
        holds = partial(holding, relation, beyond, probing=probing and relation.owner.key != "id")
        related.append(_linked(model, relation, holds, probing=probing))
    return and_(true(), *unrelated, *wholes, *related)


def _on_column(kind: str, model: Any, row: Condition, *, unindexed: bool = False) -> ColumnElement[bool]:
    """Return a condition on a column of a row."""
    field, operator = row.filter.field, row.filter.operator
    if field.column.class_ is Revision:
        return _of_ledger(kind, _hidden(model.id) if unindexed else model.id, row)
    values = (row.value,) if operator.of_null else row.value
    column = getattr(model, row.filter.column.key)
    return condition(field.type, operator, _hidden(column) if unindexed else column, values)


def _hidden(column: Any) -> ColumnElement[Any]:
    """Return the value of a column as an expression that no index serves."""
    return func.coalesce(column, null())


def _of_ledger(kind: str, id: Any, row: Condition) -> ColumnElement[bool]:
    """Compare the version, or the version at a time: times in the ledger have the order of versions."""
    operator, values = row.filter.operator, row.value
    if row.filter.field.type.name == "instant":
        # The first version behind the range, or in it; the greatest number if there is none.
        (value,) = values
        beyond = Revision.changed_at > value if operator.name in {"gt", "lte"} else Revision.changed_at >= value
        first = select(Revision.version).where(beyond).order_by(Revision.changed_at, Revision.version).limit(1)
        values = (func.coalesce(first.scalar_subquery(), MAX_INTEGER),)
        operator = OPERATORS["gte" if operator.name in {"gt", "gte"} else "lt"]
    ids = select(Revision.id).where(Revision.kind == kind, *CURRENT, operator.build(Revision.version.expression, *values))
    return id.in_(ids)  # type: ignore[no-any-return]


def whole(model: Any, relation: Relation, row: Condition) -> ColumnElement[bool]:
    """Return the condition for `not` and `isnull` of a relation: it leads to none of some records, to none, or to any."""
    if row.filter.operator.name == "not":
        return not_(_linked(model, relation, lambda link: getattr(link, target_of(relation).key).in_(row.value)))
    any_link = _linked(model, relation, lambda _: true())
    return not_(any_link) if row.value else any_link


def target_of(relation: Relation) -> Column:
    """Return the column with the id of the related record."""
    assert relation.target is not None
    return cast("Column", relation.target)


def is_target(relation: Relation) -> bool:
    """Tell whether the related records themselves refer back, so that the relation has no link table."""
    return target_of(relation).key == "id"


def holding(relation: Relation, rows: Sequence[Rest], link: Any, *, probing: bool = False) -> ColumnElement[bool]:
    """Return the condition that all conditions hold for the row behind a link; ``probing`` as in `where`."""
    # Conditions on the columns of the link are tested there, the others on the related record.
    linked = [(path, row) for path, row in rows if not path and row.filter.linked]
    beyond = [rest for rest in rows if rest not in linked]
    conditions = [_on_column(relation.to or "", link, row) for _, row in linked]
    if beyond:
        target = BY_NAME[relation.to or ""]
        if is_target(relation):
            conditions.append(every(target.name, link, beyond, probing=probing))
        else:
            other, id = aliased(target.model), getattr(link, target_of(relation).key)
            ids = select(other.id).where(every(target.name, other, beyond))
            conditions.append(ids.where(other.id == id).exists() if probing else id.in_(ids))
    return and_(true(), *conditions)


Holds = Callable[[Any], ColumnElement[bool]]


def _linked(model: Any, relation: Relation, holds: Holds, *, probing: bool = False) -> ColumnElement[bool]:
    """Return the condition that a row has a link for which ``holds`` is true."""
    if relation.owner.key == "id":
        return holds(model)
    owner, links = links_of(relation, holds)
    linked: ColumnElement[bool] = links.where(owner == model.id).exists() if probing else model.id.in_(links)
    return linked


def links_of(relation: Relation, holds: Holds) -> tuple[Any, Any]:
    """Return the column with the owner of a link, and the statement that selects the owners of links for which ``holds``."""
    link = aliased(relation.link)
    owner = getattr(link, relation.owner.key)
    # A null among the owners would make `not in` neither true nor false.
    owned = [owner.is_not(None)] if relation.owner.property.columns[0].nullable else []
    return owner, select(owner).where(*owned, *fixed(link, relation), holds(link))


def is_other(row: Condition, relation: Relation) -> bool:
    """Tell whether a condition is not about a row behind this relation."""
    wholly = len(row.filter.path) == 1 and row.filter.whole and row.filter.operator.name in {"not", "isnull"}
    return wholly or not row.filter.path or row.filter.path[0] is not relation


def is_single(row: Condition, relation: Relation) -> bool:
    """Tell whether a record has at most one link for which a condition holds, by the primary key of the links."""
    keys = {column.key for column in relation.link.__table__.primary_key}
    to_one = row.filter.field.column is relation.target and row.filter.operator.name == "" and len(row.value) == 1
    return to_one and keys == {relation.owner.key, target_of(relation).key}


def fixed(link: Any, relation: Relation) -> list[ColumnElement[bool]]:
    """Return the conditions that tell the links of a relation from others in the same table."""
    return [getattr(link, name) == value for name, value in relation.where.items()]
