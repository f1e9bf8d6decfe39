"""The bitmap index: its pieces hold the inserted sets, it follows the ledger, and its counts equal those of SQL."""

import itertools
import re
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from pyroaring import BitMap
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger import epochs, rebuild
from api.ledger.index import bitmaps, versions
from api.ledger.index.bitmaps import Bitmap
from api.ledger.index.dimensions import dimensions
from api.ledger.index.versions import WIDTH, Versions
from api.ledger.models import EPOCH
from api.ledger.verify import verify
from api.query.language import facetable
from api.query.plan import PLANNER, Planner
from api.resources import BY_NAME, RESOURCES
from api.resources.initiatives import initiatives
from api.schema.canonical import Content
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, counted, publishing
from tests.support.lengths import examples, few, late

REINDEX = "run `flask --app wsgi ledger reindex`"
# The indexed dimensions of each noun.
INDEXED = {
    "surveys": ["name", "year", "conducted_by", "state", "priority", "q"],
    "cities": ["state", "country", "q"],
    "awards": ["survey", "category", "city", "rank", "placement", "q"],
    "initiatives": [
        *("city", "status", "evolving", "priority", "award", "partner", "partner.role", "metric.kind", "metric.unit"),
        *("incomplete", "started", "started_period", "started_month", "q"),
    ],
    "priorities": ["survey", "q"],
    "organizations": ["type", "city", "q"],
    "sources": [
        *("type", "publisher", "language", "licence", "published", "retrieved"),
        *("published_period", "published_month", "retrieved_period", "retrieved_month", "q"),
    ],
    "citations": ["subject_kind", "source", "basis"],
}


def test_what_is_indexed() -> None:
    """The index has each noun's facets, the relations behind them, dates, and the words of texts."""
    assert {resource.name: list(dimensions(resource)) for resource in RESOURCES} == INDEXED


# --- sets in pieces


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut sets after some versions, and ask for few at once."""
    monkeypatch.setattr(bitmaps, "KEYS", 2)
    monkeypatch.setattr(bitmaps, "BLOCK", 4)
    monkeypatch.setattr(bitmaps, "PIECE", len(BitMap([1, 2, 3, 5, 8]).serialize()))


STATUSES = st.sampled_from(["draft", "pilot", "planned"])
VERSIONS = st.one_of(st.integers(1, 60), st.integers(EPOCH + 1, EPOCH + 30))
STEPS = st.lists(st.tuples(st.lists(VERSIONS, max_size=9), st.dictionaries(VERSIONS, STATUSES, max_size=25)), max_size=6)


def content(status: str) -> Content:
    """Return the content of an initiative, as far as it is indexed."""
    return {
        "city": "boston-ma",
        "status": status,
        "priorities": [],
        "awards": [],
        "partners": [],
        "metrics": [],
        "started": None,
    }


class Piece(NamedTuple):
    """A piece of a set."""

    dimension: str
    value: str
    first: int
    records: int
    versions: Sequence[int]


def pieces(database: Database) -> list[Piece]:
    """Return the pieces of initiatives, in their order."""
    columns = (Bitmap.dimension, Bitmap.value, Bitmap.first, Bitmap.records, Bitmap.versions)
    with database.reading() as session:
        rows = session.execute(select(*columns).where(Bitmap.kind == "initiatives").order_by(*columns[:3])).all()
    base = WIDTH
    return [Piece(*row[:4], [row.first // base * base + low for low in BitMap.deserialize(row.versions)]) for row in rows]


@given(steps=STEPS)
@limits(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small")
def test_pieces(database: Database, steps: list[tuple[list[int], dict[int, str]]]) -> None:
    """After any removals and insertions, each version is in the piece for its place, however many pieces there are."""
    there: dict[int, Content] = {}
    with database.writing() as session:
        bitmaps.rebuild(session, initiatives, [])
    for leaving, coming in steps:
        old = {version: there.pop(version) for version in leaving if version in there}
        new = {version: content(status) for version, status in coming.items() if version not in there}
        there |= new
        with database.writing() as session:
            bitmaps.replace(session, initiatives, old, new)
    stored = pieces(database)
    assert all(len(piece.versions) == piece.records > 0 for piece in stored)
    assert all(piece.first <= piece.versions[0] for piece in stored)
    assert all(piece.versions[-1] < after.first for piece, after in itertools.pairwise(stored) if piece[:2] == after[:2])
    with database.reading() as session:
        assert list(bitmaps.faults(session, initiatives, sorted(there.items()))) == []
        assert list(bitmaps.faults(session, initiatives, [*sorted(there.items()), (EPOCH * 3, content("draft"))]))


@SQLITE_FIRST
@pytest.mark.usefixtures("small")
def test_long_sets_are_cut(database: Database) -> None:
    """A growing set is cut into pieces within the size limit, except single blocks; a rebuilt set is too."""
    everything = {version: content("draft") for version in range(1, 600, 3)}
    with database.writing() as session:
        bitmaps.rebuild(session, initiatives, [])
        for version, document in everything.items():
            bitmaps.replace(session, initiatives, {}, {version: document})
    grown = [piece.versions for piece in pieces(database) if piece.dimension == "status"]
    with database.writing() as session:
        bitmaps.rebuild(session, initiatives, everything.items())
    made = [piece.versions for piece in pieces(database) if piece.dimension == "status"]
    for cut in (grown, made):
        assert len(cut) > 10
        assert all(len(BitMap(held).serialize()) <= bitmaps.PIECE or held[-1] - held[0] < bitmaps.BLOCK for held in cut)


@SQLITE_FIRST
@pytest.mark.usefixtures("small")
def test_a_rebuild_is_the_same_in_any_window(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few records it reads at once, also in two epochs, it makes the same pieces."""
    versions = [*range(1, 100, 3), *range(EPOCH + 1, EPOCH + 30)]
    everything = {version: content("draft" if version % 2 else "pilot") for version in versions}
    made = []
    for window in (bitmaps.WINDOW, 1, 7):
        monkeypatch.setattr(bitmaps, "WINDOW", window)
        with database.writing() as session:
            bitmaps.rebuild(session, initiatives, everything.items())
        made.append(pieces(database))
    assert made[0] == made[1] == made[2]
    held = [version for piece in made[0] if piece.dimension == "status" for version in piece.versions]
    assert sorted(held) == versions


@given(one=st.sets(VERSIONS), other=st.sets(VERSIONS))
def test_sets(one: set[int], other: set[int]) -> None:
    """Sets of versions of several epochs are joined, cut and counted as sets are."""
    mine, yours = Versions(one), Versions(other)
    assert (len(mine), len(mine & yours), len(mine | yours)) == (len(one), len(one & other), len(one | other))
    assert (mine.common(yours), mine.meets(yours), bool(mine)) == (len(one & other), bool(one & other), bool(one))
    assert ((mine | yours) & mine).common(mine) == len(one)


@pytest.mark.slow
@ON_SQLITE
def test_faults_are_found_in_bounded_memory(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory that the comparison takes does not grow with the records; with a window for all of them, it does."""

    def contents(count: int) -> Iterator[tuple[int, Content]]:
        return ((number, {**content("draft"), "city": f"city-{number}"}) for number in range(1, count + 1))

    def peak(session: Session, count: int) -> int:
        tracemalloc.start()
        assert list(bitmaps.faults(session, initiatives, contents(count))) == []
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peaks: dict[int, list[int]] = defaultdict(list)
    for count in (1_000, 4_000):
        with database.writing() as session:
            bitmaps.rebuild(session, initiatives, contents(count))
            for window in (1_000, 10_000):
                monkeypatch.setattr(bitmaps, "WINDOW", window)
                peaks[window].append(peak(session, count))
    assert peaks[1_000][1] < 1.7 * peaks[1_000][0]
    assert peaks[10_000][1] > 2.5 * peaks[10_000][0]


# --- in step with the ledger


PILOTS = "kind = 'initiatives' and dimension = 'status' and value = '\"pilot\"'"
COPY = "insert into bitmap_index select kind, dimension, value, {first}, records, versions from bitmap_index where " + PILOTS
TAMPERINGS = {
    "missing": f"delete from bitmap_index where {PILOTS}",
    "miscounted": f"update bitmap_index set records = records + 1 where {PILOTS}",
    "wrong": (
        "update bitmap_index set versions = (select versions from bitmap_index where kind = 'surveys' and dimension = 'name')"
        f" where {PILOTS}"
    ),
    "twice": COPY.format(first=1),
    "out of place": f"update bitmap_index set first = 4000000 where {PILOTS}",
    "no bitmap": f"update bitmap_index set versions = {{nothing}} where {PILOTS}",
}
NOTHING = {"sqlite": "x'00'", "postgresql": "decode('00', 'hex')"}


@SQLITE_FIRST
@pytest.mark.parametrize("window", [7, late(bitmaps.WINDOW)])
@pytest.mark.parametrize("tampering", few(TAMPERINGS, "missing", "wrong"))
def test_verify_finds(
    database: Database, own_client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tampering: str, window: int
) -> None:
    """`verify` names a value whose set differs from the published records, writes go on, and `ledger reindex` repairs it.

    That holds for sets that are compared in many pieces, too.
    """
    monkeypatch.setattr(bitmaps, "WINDOW", window)
    before = own_client.get("/initiatives?status=pilot").get_json()["page"]
    with database.engine.begin() as connection:
        connection.execute(text(TAMPERINGS[tampering].format(nothing=NOTHING[connection.dialect.name])))
    with database.reading() as session:
        expected = [f'initiatives, status "pilot": its set in the bitmap index differs from its records; {REINDEX}']
        assert list(verify(session)) == expected
    with publishing(database) as session:
        session.execute(text("update initiatives set summary = 'x' where status = 'pilot'"))
    with database.writing() as session:
        rebuild.reindex(session)
        assert list(verify(session)) == []
    assert own_client.get("/initiatives?status=pilot").get_json()["page"] == before


@SQLITE_FIRST
@pytest.mark.parametrize("path", ["/initiatives?status=pilot", "/initiatives?status=pilot&started__gte=2020"])
def test_no_bitmap(database: Database, own_client: FlaskClient, path: str) -> None:
    """When a set is unreadable, SQL counts in the tables; after a write, the index is behind and stays unused."""
    before = own_client.get(f"{path}&facets=status").get_json()
    with database.engine.begin() as connection:
        connection.execute(text(TAMPERINGS["no bitmap"].format(nothing=NOTHING[connection.dialect.name])))
    assert own_client.get(f"{path}&facets=status").get_json() == before
    with publishing(database) as session:
        session.execute(text("update initiatives set summary = 'x' where status = 'pilot'"))
    after = own_client.get(f"{path}&facets=status").get_json()
    assert (after["page"]["total"], after["facets"]) == (before["page"]["total"], before["facets"])
    with database.reading() as session:
        assert f"the bitmap index is behind, and not used; {REINDEX}" in list(verify(session))


@SQLITE_FIRST
def test_an_index_that_was_left_behind(database: Database, own_client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a release without the index has written, SQL counts in the tables until the index is rebuilt."""
    with monkeypatch.context() as former:
        former.setattr(bitmaps, "replace", lambda *_: None)
        former.setattr(bitmaps, "stamp", lambda version: f"another {version}")
        with publishing(database) as session:
            session.execute(text("update initiatives set status = 'draft' where status = 'pilot'"))
    with publishing(database) as session:
        session.execute(text("update initiatives set summary = 'x' where status = 'draft'"))
    counts = facet(own_client, "/initiatives", "status")
    assert counts["draft"] == own_client.get("/initiatives?status=draft").get_json()["page"]["total"]
    assert "pilot" not in counts
    assert counting_statements(own_client, "/initiatives?facets=status&limit=1")
    with database.writing() as session:
        assert list(verify(session))
        rebuild.reindex(session)
        assert list(verify(session)) == []
    assert facet(own_client, "/initiatives", "status") == counts
    assert counting_statements(own_client, "/initiatives?facets=status&limit=1") == []


def test_long_values(database: Database, own_client: FlaskClient) -> None:
    """The longest text of a field, in any letters, is indexed and matched."""
    long = "".join(chr(0x20000 + number) for number in range(400))
    with publishing(database) as session:
        session.execute(text("update initiative_metrics set unit = :long where kind <> 'money'"), {"long": long})
    assert long in facet(own_client, "/initiatives", "metric.unit")
    with database.reading() as session:
        assert list(verify(session)) == []


def test_a_new_epoch_is_indexed(database: Database, own_client: FlaskClient) -> None:
    """Records written after a restore are counted together with earlier ones."""
    before = facet(own_client, "/initiatives", "status")
    with publishing(database) as session:
        epochs.new_epoch(session)
        session.execute(text("update initiatives set status = 'draft' where status = 'pilot'"))
    after = facet(own_client, "/initiatives", "status")
    assert after == Counter(before) - Counter(pilot=before["pilot"]) + Counter(draft=before["pilot"])
    with database.reading() as session:
        assert list(verify(session)) == []


# --- counts


FILTERS = {
    "initiatives": [
        *("", "status=pilot", "status=pilot,planned", "status__not=pilot", "priority=cybersecurity", "city.state=CA", "q=data"),
        *("priority=cybersecurity,modernization", "partner.role=builder", "city.name__startswith=S&priority=cybersecurity"),
        *("started__gte=2024", "started__lt=2024", "started__startswith=2024", "started__isnull=true", "q=data&city.state=CA"),
        *("started=2024,2024-07", "started__not=2024", "started__month=7,12", "started__gt=2023&started__lte=2024-07"),
        *(
            "q=data+city",
            "q=data+-city+-of",
            "q=-data",
            "q=%22open+data%22+city",
            "q=data+unheardof",
            "q=data&status__not=pilot",
        ),
        *("award.survey.year=2024", "partner.type=company&status=in_operation", "priority=no-such", "metric.unit=USD"),
        'filter={"or":[{"status":"pilot"},{"city.state":["WA","MA"]}]}',
    ],
    "cities": ["", "state=CA", "state__not=CA", "award.category=500000-or-more", "initiative.status=pilot"],
    "awards": ["", "rank__lte=3", "city.state=CA", "rank__gt=1"],
    "priorities": ["", "initiative.status=pilot", "survey=digital-cities-2024"],
    "organizations": ["", "type=company", "city__isnull=true"],
    "citations": ["", "basis__not=stated", "subject_kind=cities,awards"],
    "surveys": ["", "state=CA"],
    "sources": ["", "language=en"],
}


def facet(client: FlaskClient, path: str, name: str) -> dict[Any, int]:
    """Return the counts of a facet, by value."""
    rows = client.get(f"{path}{'&' if '?' in path else '?'}facets={name}&limit=1").get_json()["facets"][name]["values"]
    return {row["value"]: row["count"] for row in rows}


def answers(client: FlaskClient, noun: str, query: str) -> Mapping[str, Any]:
    """Return the total of a list and its facets, one by one."""
    totals = {}
    for name in facetable(BY_NAME[noun]):
        answer = client.get(f"/{noun}?{query}&facets={name}&limit=1&count=exact".replace("?&", "?")).get_json()
        totals[name] = (answer["page"]["total"], answer["facets"][name])
    return totals


# As if there were many records: the index also counts searches with filters, and all of a dimension is read.
MANY = Planner(few=0, rare=0.1, values=1)


ASKED = [(noun, query) for noun, filters in FILTERS.items() for query in filters]


@SQLITE_FIRST
@pytest.mark.parametrize(("noun", "query"), [late(*row) if number % 3 else row for number, row in enumerate(ASKED)])
def test_sql_counts_the_same(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, noun: str, query: str) -> None:
    """Totals and facets, with their values, links and order, are the same from the index and from the tables.

    The index is used with the default planner, and with one that assumes many records.
    """
    results = []
    for planner in (replace(PLANNER, bitmaps=False), PLANNER, MANY):
        monkeypatch.setitem(client.application.extensions, "planner", planner)
        if planner is MANY:
            monkeypatch.setattr(versions, "FETCHED", 3)
        results.append(answers(client, noun, query))
    assert results[1:] == results[:1] * 2


def counting_statements(client: FlaskClient, path: str) -> list[str]:
    """Return the statements of an answer that count or group rows of the nouns' own tables."""
    with counted(client.application.extensions["database"]) as statements:
        assert client.get(path).status_code == 200
    counts = [statement for statement in statements if "count(" in statement or "GROUP BY" in statement]
    # The names of categories are grouped, too.
    return [statement for statement in counts if not re.search("FROM (bitmap_index|digest_node|survey_categories)", statement)]


INDEX_ANSWERS = [
    "/initiatives?facets=city,city.state,status,priority,award.survey&limit=1",
    "/initiatives?priority=cybersecurity&city.state=CA&facets=city,partner.role&limit=1",
    "/initiatives?status__not=pilot&started__gte=2023&facets=status&limit=1",
    "/initiatives?q=data&facets=city&limit=1&count=none",
    "/cities?facets=initiative.priority,award.category&limit=1",
    "/cities?initiative.priority=cybersecurity&limit=1",
    "/initiatives?q=data+city+-of&limit=1",
    "/initiatives?q=data&status=in_operation&facets=city&limit=1",
    "/search?q=data+city&limit=1",
]


@pytest.mark.parametrize("path", INDEX_ANSWERS)
def test_the_index_is_asked(client: FlaskClient, path: str) -> None:
    """A request that the index can answer counts nothing in the tables."""
    assert counting_statements(client, path) == []


def test_tables_are_asked_for_the_rest(client: FlaskClient) -> None:
    """The control: a request that the index cannot answer is counted in the tables."""
    for path in (
        "/initiatives?title__contains=data&facets=status&limit=1",
        "/initiatives?q=%22open+data%22&limit=1",
        "/search?q=-city&limit=1",
    ):
        assert counting_statements(client, path)


@pytest.mark.parametrize(
    "query", ["data", "data city", "data -city", "-data", '"open data" city', "city's 24-hour", "unheardof", "ñ"]
)
@pytest.mark.parametrize("count", ["capped", "exact"])
def test_full_text_counts_the_same(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, query: str, count: str) -> None:
    """The total of a search of every noun is the same from the bitmaps of words and from full text."""
    for kind in ("", "cities,sources"):
        parameters = {"q": query, "count": count, "limit": 1} | ({"kinds": kind} if kind else {})
        expected = client.get("/search", query_string=parameters).get_json()["page"]
        with monkeypatch.context() as unindexed:
            unindexed.setitem(client.application.extensions, "planner", Planner(bitmaps=False))
            assert client.get("/search", query_string=parameters).get_json()["page"] == expected


def test_no_bitmap_of_a_word(database: Database, own_client: FlaskClient) -> None:
    """When the set of a word is unreadable, full text counts."""
    paths = ["/initiatives?q=data&facets=city&limit=1", "/initiatives?q=data+city&status=in_operation", "/search?q=data"]
    before = [own_client.get(path).get_json() for path in paths]
    with database.engine.begin() as connection:
        broken = f"update bitmap_index set versions = {NOTHING[connection.dialect.name]} where dimension = 'q'"
        assert connection.execute(text(broken)).rowcount > 0
    assert [own_client.get(path).get_json() for path in paths] == before


def test_nothing_is_indexed_before_it_is_published(own_client: FlaskClient, database: Database) -> None:
    """While raw SQL is unpublished, totals and facets come from the tables, like the list."""
    before = facet(own_client, "/initiatives", "status")
    with database.engine.begin() as connection:
        connection.execute(text("update initiatives set status = 'pilot'"))
    total = own_client.get("/initiatives?limit=1").get_json()["page"]["total"]
    assert facet(own_client, "/initiatives", "status") == {"pilot": total}
    with publishing(database) as session:
        session.execute(text("update initiatives set status = 'draft' where status = 'none'"))
    assert facet(own_client, "/initiatives", "status") == {"pilot": total} != before


def test_more_pairs_than_are_compared(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a facet would compare too many pairs of sets, SQL counts in the tables."""
    path = "/cities?facets=initiative.priority&limit=1"
    expected = client.get(path).get_json()
    monkeypatch.setitem(client.application.extensions, "planner", Planner(pairs=1))
    assert counting_statements(client, path)
    assert client.get(path).get_json() == expected


# --- order

DATES = ["2023", "2023-05", "2023-05-01", "2023-06", "2024", "2024-02", "2024-02-28", "2024-03", None]


def walked(client: FlaskClient, path: str) -> list[str]:
    """Return the ids of a list, page by page."""
    ids, cursor = [], ""
    while cursor is not None:
        answer = client.get(f"{path}{cursor and f'&cursor={cursor}'}").get_json()
        ids += [row["id"] for row in answer["data"]]
        cursor = answer["page"]["cursor"]
    return ids


def scattered(database: Database) -> None:
    """Set initiatives' dates to various precisions, with ties and nulls."""
    with publishing(database) as session:
        ids = session.scalars(text("select id from initiatives order by id")).all()
        rows = [{"id": id, "started": DATES[number % len(DATES)]} for number, id in enumerate(ids)]
        session.connection().execute(text("update initiatives set started = :started where id = :id"), rows)


LINKED = "priority=cybersecurity,modernization,data-governance,digital-equity"


# Statements for a page of versions from the index, and for a page from the tables.
BY_INDEX = re.compile(r"FROM revision JOIN initiatives .*ORDER BY initiatives\.started_period", re.DOTALL)
BY_TABLES = re.compile(r"FROM initiatives\s.*EXISTS.*ORDER BY initiatives\.started_period", re.DOTALL)


def segment(statement: str) -> str:
    """Return the part of a list that a statement reads."""
    return (
        "tie"
        if "initiatives.started_period = " in statement
        else "behind"
        if re.search("started_period [<>] ", statement)
        else "first"
    )


@SQLITE_FIRST
@pytest.mark.parametrize("sort", ["-started", late("started"), "-started,-title", late("-started,-id")])
@pytest.mark.parametrize("query", [LINKED, late("q=-city"), late(f"q=-city&{LINKED}"), f"q=city&{LINKED}"])
@pytest.mark.usefixtures("small")
def test_sql_orders_the_same(
    database: Database, own_client: FlaskClient, monkeypatch: pytest.MonkeyPatch, query: str, sort: str
) -> None:
    """Pages by a date are the same from the index and from the tables, with ties, nulls and sets in pieces."""
    monkeypatch.setitem(own_client.application.extensions, "planner", Planner(pieces=4))
    scattered(database)
    path = f"/initiatives?{query}&sort={sort}&fields=id"
    with counted(own_client.application.extensions["database"]) as statements:
        every = own_client.get(f"{path}&limit=500").get_json()
    expected = [row["id"] for row in every["data"]]
    assert not [statement for statement in statements if BY_INDEX.search(statement)]
    assert every["page"]["total"] == len(expected) > 2
    with counted(own_client.application.extensions["database"]) as statements:
        # One walk is enough to show that the index is not used.
        for limit in (1, 2, 3) if query == LINKED else (3,):
            assert walked(own_client, f"{path}&limit={limit}") == expected
    segments = {segment(statement) for statement in statements if BY_INDEX.search(statement)}
    if query == LINKED:
        # The index found some first pages, some later ones and some ties; the tables found the rest.
        assert segments == {"first", "behind", "tie"}
        assert [statement for statement in statements if BY_TABLES.search(statement)]
    else:
        assert not segments


@SQLITE_FIRST
@pytest.mark.parametrize("change", ["started = '2019'", "started = null", "status = 'draft'"])
def test_a_tie_that_emptied(database: Database, own_client: FlaskClient, change: str) -> None:
    """A cursor continues after its record, even when all records with its date have changed."""
    scattered(database)
    path = f"/initiatives?{LINKED}&sort=-started,-id&limit=3&fields=id,started"
    first = own_client.get(path).get_json()
    rest = [row for row in own_client.get(path.replace("limit=3", "limit=500")).get_json()["data"] if row not in first["data"]]
    date = first["data"][-1]["started"]
    with publishing(database) as session:
        session.execute(text(f"update initiatives set {change} where started = :date"), {"date": date})
    again = own_client.get(f"{path}&cursor={first['page']['cursor']}").get_json()["data"]
    expected = [row for row in rest if row["started"] != date or change.startswith("status")]
    assert [row["id"] for row in again] == [row["id"] for row in expected[:3]]
