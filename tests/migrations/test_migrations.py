"""The history: one head, upgrades from any revision, downgrades, whole or not at all, on both databases."""

import ast
import functools
import importlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_alembic
from alembic import command
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, Table, create_engine, delete, event, insert, inspect, select, text
from sqlalchemy.orm import Session, class_mapper

from api.db.database import Database
from api.db.revisions import alembic_config
from api.db.types import Base, schema_for, table_of
from api.ledger import publish
from api.ledger.index.engine import TABLE
from api.ledger.models import CURRENT, Dirty, Revision
from api.ledger.verify import verify
from api.resources import RESOURCES, Credit
from api.resources.bases import FactBasis
from api.settings import ROOT, Settings
from migrations import seeding
from tests.support.databases import SQLITE_FIRST, Store, config, opened, publishing, template, unmigrated, upgrade
from tests.support.lengths import few, late
from tests.support.tables import fill_if_empty

REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()][::-1]
EARLIER = ["base", *REVISIONS[:-1]]


def last_first(revisions: Sequence[str]) -> pytest.MarkDecorator:
    """Run a test from the last of these revisions, and from all others in the long run."""
    rows = [pytest.param(row, marks=[] if row == revisions[-1] else pytest.mark.slow) for row in revisions]
    return pytest.mark.parametrize("revision", rows)


from_earlier = last_first(EARLIER)
EDITIONS = sorted(folder.name for folder in seeding.SEEDS.iterdir())
LOADER = [
    *(ROOT / f"migrations/{name}.py" for name in ("correcting", "seeding", "tracking")),
    *sorted((ROOT / "migrations/versions").glob("*.py")),
]
# Every named object of the database, with its definition.
OBJECTS = {
    "sqlite": "select type, name, coalesce(sql, '') from sqlite_master",
    "postgresql": """
        select 'relation ' || relkind::text, relname, '' from pg_class where relnamespace = 'public'::regnamespace
        union all select 'function', proname, prosrc from pg_proc where pronamespace = 'public'::regnamespace
        union all select 'constraint', conname, pg_get_constraintdef(oid)
            from pg_constraint where connamespace = 'public'::regnamespace
        union all select 'trigger', tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
        union all select 'type', typname, '' from pg_type where typnamespace = 'public'::regnamespace
    """,
}
Document = tuple[str, str, int, str | None]


class InterruptedUpgradeError(Exception):
    """Interrupts an upgrade."""


def start_at(store: Store, revision: str) -> Settings:
    """Return the settings of a database as a release of that revision left it."""
    return unmigrated(store) if revision == "base" else store.copy(template(store, revision))


def downgrade(settings: Settings, revision: str) -> None:
    """Go back as the command line does, without its process."""
    with opened(settings) as database:
        command.downgrade(config(database), revision)


def documents(settings: Settings) -> list[Document]:
    """Return the published documents, after checking them against the tables."""
    with opened(settings) as database, database.reading() as session:
        assert list(verify(session)) == []
        rows = session.execute(select(Revision.kind, Revision.id, Revision.version, Revision.hash).where(*CURRENT))
        return sorted((row.kind, row.id, row.version, row.hash) for row in rows)


def objects(database: Database) -> set[tuple[str, str, str]]:
    """Return every named object of the database."""
    with database.engine.begin() as connection:
        return {(row[0], row[1], row[2]) for row in connection.execute(text(OBJECTS[database.engine.dialect.name]))}


def picture(settings: Settings) -> dict[str, Any]:
    """Return everything that is in a database: its schema, and its rows."""
    with opened(settings) as database:
        names = inspect(database.engine).get_table_names()
        with database.engine.begin() as connection:
            rows = {name: sorted(map(repr, connection.execute(text(f"select * from {name}")))) for name in names}
        return {"objects": objects(database), "rows": rows}


@pytest.fixture(scope="session")
def expected(sqlite_store: Store) -> list[Document]:
    """The documents of an upgrade from empty on SQLite; every path, on both databases, must give the same."""
    return documents(template(sqlite_store))


@SQLITE_FIRST
@pytest.mark.parametrize(
    "check",
    # Every database of the tests is an upgrade from empty.
    ["test_single_head_revision", late("test_upgrade"), late("test_up_down_consistency"), "test_model_definitions_match_ddl"],
)
def test_alembic(store: Store, check: str, pytestconfig: pytest.Config) -> None:
    """The history has one head, upgrades, downgrades, and gives the models' schema."""
    # The plugin that would declare its marker is off.
    pytestconfig.addinivalue_line("markers", "alembic: checks of pytest-alembic")
    checks = importlib.import_module("pytest_alembic.tests.default")
    # Only the way up begins with nothing; the models are compared with the database that every test has.
    given = store.copy(template(store)) if check == "test_model_definitions_match_ddl" else store.empty()
    with opened(given, create=True) as database:
        settings = pytest_alembic.Config(alembic_config=config(database))
        with pytest_alembic.runner(config=settings, engine=database.engine) as runner:
            getattr(checks, check)(runner)


@SQLITE_FIRST
@from_earlier
def test_up_from_anywhere(store: Store, expected: list[Document], revision: str) -> None:
    """An upgrade from empty, or from any earlier revision, gives the same documents on both databases."""
    settings = start_at(store, revision)
    upgrade(settings)
    assert expected == documents(settings)


@SQLITE_FIRST
@from_earlier
def test_down_and_up_again(settings: Settings, expected: list[Document], revision: str) -> None:
    """Down to any revision and up again, the documents are the same, in the same versions."""
    downgrade(settings, revision)
    upgrade(settings)
    assert expected == documents(settings)


def test_an_upgrade_of_the_newest_changes_nothing(settings: Settings) -> None:
    """A second upgrade finds nothing to do."""
    before = picture(settings)
    upgrade(settings)
    assert before == picture(settings)


@SQLITE_FIRST
def test_down_to_nothing(settings: Settings) -> None:
    """A downgrade to base leaves nothing but alembic's own, empty table."""
    downgrade(settings, "base")
    after = picture(settings)
    assert {name for _, name, _ in after["objects"] if "alembic_version" not in name} == set()
    assert after["rows"] == {"alembic_version": []}


@SQLITE_FIRST
@last_first(REVISIONS[:-1])
def test_own_records_survive_the_way_down(settings: Settings, revision: str) -> None:
    """A record that someone added is still there, unchanged, after a downgrade of the facts and an upgrade."""
    with opened(settings) as database, publishing(database) as session:
        session.execute(text("insert into priorities (id, name, description) values ('zz-own', 'Own', 'Made for this test.')"))
    before = documents(settings)
    downgrade(settings, revision)
    upgrade(settings)
    assert before == documents(settings)


# The next one loads facts, which the way down takes away.
@SQLITE_FIRST
@pytest.mark.parametrize("revision", ["0001"])
def test_a_downgrade_orphans_nobody(settings: Settings, revision: str) -> None:
    """Facts that someone's own record refers to are not taken away: one line says so, and nothing changes."""
    with opened(settings) as database, publishing(database) as session:
        session.execute(
            text("insert into initiatives (id, city_id, title, summary, status) values ('zz', 'boston-ma', 'Z', 'Z.', 'pilot')")
        )
    before = picture(settings)
    with pytest.raises(CommandError, match=r"^[^\n]+$"):
        downgrade(settings, revision)
    assert before == picture(settings)


@contextmanager
def interrupted(engine: Engine, after: int) -> Iterator[list[str]]:
    """Stop at the statement of this number; yields the executed ones."""
    ran: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if len(ran) == after:
            raise InterruptedUpgradeError
        ran.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield ran
    finally:
        event.remove(engine, "before_cursor_execute", count)


@functools.cache
def length(store: Store, revision: str) -> int:
    """Count the statements from a revision to the newest."""
    settings = start_at(store, revision)
    with opened(settings) as database, interrupted(database.engine, -1) as ran:
        command.upgrade(config(database), "head")
    return len(ran)


@pytest.mark.slow
@from_earlier
def test_an_interrupted_upgrade_leaves_no_trace(store: Store, expected: list[Document], revision: str) -> None:
    """Wherever an upgrade stops, schema and rows are as they were before, and the next one succeeds."""
    whole = length(store, revision)
    settings = start_at(store, revision)
    before = picture(settings)
    for after in (whole // 2, whole - 1):
        with opened(settings) as database, interrupted(database.engine, after):
            with pytest.raises(InterruptedUpgradeError):
                command.upgrade(config(database), "head")
            assert before == picture(settings)
    upgrade(settings)
    assert expected == documents(settings)


@pytest.mark.slow
@SQLITE_FIRST
def test_control_without_a_transaction_an_interrupted_upgrade_leaves_traces(store: Store) -> None:
    """The same interruption, on connections that commit each statement, leaves half a schema: the test above can fail."""
    settings = start_at(store, "base")
    before = picture(settings)
    engine = create_engine(settings.sqlalchemy_url, isolation_level="AUTOCOMMIT")
    alembic = alembic_config()
    alembic.attributes["connection"] = engine
    # Before the correction, which breaks references for a moment.
    with interrupted(engine, length(store, "base") // 4), pytest.raises(InterruptedUpgradeError):
        command.upgrade(alembic, "head")
    engine.dispose()
    assert before != picture(settings)


@SQLITE_FIRST
def test_a_failed_publication_leaves_no_trace(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that can't be published are not there either."""
    settings = start_at(store, "base")
    before = picture(settings)

    def fail(*_arguments: object, **_options: object) -> None:
        raise InterruptedUpgradeError

    monkeypatch.setattr(publish, "publish", fail)
    with pytest.raises(InterruptedUpgradeError):
        upgrade(settings)
    assert before == picture(settings)


def change_a_byte(folder: Path) -> None:
    """Write another letter into the last of the files."""
    file = max(folder.iterdir())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def drop_a_file(folder: Path) -> None:
    """Take one of the files away."""
    min(folder.iterdir()).unlink()


def add_a_file(folder: Path) -> None:
    """Add an empty file."""
    (folder / "others.yaml").touch()


def rename_a_file(folder: Path) -> None:
    """Call one of the files by another name, in the same place of the order."""
    file = min(folder.iterdir())
    file.rename(file.with_stem(f"{file.stem}-2"))


alterations = pytest.mark.parametrize("alter", few([change_a_byte, drop_a_file, add_a_file, rename_a_file], change_a_byte))
editions = pytest.mark.parametrize("edition", EDITIONS)


@pytest.fixture
def seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the seeds, which the loader reads instead."""
    copy = shutil.copytree(seeding.SEEDS, tmp_path / "seeds")
    monkeypatch.setattr(seeding, "SEEDS", copy)
    return copy


@SQLITE_FIRST
@alterations
@editions
def test_changed_seeds_are_refused(store: Store, seeds: Path, edition: str, alter: Callable[[Path], None]) -> None:
    """A changed edition is refused in one line that names it, and nothing is written."""
    settings = start_at(store, "base")
    before = picture(settings)
    alter(seeds / edition)
    with pytest.raises(CommandError) as refusal:
        upgrade(settings)
    sha256 = seeding.edition_sha256(edition)
    assert str(refusal.value) == (
        f"seeds/{edition} differs from the released edition ({sha256}); a correction is a new edition with its own revision"
    )
    assert before == picture(settings)


@pytest.mark.slow
@SQLITE_FIRST
def test_changed_seeds_are_not_unloaded(settings: Settings, seeds: Path) -> None:
    """A changed edition is refused as the list of records to delete, too; a correction is taken back without its folder."""
    before = picture(settings)
    change_a_byte(seeds / EDITIONS[0])
    with pytest.raises(CommandError, match=f"^seeds/{EDITIONS[0]} differs from the released edition"):
        downgrade(settings, "base")
    assert before == picture(settings)


@pytest.mark.slow
@SQLITE_FIRST
def test_copied_seeds_are_taken(store: Store, seeds: Path, expected: list[Document]) -> None:
    """The location of the seed files and neighbours that are no YAML do not matter; only the contents do."""
    (seeds / EDITIONS[0] / "notes.txt").touch()
    settings = store.empty()
    upgrade(settings)
    assert expected == documents(settings)


@pytest.mark.parametrize("file", LOADER, ids=lambda file: file.name)
def test_the_history_imports_nothing_from_the_api(file: Path) -> None:
    """The history's code does not depend on the current code of the API."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.level, node.module) != (0, None)
            imported.add("." * node.level + (node.module or "").split(".")[0])
    standard = {
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "hashlib",
        "itertools",
        "json",
        "logging",
        "pathlib",
        "typing",
        "warnings",
    }
    assert imported <= standard | {"alembic", "migrations", "sqlalchemy", "yaml"}


def test_no_sql_scripts(settings: Settings) -> None:
    """A script can't load and publish the facts, so asking for one is refused in one line."""
    with opened(settings) as database, pytest.raises(CommandError, match=r"^there are no SQL scripts: [^\n]+$"):
        command.upgrade(config(database), "head", sql=True)


def described(database: Database) -> dict[str, Any]:
    """Return every table with a model, with its columns, constraints and indexes by name."""
    tables: dict[str, Any] = {}
    inspector = inspect(database.engine)
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        if table.startswith(TABLE):
            continue
        # PostgreSQL lists the index of a unique constraint too.
        indexes = [row for row in inspector.get_indexes(table) if "duplicates_constraint" not in row]
        tables[table] = {
            "columns": {
                column["name"]: (repr(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            },
            "pk": inspector.get_pk_constraint(table),
            "fk": by_name(inspector.get_foreign_keys(table)),
            "uq": by_name(inspector.get_unique_constraints(table)),
            "ck": by_name(inspector.get_check_constraints(table)),
            "ix": by_name(indexes),
        }
    return tables


def by_name(rows: Iterable[Any]) -> dict[str, Any]:
    """Return constraints by their names, with the options as text, since SQL expressions are never equal."""
    options = "dialect_options"
    return {row["name"]: {**row, options: {key: str(value) for key, value in row.get(options, {}).items()}} for row in rows}


def test_models_and_history_make_the_same_schema(store: Store, database: Database) -> None:
    """The migrated schema has exactly the models' tables, columns, constraints and indexes, with the same names."""
    with opened(store.empty(), create=True) as other:
        schema_for(store.dialect).create_all(other.engine)
        modelled = described(other)
    assert set(modelled) == set(Base.metadata.tables)
    assert modelled == described(database)


def test_names_follow_the_convention(database: Database) -> None:
    """Each constraint and index is named for its kind and its table, so that a later revision can drop it by name."""
    for table, kinds in described(database).items():
        for kind in ("fk", "uq", "ck", "ix"):
            names = list(kinds[kind])
            assert names == [name for name in names if name and name.startswith(f"{kind}_{table}_")]
            # PostgreSQL would cut a longer one.
            assert [name for name in names if len(name) > 63] == []
        assert kinds["pk"]["name"] == f"pk_{table}"


def owners() -> dict[str, dict[str, str]]:
    """Return the tracked tables, nouns' and parts', each with its kinds and the column that holds their id.

    The bases of facts and the credits have triggers of their own.
    """
    kinds: dict[str, dict[str, str]] = {resource.name: {resource.name: "id"} for resource in RESOURCES}
    for resource in RESOURCES:
        models = [resource.model]
        for model in models:
            below = [part.mapper.class_ for part in class_mapper(model).relationships]
            models += [part for part in below if part not in {FactBasis, Credit}]
        for model in models[1:]:
            kinds.setdefault(table_of(model).name, {})[resource.name] = f"{resource.singular}_id"
    return kinds


def test_every_tracked_table_has_its_triggers(database: Database) -> None:
    """Each noun's table and each table of its parts has the triggers that note a change, and no other table has any."""
    suffixes: tuple[str, ...]
    if database.engine.dialect.name == "sqlite":
        suffixes, statement = ("_insert", "_update", "_delete"), "select name from sqlite_master where type = 'trigger'"
    else:
        suffixes, statement = ("", "_truncate"), "select tgname from pg_trigger where not tgisinternal"
    stems = [f"{resource.name}_record" for resource in RESOURCES]
    stems += [f"{table}_note_{kind}" for table, kinds in owners().items() for kind in kinds]
    stems += ["citations_basis", "fact_bases_note"]
    others = ["sources_credit"]
    if database.engine.dialect.name == "sqlite":
        stems, others = [*stems, "citations_credit"], ["sources_credit_update"]
    with database.engine.begin() as connection:
        names = [*others, *(stem + suffix for stem in stems for suffix in suffixes)]
        assert sorted(connection.scalars(text(statement))) == sorted(names)


def noted(session: Session) -> set[tuple[str, str]]:
    """Take the notes that wait."""
    return {(kind, id) for kind, id in session.execute(delete(Dirty).returning(Dirty.kind, Dirty.id))}


def owners_of(table: Table, tracked: Mapping[str, Mapping[str, str]], rows: Iterable[Any]) -> set[tuple[str, str]]:
    """Return the records that own rows of a table."""
    owning = {(kind, row[column]) for kind, column in tracked[table.name].items() for row in rows}
    if table.name == "citations":
        owning |= {
            (row["subject_kind"], row["subject_id"]) for row in rows if row["basis"] != "stated" or row["locator_record"]
        }
    return owning


def test_every_change_of_a_row_is_noted(database: Database) -> None:
    """An update, deletion and insertion in each tracked table note exactly the records that own the rows.

    Those of a citation note the record, too, that shows its basis.
    """
    tracked = owners()
    tables = [table for table in Base.metadata.sorted_tables if table.name in tracked]
    # Citations go with the records that they are about.
    tables.sort(key=lambda table: table.name == "citations")
    assert {table.name for table in tables} == set(tracked)
    with database.writing() as session:
        owned = {table: {column: kind for kind, column in tracked[table.name].items()} for table in tables}
        added = [table for table in tables if fill_if_empty(session, table, owned[table])]
        noted(session)
        removed = {}
        for table in reversed(tables):
            rows = removed[table.name] = list(session.execute(select(table)).mappings())
            expected = owners_of(table, tracked, rows)
            assert len(expected) > 0
            # Of a citation, only what its subject shows is noted for its subject.
            column = table.c.basis if table.name == "citations" else next(iter(table.columns))
            session.execute(table.update().values({column.name: column}))
            assert (table.name, "update", noted(session)) == (table.name, "update", expected)
            session.execute(delete(table))
            assert (table.name, "delete", noted(session)) == (table.name, "delete", expected)
        for table in tables:
            rows = removed[table.name]
            expected = owners_of(table, tracked, rows)
            # One statement: rows may refer to rows of the same table.
            session.execute(insert(table).values([dict(row) for row in rows]))
            assert (table.name, "insert", noted(session)) == (table.name, "insert", expected)
        for table in added:
            session.execute(delete(table))
        noted(session)
    with database.reading() as session:
        assert list(verify(session)) == []


def test_republish_notes_every_record(database: Database) -> None:
    """A revision that changes a noun's documents can republish all of them."""
    with database.writing() as session:
        with Operations.context(MigrationContext.configure(session.connection())):
            seeding.republish("cities")
        cities = session.scalars(select(Base.metadata.tables["cities"].c.id)).all()
        assert noted(session) == {("cities", id) for id in cities}
