"""`citations check` compares a text with its citations."""

import re
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from api.db.database import Database
from api.resources.citations import Basis, Citation
from api.resources.sources import Source, SourceType
from api.schema import fingerprints
from tests.support.citations import CITED, STORY
from tests.support.databases import publishing
from tests.support.processes import Run


@pytest.fixture
def story(database: Database, tmp_path: Path) -> Path:
    """A text of ours, in the database as the source `zz-story` with two citations."""
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
    """A source's own text gets one line and status 0, with any line ends and with or without a byte order mark."""
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
    """An unknown source is refused with a list of the known ones."""
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
