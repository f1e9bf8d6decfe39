"""Files of records: each form holds every value, and what is no file of records is refused with its line."""

import csv
import json
import tracemalloc
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from api.db.database import Database
from api.editing import entries, exports
from api.editing.file_faults import FileError
from api.editing.file_formats import FILE_FORMATS, MAX_RECORD, TOO_LONG, WINDOW, WRITTEN, value_of
from api.editing.files import names_of, records_of
from api.editing.inputs import members
from api.editing.sheets import tables
from api.editing.sources import opened
from api.editing.yaml_records import HINT
from api.resources import BY_NAME
from api.schema.canonical import PUBLICATION, Content
from api.schema.formats import cell
from api.schema.resource import Resource
from tests.support.applications import serving
from tests.support.files import city, contents, load, said, write
from tests.support.lengths import examples, few

LONG = "x" * MAX_RECORD
# Nine levels of ten aliases each, for a thousand million values in 500 bytes.
ALIASES = "- &a0 x\n" + "".join(f"- &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10))
FILES = [
    ("cities.yaml", "- [", f"cities.yaml:2: did not find expected node content; {HINT}"),
    ("cities.yaml", "- {id: a, id: b}", "cities.yaml:1: the key 'id' occurs twice"),
    ("cities.yaml", "id: a", "cities.yaml:1: a file of records is a list: each record begins with `- `"),
    ("cities.yaml", "\n- id: {{ city_id }}", f"cities.yaml:2: a key is a text; {HINT}"),
    ("cities.yaml", "- id: a\n- id: b\n  name: a: b", f"cities.yaml:3: mapping values are not allowed in this context; {HINT}"),
    ("cities.yaml", "- &a [*a]", f"cities.yaml:1: the alias `*a` has no anchor before it; {HINT}"),
    ("cities.yaml", "- id: !x a", "cities.yaml:1: the tag `!x` is not allowed: leave it out, or put the text into quotes"),
    ("cities.yaml", f"- id: 1{'0' * 5000}", "cities.yaml:1: a number has too many digits"),
    ("cities.yaml", "- " * 10_000, "cities.yaml:1: it is nested too deeply"),
    ("cities.yaml", "[]\n---\n[]", "cities.yaml:2: a file of records is one document: remove this `---`"),
    ("cities.yaml", "- id: a\x07", "cities.yaml:1: unacceptable character #x0007: control characters are not allowed"),
    ("cities.yaml", ALIASES, f"cities.yaml:7: {TOO_LONG}, with a copy of its value for each alias"),
    ("cities.yaml", b"- id: \xff", "cities.yaml:1: the file is not in UTF-8"),
    ("cities.json", "[{}", "cities.json:1: the records of a list are separated by one comma each"),
    ("cities.json", "[\n{},\n]", "cities.json:3: the records of a list are separated by one comma each"),
    ("cities.json", '[{"a": 1, "a": 2}]', "cities.json:1: a key occurs twice"),
    ("cities.json", '[{"a": NaN}]', "cities.json:1: NaN is not a number of JSON"),
    ("cities.json", "[{}] x", "cities.json:1: the file goes on after the end of the list"),
    ("cities.json", "5", "cities.json:1: a file of records is a list, or an object whose `data` is one"),
    ("cities.json", "[" * 100_000, "cities.json:1: it is nested too deeply"),
    ("cities.ndjson", "{}\n{", "cities.ndjson:2: Expecting property name enclosed in double quotes at character 1"),
    (
        "cities.csv",
        "id,id\na,b\n",
        'cities.csv, row 1: the column `id` occurs twice: leave one out, by another name and `--columns "NAME="`, such as `id 2`',
    ),
    (
        "cities.csv",
        "id,name\na\n",
        "cities.csv, row 2: the header has 2 cells, and this row 1: put quotes around a cell with a comma",
    ),
    (
        "cities.csv",
        'id,name\na,"b\n',
        "cities.csv, row 2: unexpected end of data: a cell in quotes ends with a quote, and has two for each quote in it",
    ),
    ("cities.csv", f"id,name\na,{LONG}\n", f"cities.csv, row 2: {TOO_LONG}"),
    ("cities.ndjson", f'{{"id": "a"}}\n{{"id": "{LONG}"}}', f"cities.ndjson:2: {TOO_LONG}"),
    (
        "cities.json",
        f'[\n{{"id": "{LONG}}}]',
        f"cities.json:2: {TOO_LONG}, or this is not JSON: Unterminated string starting at",
    ),
    ("cities.json", '[\n\n{"id": {{ city_id }}}]', "cities.json:3: Expecting property name enclosed in double quotes"),
    ("cities.json", "[{},{}", "cities.json:1: the records of a list are separated by one comma each"),
    ("cities.json", "[,{}]", "cities.json:1: Expecting value"),
    ("cities.json", "", "cities.json:1: a file of records is a list, or an object whose `data` is one"),
    ("citys.json", "[]", "citys.json:1: a file is named for its noun, and 'citys' is not a noun; did you mean cities.json?"),
    ("cities.doc", "", "cities.doc:1: a file of records ends with .yaml, .json, .ndjson, .csv, .xlsx, .ods"),
]


@pytest.mark.parametrize(("name", "content", "expected"), FILES)
def test_files_that_are_none(database: Database, tmp_path: Path, name: str, content: str | bytes, expected: str) -> None:
    """A file that can't be read says where and why."""
    assert said(load(database, write(tmp_path, name, content)), tmp_path) == [expected]


def test_yaml_has_the_types_of_json(tmp_path: Path) -> None:
    """What looks like a date, or like a word for yes or no, is a text; numbers, true, false and null are those of JSON."""
    text = "- {a: NO, b: 2024-07-31, c: 2024-07, d: 12:30, e: 0x1f, f: 1_000, g: 007, h: 2024, i: -1.5, j: true, k: null, l: ~, m: .nan}"
    (record,) = records_of(write(tmp_path, "cities.yaml", text))
    assert list(record.content.values()) == [
        "NO",
        "2024-07-31",
        "2024-07",
        "12:30",
        "0x1f",
        "1_000",
        "007",
        2024,
        -1.5,
        True,
        None,
        None,
        ".nan",
    ]


def test_aliases_are_copies(tmp_path: Path) -> None:
    """A value with an anchor stands wherever its alias is, in later records too."""
    path = write(tmp_path, "cities.yaml", "- id: a\n  summary: &it One.\n- {id: b, summary: *it}\n")
    assert [record.content for record in records_of(path)] == [{"id": "a", "summary": "One."}, {"id": "b", "summary": "One."}]


@pytest.mark.parametrize("form", few(WRITTEN, "csv", "json"))
def test_a_file_is_not_read_whole(database: Database, tmp_path: Path, form: str) -> None:
    """A file of any format takes no more memory than a few of its records."""
    noun, number = BY_NAME["sources"], 6_000
    contents = (
        {**dict.fromkeys([*members(noun.schema), *PUBLICATION]), "id": f"a-{n}", "label": "x" * 300} for n in range(number)
    )
    paths = put(tmp_path, noun, form, contents)
    size = 6_000 * 300
    tracemalloc.start()
    try:
        with opened(database, paths[:1]) as sources:
            assert sum(1 for source in sources.taken for _ in records_of(source)) == number
        assert tracemalloc.get_traced_memory()[1] < size / 3
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 2, 3, 7, WINDOW])
def test_json_is_read_through_a_window_of_any_size(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the window ends, within a text, a number or an escape, the records and their lines are the same."""
    monkeypatch.setattr("api.editing.file_formats.WINDOW", size)
    text = ' [\n {"id": "a\\u00e9\\\\", "n": -1.5e-3},\n\n 12345 , [1], "x\\"y"\n,\n{}]\n'
    records = list(records_of(write(tmp_path, "cities.json", text)))
    assert [record.line for record in records] == [2, 4, 4, 4, 6]
    assert [record.content for record in records] == json.loads(text, parse_float=Decimal)


def test_an_id_twice(tmp_path: Path) -> None:
    """An id is in one file once."""
    paths = [write(tmp_path, "cities.json", [city("a-ca"), city("a-ca")]), write(tmp_path, "cities.yaml", [city("a-ca")])]
    _, _, faults = entries.read(paths)
    assert [(Path(str(fault.file)).name, fault.line, fault.field) for fault in faults] == [
        ("cities.json", 1, "id"),
        ("cities.yaml", 1, "id"),
    ]


@given(values=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)))
def test_lists_of_texts_come_back(values: list[str]) -> None:
    """Whatever the texts of a list, its cell is read as that list."""
    field = members(BY_NAME["initiatives"].schema)["awards"]
    assert value_of(cell(values), field) == values


@pytest.mark.parametrize("form", WRITTEN)
@given(
    title=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    value=st.decimals(-(10**9), 10**9, places=6),
)
@limits(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_and_number_comes_back(
    database: Database, tmp_path_factory: pytest.TempPathFactory, form: str, title: str, value: Any
) -> None:
    """Whatever a text and a number are, a file holds them."""
    noun = BY_NAME["initiatives"]
    metric = {"name": title, "value": float(value), "unit": "x", "kind": "count", "qualifier": None, "as_of": None}
    names = members(noun.schema)
    content = {
        **dict.fromkeys(names),
        "id": "a",
        "title": title,
        "awards": [],
        "priorities": ["cybersecurity"],
        "partners": [],
        "metrics": [metric],
        "aliases": [title],
        "incomplete": [],
        "version": 1,
        "updated_at": "2026-01-31T12:00:00.000Z",
    }
    metric |= {"direction": None, "period": None}
    paths = put(tmp_path_factory.mktemp("any"), noun, form, [content])
    (record,) = contents(database, *paths)
    empty: Content = {"partners": []} if form in {"csv", "xlsx"} else {}
    assert json.loads(json.dumps({**record, **empty}, default=float)) == content


def put(folder: Path, noun: Resource, form: str, contents: Iterable[Content]) -> list[Path]:
    """Write records as an export does."""
    paths = [folder / name for name in names_of(noun, form)]
    text = FILE_FORMATS[form].write
    if text is None:
        tables.write(paths, contents, noun)
    else:
        paths[0].write_text("".join(text(contents, noun)), encoding="utf-8", newline="")
    return paths


def test_reading_stops_at_what_is_broken(tmp_path: Path) -> None:
    """Records before a broken line are read; what is behind it is not guessed at."""
    path = write(tmp_path, "cities.ndjson", '{"id": "a"}\n{')
    records = records_of(path)
    assert next(records).content == {"id": "a"}
    with pytest.raises(FileError):
        next(records)


def test_spreadsheets_read_what_is_exported(database: Database, tmp_path: Path) -> None:
    """An exported CSV is the one that the API streams, but for what the ledger adds."""
    exports.export(database, tmp_path, "csv")
    with (tmp_path / "initiatives.csv").open(encoding="utf-8", newline="") as file:
        rows: Sequence[dict[str, str]] = list(csv.DictReader(file))
    with serving(replace(database.settings)) as app:
        streamed = app.test_client().get("/initiatives.csv?sort=id").get_data(as_text=True)
    expected = list(csv.DictReader(streamed.splitlines(keepends=True)))
    assert rows == [{name: row[name] for name in rows[0]} for row in expected]
