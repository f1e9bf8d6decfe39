"""Both clients compute the same bytes as the server, for any text and number."""

import json
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from api.schema.canonical import canonical
from api.schema.fields import MAX_INTEGER
from tests.support.answers import Json, read
from tests.support.editions import SEEDED
from tests.support.lengths import examples
from tests.support.mirrors import CLIENT, FIGURES, JAVASCRIPT, TEXTS, JavaScriptCopy, PythonCopy, initiative, published
from tests.support.node import Node
from tests.support.watched import Watched


def test_nasty_records(server: Watched, node: Node, tmp_path: Path) -> None:
    """For every text and figure that a record can have, the server and both clients have the same bytes and the same leaf."""
    long = "".join(TEXTS) * 40
    documents = [initiative(f"t-{number}", title=f"Title {number}", summary=text) for number, text in enumerate(TEXTS)]
    documents.append(initiative("long", summary=long[:20_000]))
    marks = [f"MARK{number}" for number in range(len(FIGURES))]
    figures = [{"name": mark, "value": mark, "unit": "x", "kind": "count", "qualifier": None} for mark in marks]
    documents.append(initiative("figures", metrics=figures))
    body = json.dumps({"operations": [{"op": "create", "kind": "initiatives", "document": row} for row in documents]})
    # As they are written, which no language's numbers keep.
    for mark, figure in zip(marks, FIGURES, strict=True):
        body = body.replace(f'"value": "{mark}"', f'"value": {figure}')
    answer = server.curator.post("/changesets", data=body, content_type="application/json")
    assert answer.status_code == 200, answer.get_json()

    rows = read(server.curator, f"/changes?since={SEEDED}")["data"]
    written = published(server.database)
    assert len(rows) == len(documents)
    assert [metric["value"] for metric in json.loads(written["initiatives", "figures"])["metrics"]] == list(map(float, FIGURES))
    assert {row["id"]: row["document"]["summary"] for row in rows} == {row["id"]: row["summary"] for row in documents}
    python, javascript = PythonCopy(tmp_path / "copy.sqlite3"), JavaScriptCopy(node)
    python.mirror(server.address)
    javascript.mirror(server.address)
    code = "return Promise.all(given.map(async ([kind, id]) => { const text = client.canonical(store.records.get(kind).get(id)); return [text, client.hex(await client.sha256('leaf', `${kind}\\n${id}\\n${text}`))]; }))"
    theirs = [[written[row["kind"], row["id"]], row["hash"]] for row in rows]
    assert node.run(code, [[row["kind"], row["id"]] for row in rows]) == theirs
    texts = {(kind, id): text for kind in python.store.kinds() for id, text in python.store.records(kind)}
    assert texts == written
    assert [
        [text, CLIENT.sha256("leaf", f"{row['kind']}\n{row['id']}\n{text}").hex()]
        for row in rows
        for text in [CLIENT.canonical(row["document"])]
    ] == theirs
    assert python.root() == javascript.root() == read(server.curator, "/digest")["data"]["root"]
    python.store.db.close()


def test_texts_that_have_no_bytes(seeds: Watched) -> None:
    """A null character, or half of a surrogate pair, is refused, so no client ever has to write it."""
    for text in ("\0", "a\0b", "\ud800", "\udfff", "x\udc00y", "\ude00\ud83d"):
        body = json.dumps({"operations": [{"op": "create", "kind": "initiatives", "document": initiative("a", summary=text)}]})
        assert seeds.curator.post("/changesets", data=body, content_type="application/json").status_code == 422


def is_written(value: float) -> bool:
    """Tell whether a document can have a number."""
    return Decimal(repr(value)) == round(Decimal(repr(value)), 6) and abs(value) <= MAX_INTEGER and str(value) != "-0.0"


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
# Node 24 sometimes reads the name of a member as a backslash if it is one escaped character.
MEMBERS = NAMES.filter(lambda name: len(name) != 1 or (name >= " " and name not in '"\u2028\u2029'))
DECIMALS = st.one_of(
    st.integers(-MAX_INTEGER, MAX_INTEGER).map(lambda whole: whole / 10**6),
    st.decimals(-(10**6), 10**6, places=6).map(float),
    st.decimals(-MAX_INTEGER, MAX_INTEGER, places=1).map(float),
).filter(is_written)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-MAX_INTEGER, MAX_INTEGER), DECIMALS, NAMES),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(MEMBERS, below, max_size=6)),
    max_leaves=8,
)
DOCUMENTS = st.lists(st.dictionaries(MEMBERS, VALUES, max_size=8), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def canonical_in_node() -> Iterator[Callable[[Sequence[Json]], list[str]]]:
    """What JavaScript makes of documents, in one process for many."""
    with Node(JAVASCRIPT) as node:
        yield lambda documents: node.run("return given.map(client.canonical)", documents)


@configured(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=DOCUMENTS)
def test_canonical(canonical_in_node: Callable[[Sequence[Json]], list[str]], documents: list[Json]) -> None:
    """Both clients write every document that there can be as the server does, members in the order of UTF-16."""
    theirs = [canonical(document).decode() for document in documents]
    assert [CLIENT.canonical(document) for document in documents] == theirs
    assert canonical_in_node(documents) == theirs
    assert [CLIENT.canonical(json.loads(text)) for text in theirs] == theirs
