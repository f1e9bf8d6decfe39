"""The command line: what it says when all is well, and one line with an exit status when not."""

import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text

from api.db.database import Database, alembic_config
from api.errors import MAX_QUERY_STRING
from api.ledger import merkle
from api.ledger.models import CURRENT, Revision
from api.resources.citations import Basis, Citation
from api.resources.sources import Source, SourceType
from api.schema import fingerprints
from api.settings import ROOT, Settings
from tests.support.applications import curating, serving
from tests.support.databases import Store, head, opened, publishing, upgrade
from tests.support.processes import ALEMBIC, PIPED, SERVE, accepts, environment, listening, unused_port, wait_until

REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()][::-1]
SECRET = "s3cret"  # noqa: S105 - opens nothing
ANY = {"If-Match": "*"}
CANNOT_BE_REACHED = "Error: The database cannot be reached."
NOT_MIGRATED = "Error: The database is not migrated to this release: run `alembic upgrade head`."
STORY = "The pier\n\nThe pier opened. It has 12 lamps.\nNobody came.\n"
# Sentences of it, by paragraph and number, with a citation's id.
CITED = {(2, 1): "zz-pier-opened", (2, 2): "zz-pier-lamps"}

Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run(settings: Settings) -> Iterator[Run]:
    """Runs a command on this test's own database; returns its exit status and its lines."""
    with serving(settings) as app:
        runner = app.test_cli_runner()

        def invoke(*arguments: object) -> tuple[int, list[str]]:
            result = runner.invoke(args=[str(argument) for argument in arguments])
            assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
            return result.exit_code, result.output.splitlines()

        yield invoke


def revision_of(database: Database, kind: str, id: str) -> int:
    """Return the version of a record."""
    with database.reading() as session:
        return session.scalars(select(Revision.version).where(Revision.kind == kind, Revision.id == id, *CURRENT)).one()


def test_verify_agrees(run: Run) -> None:
    """A fresh database is verified with one line and status 0."""
    assert run("ledger", "verify") == (0, ["The ledger and the tables agree."])


def test_raw_sql_is_swept(run: Run, database: Database) -> None:
    """What raw SQL changed is listed by `verify` with status 1, until `sweep` has published it."""
    version, last = revision_of(database, "cities", "boston-ma"), head(database)
    with database.writing() as session:
        session.execute(text("update cities set summary = 'By hand.' where id = 'boston-ma'"))
        session.execute(text("insert into priorities (id, name, description) values ('zz-new', 'New', 'Made by hand.')"))
    status, lines = run("ledger", "verify")
    # An update notes its record twice: as it was, and as it is.
    assert (status, lines) == (
        1,
        [
            "changes noted but not published: 3; run `flask --app wsgi ledger sweep`",
            f"cities/boston-ma: the document of version {version} is not what the table says",
            "priorities/zz-new: in the table, but not published",
            "Error: differences: 3",
        ],
    )
    assert run("ledger", "sweep") == (0, [f"Changes published: 2; the dataset is at version {last + 2}."])
    assert run("ledger", "verify") == (0, ["The ledger and the tables agree."])
    assert run("ledger", "sweep") == (0, [f"Changes published: 0; the dataset is at version {last + 2}."])


# By what was tampered with: the statement, and the lines that name it.
TAMPERED: dict[str, tuple[str, list[str]]] = {
    "document": (
        "update revision set document = replace(document, 'Boston', 'Bostom') where version = {version}",
        [
            "version {version}: the stored document is not what was published",
            "cities/boston-ma: the stored bytes of version {version} are not its document's",
            'cities, q "bostom": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, q "boston": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
        ],
    ),
    "hash": (
        "update revision set hash = replace(hash, substr(hash, 1, 4), 'zzzz') where version = {version}",
        ["cities/boston-ma: the document of version {version} is not what the table says"],
    ),
    "time": (
        "update revision set changed_at = '2001-01-01 00:00:00.000000' where version = {version}",
        [
            "version {version}: the chain is broken",
            "cities/boston-ma: the stored bytes of version {version} are not its document's",
        ],
    ),
    "leaf": (
        "update revision set leaf = chain where version = {version}",
        [
            "version {version}: the stored document is not what was published",
            "version {version}: the chain is broken",
            "cities, bucket {bucket}: its hash is not that of its records",
        ],
    ),
    "chain": (
        "update revision set chain = leaf where version = {version}",
        ["version {version}: the chain is broken", "version {next}: the chain is broken"],
    ),
    "bucket": (
        "update revision set bucket = 0 where version = {version}",
        [
            "version {version}: not in the bucket of its record",
            "cities, bucket 0: its hash is not that of its records",
            "cities, bucket {bucket}: its hash is not that of its records",
        ],
    ),
    "digest": (
        "update digest_bucket set records = 2 where kind = 'cities' and number = {bucket}",
        ["cities, bucket {bucket}: its hash is not that of its records"],
    ),
    "head's chain": (
        "update ledger_head set chain = (select leaf from revision where version = 1)",
        ["the head's chain is not that of the last revision"],
    ),
    "gap": (
        "delete from revision where version = {version}",
        [
            "epoch 0: {fewer} revisions between version 1 and {last}: not dense",
            "commit 1: its versions do not begin with it, or are not dense",
            "version {next}: the chain is broken",
            "cities/boston-ma: in the table, but not published",
            "version {version}: in the search index, but not current; run `flask --app wsgi ledger reindex`",
            'cities, country "US": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, q "boston": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, state "MA": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            "cities, bucket {bucket}: its hash is not that of its records",
        ],
    ),
    "superseded": (
        "update revision set superseded = {last} + 1 where version = {version}",
        [
            "version {version}: not superseded by its record's next revision",
            "cities/boston-ma: in the table, but not published",
            "version {version}: in the search index, but not current; run `flask --app wsgi ledger reindex`",
            'cities, country "US": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, q "boston": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, state "MA": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            "cities, bucket {bucket}: its hash is not that of its records",
        ],
    ),
    "head": (
        "update ledger_head set version = version + 1",
        [
            "the head is at version {more}, the last revision at {last}",
            "the bitmap index is behind, and not used; run `flask --app wsgi ledger reindex`",
        ],
    ),
    "lost note": (
        "delete from ledger_dirty",
        ["cities/boston-ma: the document of version {version} is not what the table says"],
    ),
}


@pytest.mark.parametrize("tampered", TAMPERED)
def test_tampering_is_found(run: Run, database: Database, tampered: str) -> None:
    """Whatever in the ledger was changed by hand is named, and the exit status is 1."""
    statement, expected = TAMPERED[tampered]
    last = head(database)
    version = revision_of(database, "cities", "boston-ma")
    values = {"version": version, "next": version + 1, "last": last, "fewer": last - 1, "more": last + 1}
    values["bucket"] = merkle.bucket_of("cities", "boston-ma")
    with database.writing() as session:
        if tampered == "lost note":
            session.execute(text("update cities set summary = 'By hand.' where id = 'boston-ma'"))
        session.execute(text(statement.format(**values)))
    lines = [line.format(**values) for line in expected]
    assert run("ledger", "verify") == (1, [*lines, f"Error: differences: {len(lines)}"])


@pytest.fixture
def story(database: Database, tmp_path: Path) -> Path:
    """A text of ours, known to the database as the source `zz-story` with two citations."""
    file = tmp_path / "story.txt"
    file.write_text(STORY, encoding="utf-8")
    paragraphs = fingerprints.paragraphs(STORY)
    with publishing(database) as session:
        session.execute(
            insert(Source).values(
                id="zz-story",
                title="The pier",
                type=SourceType.ARTICLE,
                language="en",
                text_sha256=fingerprints.text_sha256(STORY),
            )
        )
        for (paragraph, sentence), id in CITED.items():
            said = fingerprints.sentences(paragraphs[paragraph - 1])[sentence - 1]
            session.execute(
                insert(Citation).values(
                    id=id,
                    subject_kind="cities",
                    subject_id="boston-ma",
                    field="/summary",
                    source_id="zz-story",
                    paragraph=paragraph,
                    sentence=sentence,
                    sentence_sha256=fingerprints.sentence_sha256(said),
                    basis=Basis.STATED,
                )
            )
    return file


@pytest.mark.parametrize("end_of_line", ["\n", "\r\n"], ids=repr)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_citations_agree(run: Run, story: Path, encoding: str, end_of_line: str) -> None:
    """A source's own text draws one line and status 0, whatever ends its lines, with a byte-order mark or without."""
    story.write_text(STORY, encoding=encoding, newline=end_of_line)
    assert run("citations", "check", "zz-story", story) == (0, ["Citations that match the text: 2."])


WHOLE = "the text has another fingerprint than the source"


@pytest.mark.parametrize(
    ("old", "new", "complaints"),
    [
        ("12 lamps", "13 lamps", ["zz-pier-lamps: sentence 2 of paragraph 2 has another fingerprint", WHOLE]),
        (" It has 12 lamps.", "", ["zz-pier-lamps: there is no sentence 2 in paragraph 2; it has 1", WHOLE]),
        (
            STORY,
            "The pier\n",
            [
                "zz-pier-lamps: there is no paragraph 2; the text has 1",
                "zz-pier-opened: there is no paragraph 2; the text has 1",
                WHOLE,
            ],
        ),
        (STORY, "", [f"{id}: there is no paragraph 2; the text has 0" for id in sorted(CITED.values())] + [WHOLE]),
        ("Nobody came", "All came", [WHOLE]),
    ],
    ids=["another sentence", "a sentence less", "paragraphs less", "nothing", "where nothing is cited"],
)
def test_citations_of_another_text(run: Run, story: Path, old: str, new: str, complaints: list[str]) -> None:
    """Each citation that a changed text doesn't warrant is named with its fault, and the exit status is 1."""
    story.write_text(STORY.replace(old, new), encoding="utf-8")
    assert run("citations", "check", "zz-story", story) == (1, [*complaints, f"Error: differences: {len(complaints)}"])


def test_citations_of_an_unknown_source(run: Run, database: Database, story: Path) -> None:
    """A source that isn't there is answered with those that are."""
    with database.reading() as session:
        known = ", ".join(sorted(session.scalars(select(Source.id))))
    assert "zz-story" in known
    expected = f"Error: there is no source 'zz-stroy'; the sources are: {known}"
    assert run("citations", "check", "zz-stroy", story) == (1, [expected])


def test_citations_of_no_text(run: Run, story: Path) -> None:
    """A file that is no UTF-8 text is refused in one line, and so is one that is not there."""
    story.write_bytes("Caf\u00e9.".encode("latin-1"))
    status, lines = run("citations", "check", "zz-story", story)
    assert (status, len(lines)) == (1, 1)
    assert re.fullmatch(r"Error: .*story\.txt.*UTF-8.*", lines[0])
    missing = story.with_name("missing.txt")
    status, lines = run("citations", "check", "zz-story", missing)
    assert (status, lines[-1]) == (2, f"Error: Invalid value for 'FILE': File '{missing}' does not exist.")


def missing(store: Store) -> Settings:
    """Name a database that is not there."""
    settings = store.empty()
    return replace(settings, database_url=settings.database_url.replace("/test_", "/missing_"))


def unreachable(store: Store) -> Settings:
    """Name a database where there can't be one: on a port that nobody listens on, or in no folder."""
    if store.dialect == "sqlite":
        return Settings(database_url=f"sqlite:///{store.folder / 'missing' / 'file.sqlite3'}")
    return Settings(database_url=f"postgresql://me:{SECRET}@127.0.0.1:{unused_port()}/cities")


def unmigrated(store: Store) -> Settings:
    """Name an empty database."""
    settings = store.empty()
    with opened(settings, create=True) as database:
        database.engine.connect().close()
    return settings


def earlier(store: Store) -> Settings:
    """Name a database of an earlier release."""
    settings = store.empty()
    upgrade(settings, REVISIONS[0])
    return settings


def later(store: Store) -> Settings:
    """Name a database of a release that is yet to come."""
    settings = earlier(store)
    with opened(settings) as database, database.writing() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    return settings


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (missing, CANNOT_BE_REACHED),
        (unreachable, CANNOT_BE_REACHED),
        (unmigrated, NOT_MIGRATED),
        (earlier, NOT_MIGRATED),
        (later, NOT_MIGRATED),
    ],
)
def test_no_usable_database(store: Store, make: Callable[[Store], Settings], expected: str, tmp_path: Path) -> None:
    """Without a usable database every command ends with one line and status 1, and makes no file."""
    (tmp_path / "story.txt").write_text(STORY, encoding="utf-8")
    settings = make(store)
    with serving(settings) as app:
        for arguments in ("ledger verify", "ledger sweep", f"citations check zz-story {tmp_path / 'story.txt'}", "serve"):
            result = app.test_cli_runner().invoke(args=arguments.split())
            assert isinstance(result.exception, SystemExit)
            assert (arguments, result.exit_code, result.output) == (arguments, 1, f"{expected}\n")
    if store.dialect == "sqlite":
        assert Path(settings.database_url.removeprefix("sqlite:///")).exists() == (expected == NOT_MIGRATED)


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a migrated file, where it doesn't matter which kind of database there is."""
    settings = Settings(database_url=f"sqlite:///{tmp_path_factory.mktemp('file') / 'file.sqlite3'}")
    upgrade(settings)
    return settings.database_url


def refusal(arguments: Sequence[str], **variables: object) -> str:
    """Run a program that must fail with one line, and return the line."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        arguments,
        **PIPED,
        env=environment(variables),
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert SECRET not in done.stdout
    (line,) = done.stdout.splitlines()
    return line


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"mysql://me:{SECRET}@localhost/cities", r"FAILED: DATABASE_URL names the database 'mysql', .*"),
        ("sqlite://folder/file.sqlite3", r"FAILED: DATABASE_URL .*"),
        ("sqlite:///{folder}/missing/file.sqlite3", r"FAILED: the database can't be used: unable to open database file"),
        ("sqlite:///{folder}/other.txt", r"FAILED: the database can't be used: file is not a database"),
        (
            f"postgresql://me:{SECRET}@127.0.0.1:{{port}}/cities",
            r"FAILED: the database can't be used: .*127\.0\.0\.1.*{port}.*",
        ),
        (f"postgresql://me:{SECRET}@127.0.0.1:{{port}}/cities?colour=red", r"FAILED: the database can't be used: .*colour.*"),
    ],
)
def test_upgrade_of_no_database(tmp_path: Path, url: str, expected: str) -> None:
    """`alembic upgrade head` with a wrong or unreachable DATABASE_URL says why in one line, and shows no password."""
    (tmp_path / "other.txt").write_text("This is no database, although it is long enough to be one.\n" * 20, encoding="utf-8")
    values = {"folder": str(tmp_path), "port": str(unused_port())}
    for name, value in values.items():
        url, expected = url.replace(f"{{{name}}}", value), expected.replace(f"{{{name}}}", value)
    assert re.fullmatch(expected, refusal(ALEMBIC, DATABASE_URL=url))


def test_upgrade_of_a_locked_file(tmp_path: Path) -> None:
    """`alembic upgrade head` on a file that another program holds locked gives up after LOCK_TIMEOUT, in one line."""
    file = tmp_path / "locked.sqlite3"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin exclusive")
        line = refusal(ALEMBIC, DATABASE_URL=f"sqlite:///{file}", LOCK_TIMEOUT=1)
    assert line == "FAILED: the database can't be used: database is locked"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PORT": "http"}, "digital-cities-api: PORT='http' is not a whole number from 1 to 65535"),
        (
            {"PUBLIC_URL": "example"},
            "digital-cities-api: PUBLIC_URL='example' is not an address such as https://api.example.org",
        ),
        ({"DATABASE_URL": f"mysql://me:{SECRET}@h/n"}, "digital-cities-api: DATABASE_URL names the database 'mysql', .*"),
        ({"DATABASE_URL": "sqlite://folder/file.sqlite3"}, "digital-cities-api: DATABASE_URL .*"),
        ({"DATABASE_URL": "sqlite:///missing/file.sqlite3"}, re.escape(CANNOT_BE_REACHED)),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_serve_with_wrong_settings(variables: dict[str, object], expected: str) -> None:
    """`serve` with a wrong variable names it in one line, and ends."""
    assert re.fullmatch(expected, refusal(SERVE, **variables))


def test_serve_without_a_migrated_database(store: Store) -> None:
    """`serve` on an empty database says what to run in one line, and ends."""
    assert refusal(SERVE, DATABASE_URL=unmigrated(store).database_url, PORT=unused_port()) == NOT_MIGRATED


def test_serve_on_a_taken_port(file: str) -> None:
    """`serve` on a port that another program listens on names it in one line, and ends."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = refusal(SERVE, DATABASE_URL=file, PORT=port)
    assert line == f"Error: can't listen on HOST=127.0.0.1 PORT={port}: Address already in use"


@pytest.mark.parametrize("host", ["192.0.2.1", "caf\u00e9..example", "::ffff"])
def test_serve_on_an_address_of_others(file: str, host: str) -> None:
    """`serve` on an address that this machine doesn't have, or that is none, names it in one line, and ends."""
    port = unused_port()
    line = refusal(SERVE, DATABASE_URL=file, HOST=host, PORT=port)
    assert line.startswith(f"Error: can't listen on HOST={host} PORT={port}: ")


def get(url: str) -> tuple[int, Any]:
    """Ask a server over HTTP."""
    with urlopen(url, timeout=60) as response:
        return response.status, json.loads(response.read())


def answers(base: str) -> None:
    """See that a server is ready and serves a list."""
    assert get(f"{base}/readyz") == (200, {"status": "ok"})
    status, cities = get(f"{base}/cities?limit=1")
    assert (status, cities["page"]["limit"], len(cities["data"])) == (200, 1, 1)
    assert cities["links"]["self"] == f"{base}/cities?limit=1"


def end(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Ask a server's whole group to stop, again and again, see that its processes are gone, and return what it said."""
    workers = psutil.Process(process.pid).children()
    assert workers
    with suppress(ProcessLookupError):
        for _ in range(200):
            os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [worker for worker in workers if worker.is_running()] == []
    return output


@pytest.mark.parametrize(("host", "number"), [("127.0.0.1", signal.SIGTERM), ("localhost", signal.SIGINT)])
def test_serve(file: str, host: str, number: signal.Signals) -> None:
    """`serve` answers over HTTP, on a name as on an address, until it is asked to stop, and leaves no process behind, however often it is asked."""
    port = unused_port()
    with listening(SERVE, host, port, DATABASE_URL=file, HOST=host, PORT=port) as process:
        # Before, granian forgets what a worker is told, and kills it ten seconds later.
        begun = list(itertools.takewhile(lambda line: "Started worker-2" not in line, process.stdout or []))
        answers(f"http://{host}:{port}")
        output = end(process, number)
    assert begun[0].rstrip() == f"Serving on http://{host}:{port}, documentation at /docs; stop with Ctrl-C."
    assert "refused to gracefully stop" not in output
    assert "Traceback" not in output


def test_serve_killed(file: str) -> None:
    """When the server is killed, its workers end with it, and its port is free."""
    port = unused_port()
    with listening(SERVE, "127.0.0.1", port, DATABASE_URL=file, PORT=port) as process:
        answers(f"http://127.0.0.1:{port}")
        workers = psutil.Process(process.pid).children()
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
    assert not accepts("127.0.0.1", port)


def test_workers_inherit_no_connection(store: Store, settings: Settings) -> None:
    """The connection that looked at the database before the start is closed before there are workers to share it."""
    port = unused_port()
    with listening(SERVE, "127.0.0.1", port, DATABASE_URL=settings.database_url, PORT=port) as process:
        # Nobody has asked anything yet, so any connection would be the one from before.
        wait_until(lambda: connections(store, settings) == 0, process)
        # The control: one that a worker makes is counted.
        answers(f"http://127.0.0.1:{port}")
        assert connections(store, settings) > 0
        end(process, signal.SIGTERM)


def connections(store: Store, settings: Settings) -> int:
    """Count who is connected; for SQLite, whether anybody is."""
    if store.dialect == "sqlite":
        # The last connection that closes takes this file away.
        return int(Path(f"{settings.database_url.removeprefix('sqlite:///')}-wal").exists())
    with opened(settings) as database, database.reading() as session:
        others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        return int(session.scalar(text(others)) or 0)


def test_collector_spares_what_stays(file: str) -> None:
    """The application, loaded as a server loads it, is nothing that the garbage collector looks through."""
    program = "import gc, wsgi; print(gc.get_freeze_count(), len(gc.get_objects()))"
    environ = {**os.environ, "DATABASE_URL": file}
    found = subprocess.run((sys.executable, "-c", program), env=environ, cwd=ROOT, capture_output=True, check=True, text=True)
    frozen, watched = map(int, found.stdout.split())
    assert (frozen > 100_000, watched < 1_000) == (True, True)


def test_gunicorn(file: str) -> None:
    """`gunicorn wsgi:app` serves the same, and leaves no process behind either."""
    port = unused_port()
    arguments = (sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{port}", "--no-control-socket")
    with listening((*arguments, "--limit-request-line", "0"), "127.0.0.1", port, DATABASE_URL=file) as process:
        answers(f"http://127.0.0.1:{port}")
        long = refused(f"http://127.0.0.1:{port}/cities?limit={'1' * 102_400}")
        output = end(process, signal.SIGTERM)
    assert "Traceback" not in output
    assert (long[0], long[1], json.loads(long[2])["status"]) == (414, "application/problem+json", 414)


def refused(address: str) -> tuple[int, str, bytes]:
    """Return the status, the media type and the body of an answer that is no success."""
    with pytest.raises(HTTPError) as refusal:
        urlopen(address, timeout=30)
    with refusal.value as error:
        return error.code, error.headers.get_content_type(), error.read()


def test_long_query_on_the_wire(file: str) -> None:
    """`serve` answers a long query with our problem; above 64 KiB its HTTP library says 414 before us, without a body."""
    port = unused_port()
    with listening(SERVE, "127.0.0.1", port, DATABASE_URL=file, PORT=port) as process:
        ours = refused(f"http://127.0.0.1:{port}/cities?limit={'1' * 60_000}")
        theirs = refused(f"http://127.0.0.1:{port}/cities?limit={'1' * 102_400}")
        end(process, signal.SIGTERM)
    assert (ours[0], ours[1], json.loads(ours[2])["errors"][0]["allowed"]) == (
        414,
        "application/problem+json",
        {"maximum": MAX_QUERY_STRING},
    )
    assert (theirs[0], theirs[2]) == (414, b"")


def test_sweep_names_what_it_can_not_publish(run: Run, database: Database) -> None:
    """A record that its schema forbids is named, with status 1; the rest of the sweep is published all the same."""
    last = head(database)
    with database.engine.begin() as connection:
        connection.execute(text("update cities set summary = 'Fine.' where id = 'boston-ma'"))
        connection.execute(text("update initiatives set started = '9999-99' where id = 'los-angeles-ca-myla311'"))
    status, lines = run("ledger", "sweep")
    assert (status, lines[0], lines[-1]) == (
        1,
        f"Changes published: 1; the dataset is at version {last + 1}.",
        "Error: differences: 1",
    )
    assert lines[1].startswith("initiatives/los-angeles-ca-myla311: can't be published: ")


def test_sweep_of_a_locked_ledger(settings: Settings, database: Database) -> None:
    """When another writer holds the ledger for too long, the command says so in one line."""
    with serving(replace(settings, lock_timeout=1)) as app, database.engine.connect() as connection:
        connection.execute(text("update ledger_head set one = 1"))
        result = app.test_cli_runner().invoke(args=["ledger", "sweep"])
        connection.rollback()
    (line,) = result.output.splitlines()
    assert result.exit_code == 1
    assert line.startswith("Error: the database stopped answering: ")
    assert "lock" in line


def test_looking_publishes_nothing(settings: Settings, database: Database) -> None:
    """Only an upgrade publishes: asking alembic where a database stands leaves raw changes to `ledger sweep`."""
    last = head(database)
    with database.engine.begin() as connection:
        connection.execute(text("update cities set summary = 'Raw.' where id = 'boston-ma'"))
    environment = {**os.environ, "DATABASE_URL": settings.database_url}
    for command in ("current", "check", "upgrade head"):
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *command.split()],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert head(database) == last


def test_new_epoch(run: Run, settings: Settings, database: Database) -> None:
    """A new epoch is said with the version that it begins with, and what is written next has it."""
    said = "Epoch 1 has begun: its first version is 1000000000001. Clients that saw lost versions are told so."
    assert run("ledger", "new-epoch") == (0, [said])
    assert head(database) == 603
    with serving(settings) as app:
        answer = curating(app.test_client(), database).patch("/cities/boston-ma", json={"summary": "New."}, headers=ANY)
    assert answer.get_json()["data"]["version"] == head(database) == 10**12 + 1
    assert run("ledger", "verify")[0] == 0


def test_trim(run: Run, settings: Settings, database: Database) -> None:
    """Trimming cuts what was superseded for longer than that, and says how much."""
    with serving(settings) as app:
        curator = curating(app.test_client(), database)
        for summary in ("One.", "Two."):
            curator.patch("/cities/boston-ma", json={"summary": summary}, headers=ANY)
    assert run("ledger", "trim", "--older-than", "1d") == (0, ["Documents removed: 0."])
    assert run("ledger", "trim", "--older-than", "0d") == (0, ["Documents removed: 2."])
    assert run("ledger", "trim", "--older-than", "0d") == (0, ["Documents removed: 0."])
    assert run("ledger", "verify")[0] == 0
    for wrong in ("365", "-1d", "yesterday"):
        status, said = run("ledger", "trim", "--older-than", wrong)
        assert (status, said[-1]) == (
            2,
            f"Error: Invalid value for '--older-than': {wrong!r} is not a number of days, such as 365d",
        )


def test_erase(run: Run, settings: Settings, database: Database) -> None:
    """Erasing cuts the past of one record, and reminds of what it says now; a deleted one says nothing any more."""
    with serving(settings) as app:
        curator = curating(app.test_client(), database)
        curator.post("/cities", json={"id": "a-zz", "name": "A", "state": "ZZ", "country": "US"})
        curator.patch("/cities/boston-ma", json={"summary": "One."}, headers=ANY)
        curator.delete("/cities/a-zz", headers=ANY)
    assert run("ledger", "erase", "cities", "a-zz") == (0, ["Documents erased: 1."])
    assert run("ledger", "erase", "cities", "boston-ma") == (0, ["Documents erased: 1. The current document stays."])
    assert run("ledger", "erase", "cities", "nowhere") == (1, ["Error: there has never been a record cities/nowhere"])
    assert run("ledger", "erase", "mayors", "a")[0] == 2
    assert run("ledger", "verify")[0] == 0
