"""Alters columns and checks in place, for revisions that change tables to which others refer.

SQLite alters neither, and to make a table again would delete the rows of its parts, and its triggers; so these functions
change the stored text of the table, as SQLite's manual says. Released revisions call them for ever, so none of them may change;
a better one gets a new name.
"""

import re
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError


def is_sqlite() -> bool:
    """Tell whether the database is SQLite."""
    return op.get_bind().dialect.name == "sqlite"


def one_of(column: str, *values: str) -> str:
    """Return the check that a column has one of these values."""
    return f"{column} IN ({', '.join(map(repr, values))})"


def whole(column: str, condition: str) -> str:
    """Return the check that a column has a whole number and meets a condition."""
    return f"{condition} and cast({column} as {'integer' if is_sqlite() else 'bigint'}) = {column}"


def set_check(table: str, name: str, condition: str | None) -> None:
    """Replace a check or add it; None drops it."""
    constraint = f"ck_{table}_{name}"
    if is_sqlite():
        added = f", \n\tCONSTRAINT {constraint} CHECK ({condition})\n)"
        former = re.compile(rf", \n\tCONSTRAINT {constraint} CHECK \(.*\)(?=, ?\n|\n)")
        _rewrite(table, lambda sql: former.sub("", sql))
        if condition is not None:
            _rewrite(table, lambda sql: re.sub(r"\n\)\s*\Z", lambda _: added, sql))
        return
    op.execute(f"alter table {table} drop constraint if exists {constraint}")
    if condition is not None:
        op.create_check_constraint(op.f(constraint), table, condition)


def set_nullable(table: str, column: str, *, nullable: bool) -> None:
    """Let a column have nulls or not. Raises `CommandError` if it has some that it must not have."""
    null = sa.select(sa.text("1")).select_from(sa.table(table)).where(sa.column(column).is_(None)).limit(1)
    if not nullable and op.get_bind().execute(null).first():
        raise CommandError(f"{table}.{column} has nulls, which the other release does not allow")
    if is_sqlite():
        declared = re.compile(rf"(?<=[\t ])({column} [A-Z]+(?:\([0-9, ]+\))?)( NOT NULL)?")
        _rewrite(table, lambda sql: declared.sub(rf"\1{'' if nullable else ' NOT NULL'}", sql, count=1))
        return
    op.execute(f"alter table {table} alter column {column} {'drop' if nullable else 'set'} not null")


def set_unique(table: str, constraint: str, columns: Sequence[str]) -> None:
    """Let a unique constraint have other columns."""
    if is_sqlite():
        former = re.compile(rf"CONSTRAINT {constraint} UNIQUE \([^)]*\)")
        _rewrite(table, lambda sql: former.sub(f"CONSTRAINT {constraint} UNIQUE ({', '.join(columns)})", sql))
        op.execute(f"reindex {table}")
        return
    op.drop_constraint(constraint, table)
    op.create_unique_constraint(constraint, table, list(columns))


def rename_constraint(table: str, former: str, name: str) -> None:
    """Give a constraint another name."""
    if is_sqlite():
        _rewrite(table, lambda sql: sql.replace(f"CONSTRAINT {former} ", f"CONSTRAINT {name} "))
        return
    op.execute(f"alter table {table} rename constraint {former} to {name}")


def _rewrite(table: str, change: Callable[[str], str]) -> None:
    """Change the stored text of a table of SQLite."""
    schema = sa.table("sqlite_master", sa.column("type"), sa.column("name"), sa.column("sql"))
    is_table = (schema.c.type == "table", schema.c.name == table)
    sql = op.get_bind().execute(sa.select(schema.c.sql).where(*is_table)).scalar_one()
    op.execute("pragma writable_schema = on")
    op.execute(schema.update().values(sql=change(sql)).where(*is_table))
    op.execute("pragma writable_schema = reset")
