"""`citations check` compares a text with its citations and with our words, and `citations locate` prints its sentences."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from api.db.database import Database
from api.resources.sources import Source
from api.schema import fingerprints
from api.settings import Settings
from tests.support.answers import Json
from tests.support.applications import curating, serving
from tests.support.citations import CITED, STORY, citation, delete, operations, patch
from tests.support.databases import Store, publishing
from tests.support.processes import Run

Checked = Callable[..., tuple[int, list[str]]]
TITLES = {
    "mismatched": "Citations that do not match the text",
    "pointless": "Citations that support nothing",
    "uncited": "Facts without a citation",
    "unjudged": "Judgements without a sentence of their own",
    "copied": "Sequences of 8 or more words of the source in our texts",
    "shared": "Sequences of 6 or 7 words of the source in our texts",
    "unused": "Sentences that no citation uses",
}
LAMPS = "initiatives/zz-lamps"
UNUSED_ALWAYS = ["1.1 The pier", "3.1 Nobody came."]
WHOLE = "the text has another fingerprint than the source"
TO_METRICS, TO_PRIORITIES = citation("initiatives", "/metrics/0"), citation("initiatives", "/priorities/0")


@pytest.fixture(scope="module")
def migrated(store: Store, migrated: Settings) -> Settings:
    """The template, with the source `zz-story` and records whose facts are all cited from it."""
    settings = store.copy(migrated)
    with serving(settings) as app:
        client = curating(app.test_client(), app.extensions["database"], name="author")
        answer = client.post("/changesets", json={"operations": operations()})
        assert answer.status_code == 200, answer.get_json()
    return settings


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """The text of `zz-story`."""
    file = tmp_path / "story.txt"
    file.write_text(STORY, encoding="utf-8")
    return file


def report(**found: list[str]) -> tuple[int, list[str]]:
    """Return the status and the lines of a check that reports these lines in its sections, and nothing else."""
    sections = {"unused": UNUSED_ALWAYS, **found}
    lines: list[str] = []
    for name, title in TITLES.items():
        listed = sections.get(name, [])
        lines += [f"{title}: {len(listed)}.", *(f"  {row}" for row in listed)]
    faults = sum(len(rows) for name, rows in found.items() if name not in {"shared", "unused"})
    return (1, [*lines, f"Error: faults: {faults}"]) if faults else (0, lines)


def summary(words: str) -> Json:
    """Return an operation that gives the initiative another summary."""
    return patch("initiatives", "zz-lamps", summary=words)


@pytest.fixture
def checked(run: Run, curator: FlaskClient, story: Path) -> Checked:
    """Carries out operations, and checks the text with declared names; returns the status and the lines."""

    def check(*changes: Json, names: str = "") -> tuple[int, list[str]]:
        if changes:
            answer = curator.post("/changesets", json={"operations": changes})
            assert answer.status_code == 200, answer.get_json()
        declared = story.with_name("names.txt")
        declared.write_text(names, encoding="utf-8")
        return run("citations", "check", "zz-story", story, *(["--names", declared] if names else []))

    return check


# --- citations and the text


@pytest.mark.parametrize("end_of_line", ["\n", "\r\n"], ids=repr)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_citations_agree(run: Run, story: Path, encoding: str, end_of_line: str) -> None:
    """A source's own text gets status 0, with any line ends and with or without a byte order mark."""
    story.write_text(STORY, encoding=encoding, newline=end_of_line)
    assert run("citations", "check", "zz-story", story) == report()


ALL = sorted(citation(kind, field) for kind, fields in CITED.items() for field in fields)
LAST = sorted(citation(kind, field) for kind, fields in CITED.items() for field, sentence in fields.items() if sentence == 2)


@pytest.mark.parametrize(
    ("old", "new", "complaints"),
    [
        ("12 lamps", "13 lamps", [f"{id}: sentence 2 of paragraph 2 has another fingerprint" for id in LAST]),
        (
            STORY.split("opened.")[1],
            "\nNobody came.",
            [f"{id}: there is no sentence 2 in paragraph 2; it has 1" for id in LAST],
        ),
        (STORY, "The pier\n", [f"{id}: there is no paragraph 2; the text has 1" for id in ALL]),
        (STORY, "", [f"{id}: there is no paragraph 2; the text has 0" for id in ALL]),
        ("Nobody came", "All came", []),
    ],
    ids=["another sentence", "a sentence less", "paragraphs less", "nothing", "where nothing is cited"],
)
def test_citations_of_another_text(run: Run, story: Path, old: str, new: str, complaints: list[str]) -> None:
    """Each citation that a changed text doesn't warrant is named with its fault, and the exit status is 1."""
    changed = STORY.replace(old, new)
    story.write_text(changed, encoding="utf-8")
    unused = [f"{row.place} {row.first_words}" for row in fingerprints.located(changed) if row.paragraph != 2]
    assert run("citations", "check", "zz-story", story) == report(mismatched=[WHOLE, *complaints], unused=unused)


def test_citations_of_an_unknown_source(run: Run, database: Database, story: Path) -> None:
    """An unknown source is refused with a list of the known ones."""
    with database.reading() as session:
        known = ", ".join(sorted(session.scalars(select(Source.id))))
    assert "zz-story" in known
    expected = f"Error: there is no source 'zz-stroy'; the sources are: {known}"
    assert run("citations", "check", "zz-stroy", story) == (1, [expected])


@pytest.mark.parametrize("command", ["check", "locate"])
def test_citations_of_no_text(run: Run, story: Path, command: str) -> None:
    """A file that is no UTF-8 text is refused in one line, and so is one that is not there."""
    story.write_bytes("Caf\u00e9.".encode("latin-1"))
    status, lines = run("citations", command, "zz-story", story)
    assert (status, len(lines)) == (1, 1)
    assert re.fullmatch(r"Error: .*story\.txt.*UTF-8.*", lines[0])
    missing = story.with_name("missing.txt")
    status, lines = run("citations", command, "zz-story", missing)
    assert (status, lines[-1]) == (2, f"Error: Invalid value for 'FILE': File '{missing}' does not exist.")


# --- facts and citations


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ([delete(citation("initiatives", "/status"))], {"uncited": [f"{LAMPS}: /status"]}),
        ([delete(TO_METRICS)], {"uncited": [f"{LAMPS}: /metrics"]}),
        (
            [patch("citations", TO_METRICS, field="/metrics/0/value")],
            {"uncited": [f"{LAMPS}: /metrics/0/{name}" for name in ("kind", "name", "unit")]},
        ),
        ([patch("citations", TO_METRICS, field="/metrics")], {}),
        ([patch("citations", TO_PRIORITIES, field="/priorities")], {"unjudged": [f"{LAMPS}: /priorities/0"]}),
        (
            [
                patch("initiatives", "zz-lamps", priorities=["modernization", "cybersecurity"]),
                patch("citations", TO_PRIORITIES),
            ],
            {"unjudged": [f"{LAMPS}: /priorities/1"]},
        ),
        (
            [patch("citations", citation("cities", "/name"), field="/summary")],
            {
                "pointless": [f"cities/zz-ca: /summary is empty, the field of citations/{citation('cities', '/name')}"],
                "uncited": ["cities/zz-ca: /name"],
            },
        ),
    ],
    ids=["member", "list", "part of an item", "whole list", "judged as a whole", "one more judged", "nothing there"],
)
def test_facts_need_citations(checked: Checked, changes: list[Json], found: dict[str, list[str]]) -> None:
    """Each fact needs a citation of itself or around it, and each judgement one of its own; what is empty needs none."""
    assert checked(*changes) == report(**found)


def test_facts_of_other_sources(curator: FlaskClient, checked: Checked) -> None:
    """A gap in a record that only another source is cited for is not this one's, but a record without any citation is reported."""
    rows = curator.get("/citations?subject_id=boston-ma&subject_kind=cities").get_json()["data"]
    deletions = [delete(row["id"]) for row in rows]
    assert checked(deletions[0]) == report()
    uncited = [f"cities/boston-ma: /{name}" for name in ("name", "state", "country", "location", "identifiers")]
    assert checked(*deletions[1:]) == report(uncited=uncited)


def test_dangling(run: Run, database: Database, story: Path) -> None:
    """A citation that raw SQL points to nothing is a fault, and so is one of a record that is not published."""
    with publishing(database) as session:
        session.execute(text(f"update citations set field = '/metrics/9' where id = '{TO_METRICS}'"))
    with database.writing() as session:
        session.execute(text("insert into priorities (id, name, description) values ('zz-new', 'New', 'New.')"))
        session.execute(
            text(f"update citations set subject_kind = 'priorities', subject_id = 'zz-new' where id = '{TO_PRIORITIES}'")
        )
    assert run("citations", "check", "zz-story", story) == report(
        pointless=[
            f"citations/{TO_METRICS}: {LAMPS} has nothing at /metrics/9",
            f"citations/{TO_PRIORITIES}: priorities/zz-new is not published",
        ],
        uncited=[f"{LAMPS}: /metrics/0"],
        unjudged=[f"{LAMPS}: /priorities/0"],
    )


# --- the source's words

COST = {"id": "zz-cost", "name": "Cost to the City", "type": "company"}


@pytest.mark.parametrize(
    ("changes", "names", "found"),
    [
        (
            [summary("They BURN all night, at \u201cno cost\u201d to the city!")],
            "",
            {"copied": [f'{LAMPS}: /summary: 9 words: "BURN all night at no cost to the city"']},
        ),
        (
            [summary("They shine all night at no cost to all.")],
            "",
            {"shared": [f'{LAMPS}: /summary: 6 words: "all night at no cost to"']},
        ),
        ([summary("They burn all night at no Cost to the City.")], "Something else\n\n  Cost to the  City \n", {}),
        (
            [patch("initiatives", "zz-lamps", title="Lamps that burn all night at no cost to the city")],
            "",
            {"copied": [f'{LAMPS}: /title: 11 words: "Lamps that burn all night at no cost to the city"']},
        ),
        (
            [
                patch(
                    "initiatives",
                    "zz-lamps",
                    metrics=[
                        {
                            "name": "burn all night at no cost to the",
                            "value": 12,
                            "unit": "l",
                            "kind": "count",
                            "qualifier": None,
                        }
                    ],
                ),
                patch("citations", TO_METRICS),
            ],
            "",
            {"copied": [f'{LAMPS}: /metrics/0/name: 8 words: "burn all night at no cost to the"']},
        ),
    ],
    ids=["copied", "shared", "declared name", "title", "inside a part"],
)
def test_words_of_the_source(checked: Checked, changes: list[Json], names: str, found: dict[str, list[str]]) -> None:
    """Eight words of the source in a row fail in any text of ours, six are listed, and words of declared names do not count."""
    assert checked(*changes, names=names) == report(**found)


def test_names_of_records(checked: Checked) -> None:
    """The names of records are proper names without being declared."""
    copied = f'{LAMPS}: /summary: 9 words: "burn all night at no Cost to the City"'
    assert checked(summary("They burn all night at no Cost to the City.")) == report(copied=[copied])
    uncited = ["organizations/zz-cost: /name", "organizations/zz-cost: /type"]
    assert checked({"op": "create", "kind": "organizations", "document": COST}) == report(uncited=uncited)


# --- places


def rows() -> list[Json]:
    """Return the sentences of the text as `locate` prints them."""
    said = [
        (1, 1, "The pier", "The pier"),
        (2, 1, "The pier of St. Mary opened.", "The pier of St. Mary\u2026"),
        (2, 2, "It has 12 lamps that burn all night at no cost to the city.", "It has 12 lamps that\u2026"),
        (3, 1, "Nobody came.", "Nobody came."),
    ]
    return [
        {
            "source": "zz-story",
            "paragraph": paragraph,
            "sentence": sentence,
            "sentence_sha256": fingerprints.sentence_sha256(whole),
            "first_words": words,
        }
        for paragraph, sentence, whole, words in said
    ]


def test_locate(run: Run, story: Path) -> None:
    """Each sentence has a line with its place, its fingerprint and its first words; JSON and CSV have the same."""
    expected = [f"{row['paragraph']}.{row['sentence']}     {row['sentence_sha256']}  {row['first_words']}" for row in rows()]
    assert run("citations", "locate", "zz-story", story) == (0, expected)
    status, lines = run("citations", "locate", "zz-story", story, "--format", "json")
    sha256 = fingerprints.text_sha256(STORY)
    assert (status, json.loads("\n".join(lines))) == (0, {"sentence_rule": 2, "text_sha256": sha256, "sentences": rows()})
    status, lines = run("citations", "locate", "zz-story", story, "--format", "csv")
    table = [{name: str(value) for name, value in row.items()} for row in rows()]
    assert (status, list(csv.DictReader(lines))) == (0, table)


def test_locate_for_another_source(run: Run, story: Path) -> None:
    """A source that does not exist yet gets its fingerprint, and a text that is not the source's a warning; both are located."""
    sha256 = fingerprints.text_sha256(STORY)
    status, lines = run("citations", "locate", "zz-new", story)
    assert (status, lines[0], len(lines)) == (0, f"There is no source 'zz-new' yet. Its `text_sha256` is {sha256}.", 5)
    story.write_text("Another text.", encoding="utf-8")
    status, lines = run("citations", "locate", "zz-story", story)
    sha256 = fingerprints.text_sha256("Another text.")
    warning = f"Warning: this is not the text of 'zz-story': its `text_sha256` is {sha256}."
    assert (status, lines[0], len(lines)) == (0, warning, 2)
