"""Two curators and an import at once: nothing that was acknowledged is lost."""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from api.editing import exports
from api.editing.imports import ONE_COMMIT
from api.ledger.verify import verify
from api.resources import BY_NAME
from api.settings import Settings
from api.web import keys
from tests.support.applications import serving
from tests.support.files import city, load

CITIES = ("boston-ma", "seattle-wa", "san-diego-ca")


def lost_after_import(settings: Settings, folder: Path, *, overwrite: bool) -> tuple[int, set[str]]:
    """Import a large file that was exported before two curators began to write; return what they wrote, and what is lost."""
    acknowledged: list[str] = []
    with serving(replace(settings, write_limit="1000000/minute")) as app, ThreadPoolExecutor(2) as pool:
        database = app.extensions["database"]
        (path,) = exports.export(database, folder, "ndjson", [BY_NAME["cities"]])
        rows = [json.loads(line) | {"state_capital": True} for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [*(city(f"city-{number}-ca") for number in range(ONE_COMMIT)), *rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        with database.writing() as session:
            secret = keys.issue(session, "curator", ["write"], None)
        ended, begun = threading.Event(), threading.Barrier(3)

        def curate(name: str) -> None:
            client, chance = app.test_client(), random.Random(name)  # noqa: S311 - nothing is secret
            number = 0
            while not ended.is_set() or not number:
                token, read = f"{name}{number}", client.get(f"/cities/{chance.choice(CITIES)}")
                summary = f"{read.get_json()['data']['summary'] or ''} {token}".strip()
                headers = {"Authorization": f"Bearer {secret}", "If-Match": read.headers["ETag"]}
                answer = client.patch(read.request.path, json={"summary": summary}, headers=headers)
                if answer.status_code == 200:
                    acknowledged.append(token)
                    number += 1
                    if number == 1:
                        begun.wait()

        curators = [pool.submit(curate, name) for name in ("ada", "grace")]
        begun.wait()
        try:
            imported = load(database, path, overwrite=overwrite)
        finally:
            ended.set()
        for curator in curators:
            curator.result()
        assert (imported.faults, imported.statuses["created"]) == ([], ONE_COMMIT)
        client = app.test_client()
        cities = [client.get(f"/cities/{id}").get_json()["data"] for id in CITIES]
        assert [city["state_capital"] for city in cities] == [True] * len(CITIES)
        with database.reading() as session:
            assert list(verify(session)) == []
    there = {token for city in cities for token in (city["summary"] or "").split()}
    return len(acknowledged), {*acknowledged} - there


@pytest.mark.slow
def test_nothing_is_lost(settings: Settings, tmp_path: Path) -> None:
    """All that the curators were told is stored is there, and so is what the file changed in the same records."""
    written, lost = lost_after_import(settings, tmp_path, overwrite=False)
    assert written >= 2
    assert lost == set()


@pytest.mark.slow
def test_overwriting_loses_what_others_wrote(settings: Settings, tmp_path: Path) -> None:
    """The control: an import that overwrites undoes what the curators wrote between the export and its end."""
    _, lost = lost_after_import(settings, tmp_path, overwrite=True)
    assert lost
