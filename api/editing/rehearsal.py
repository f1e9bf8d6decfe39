"""A rehearsal: changes are carried out on private copies of the tables, so that everything is checked and nobody waits.

The copies are temporary tables, which hide the tables of the same names for one connection of either database. They have the
constraints and indexes of their models, and no triggers: nothing is noted for the ledger, and the end throws all of it away.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex, CreateTable

from api.db.database import Database
from api.db.engines import begin_private
from api.db.types import schema_for
from api.editing.rows import owners
from api.resources.citations import Subject

ALLOWED = "select current_database(), has_database_privilege(current_database(), 'TEMPORARY')"


@contextmanager
def rehearsing(database: Database) -> Iterator[Session]:
    """Open a session on private copies of the tables of all nouns and parts, as they are now.

    It reads the ledger, but publishes nothing. Raises PermissionError for a role that may not make temporary tables, and
    DBAPIError.
    """
    # An engine of its own: a connection that is used again would keep plans for the tables that the copies hide.
    private = Database(database.settings)
    try:
        with private.engine.connect() as connection:
            begin_private(connection)
            _check(connection)
            with Session(connection, expire_on_commit=False) as session:
                _copy(connection)
                yield session
    finally:
        private.engine.dispose()


def _check(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        name, may = connection.exec_driver_sql(ALLOWED).one()
        if not may:
            detail = "the database's role may not make temporary tables, which this import needs"
            raise PermissionError(errno.EPERM, f"{detail}: grant it TEMPORARY on the database {name}")


def _copy(connection: Connection) -> None:
    is_postgresql = connection.dialect.name == "postgresql"
    schema = connection.exec_driver_sql("select current_schema()").scalar_one() if is_postgresql else "main"
    quote = connection.dialect.identifier_preparer.quote
    for table in _tables(connection):
        create = str(CreateTable(table).compile(dialect=connection.dialect))
        connection.exec_driver_sql(create.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1))
        columns = ", ".join(quote(column.name) for column in table.columns)
        name = quote(table.name)
        connection.exec_driver_sql(f"insert into {name} ({columns}) select {columns} from {quote(schema)}.{name}")  # noqa: S608 - our names
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index))
        if is_postgresql:
            # Autovacuum does not see it, and without statistics each check would read it as a whole.
            connection.exec_driver_sql(f"analyze {name}")


def _tables(connection: Connection) -> Iterator[Table]:
    """Yield the tables of nouns and parts, and that of all records, each after those that it refers to."""
    for table in schema_for(connection.dialect.name).sorted_tables:
        if table.name in {*owners(), Subject.__tablename__}:
            yield table
