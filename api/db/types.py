"""Column types, and the base classes of all tables."""

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    Dialect,
    Enum,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    TextClause,
    TypeDecorator,
    func,
    literal_column,
    text,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# The "C" collation orders UTF-8 by code point, like SQLite's BINARY, so both databases have one order.
Text = String().with_variant(String(collation="C"), "postgresql")
# At most 6 decimals and 15 digits, which a float holds exactly, so every language reads the same number.
Number = Numeric(21, 6, asdecimal=False).with_variant(Numeric(22, 6, asdecimal=False), "postgresql")
# Integers up to 2^53 - 1 on both databases; SQLite's INTEGER has 64 bits.
Whole = BigInteger().with_variant(Integer(), "sqlite")
Version = Whole


class Instant(TypeDecorator[dt.datetime]):
    """A time in UTC, to the millisecond. SQLite has no time zones, so it stores the time without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Return the time in UTC. Raises ValueError for a time without a zone, which could mean any moment of a day."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(dt.UTC).replace(tzinfo=None if dialect.name == "sqlite" else dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002 - the interface's
        """Return the time with the zone UTC."""
        return value and value.replace(tzinfo=dt.UTC) if value is None or value.tzinfo is None else value.astimezone(dt.UTC)


def choice(values: type[StrEnum], name: str) -> Enum:
    """Return a column type for the values of an enumeration, with a check constraint of this name."""
    return Enum(
        values, name=name, native_enum=False, create_constraint=True, length=40, values_callable=lambda e: [m.value for m in e]
    )


def whole_number(column: str, condition: str) -> CheckConstraint:
    """Return a check that a `Whole` column holds an integer and meets the condition: SQLite would store text or a fraction."""
    return CheckConstraint(f"{condition} and cast({column} as integer) = {column}", name=column)


def broken_check(error: IntegrityError) -> str | None:
    """Return the name of the check that a statement failed; None if it failed another constraint."""
    if getattr(error.orig, "sqlstate", "") == "23514":
        return str(error.orig.diag.constraint_name)  # type: ignore[union-attr]
    if getattr(error.orig, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_CHECK":
        return str(error.orig).rpartition(": ")[2]
    return None


def folded_index(column: InstrumentedAttribute[str]) -> Index:
    """Return an index of a text in lower case, for prefix searches that ignore the case of ASCII letters."""
    return Index(f"ix_{column.class_.__tablename__}_{column.key}_folded", func.lower(column))


def beyond_ascii(column: ColumnElement[str], dialect: str) -> ColumnElement[bool]:
    """Return the condition that a text has a character that is not a printable one of ASCII."""
    if dialect == "sqlite":
        return column.bool_op("glob")(literal_column("'*[^ -~]*'"))
    return column.bool_op("~")(literal_column("'[^ -~]'"))


def never_null(column: Any) -> ColumnElement[Any]:
    """Return the value of a column, or an empty one in place of null, so that null is equal to null for an index, too."""
    return func.coalesce(column, literal_column("0" if isinstance(column.type, Integer) else "''"))


def beyond_ascii_index(*columns: InstrumentedAttribute[Any]) -> Index:
    """Return an index of the rows whose last column, a name, is not in ASCII, so that `lower` does not fold all its letters."""
    *rest, name = [column.__clause_element__() for column in columns]
    return Index(
        f"ix_{name.table.name}_{name.name}_beyond_ascii",
        *map(never_null, rest),
        name,
        sqlite_where=beyond_ascii(name, "sqlite"),
        postgresql_where=beyond_ascii(name, "postgresql"),
    )


def given_index(table: str, column: str, *others: str) -> Index:
    """Return a partial index of the rows with a value in a column: those without one, which are most, cost no entry."""
    is_given = text(f"{column} is not null")
    return Index(f"ix_{table}_{column}_given", column, *others, sqlite_where=is_given, postgresql_where=is_given)


class Base(DeclarativeBase):
    """The base class of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {str: Text, dt.datetime: Instant(), float: Number}  # noqa: RUF012 - SQLAlchemy's interface


def table_of(model: type[Base]) -> Table:
    """Return the table of a model: statements on it return plain rows, and leave a session's objects as they are."""
    table = model.__table__
    assert isinstance(table, Table)
    return table


class Record(Base):
    """The base class of the tables of nouns: a record has an id that never changes."""

    __abstract__ = True
    id: Mapped[str] = mapped_column(primary_key=True, sort_order=-1)


def schema_for(dialect: str) -> MetaData:
    """Return a copy of all tables for a dialect, `sqlite` or `postgresql`.

    PostgreSQL's foreign keys are declared deferrable, so that a changeset can check them at its end; SQLite can defer any
    foreign key. Indexes with nulls last are for PostgreSQL only, where they serve sorted lists.
    """
    schema = MetaData(naming_convention=NAMING)
    is_postgresql = dialect == "postgresql"
    for table in [table.to_metadata(schema) for table in Base.metadata.sorted_tables]:
        for reference in table.foreign_key_constraints:
            reference.deferrable, reference.initially = (True, "IMMEDIATE") if is_postgresql else (None, None)
        for check in (row for row in table.constraints if is_postgresql and isinstance(row, CheckConstraint)):
            if isinstance(check.sqltext, TextClause):
                # `whole_number` casts to the type of the column.
                check.sqltext = text(check.sqltext.text.replace(" as integer)", " as bigint)"))
        table.indexes = {index for index in table.indexes if is_postgresql or not str(index.name).endswith("_nulls_last")}
    return schema
