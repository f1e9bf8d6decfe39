"""The statement behind a list: its plan, and its order on both databases."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from api.db import statements
from api.db.database import Database
from api.ledger.index import words
from api.query.plan import Plan, Planner
from api.resources import BY_NAME
from api.schema.resource import Resource
from api.settings import Settings
from tests.support.applications import serving
from tests.support.databases import SQLITE_FIRST, Store, counted, opened, publishing
from tests.support.lengths import examples
from tests.support.plans import plans
from tests.support.records import nouns

pytestmark = pytest.mark.contract

ROWS = 300
CITATION = "id, subject_kind, subject_id, field, source_id, paragraph, sentence, sentence_sha256, basis"


@pytest.fixture(scope="module")
def full(store: Store, migrated: Settings) -> Iterator[Database]:
    """A database in which every list is long enough for a planner to think about it."""
    with opened(store.copy(migrated)) as database:
        with publishing(database) as session:
            numbers = [{"id": f"n-{n}", "n": n} for n in range(ROWS)]
            for statement in (
                "insert into cities (id, name, state, country) values (:id, :id, 'ZZ', 'ZZ')",
                "insert into priorities (id, name, description) values (:id, :id, 'x')",
                "insert into organizations (id, name, type) values (:id, :id, 'company')",
                "insert into initiatives (id, city_id, title, summary, status) values (:id, :id, :id, 'x', 'draft')",
                f"insert into sources (id, label, type, language, text_sha256) values (:id, :id, 'list', 'en', '{'0' * 64}')",
                "insert into surveys (id, name, year, conducted_by_id) values (:id, :id, 1000 + :n, :id)",
                "insert into survey_categories (survey_id, category, position, name) values (:id, 'all', 0, 'x')",
                (
                    "insert into awards (id, survey_id, category, city_id, rank, placement) "
                    "values (:id, :id, 'all', :id, case when :n < 300 then 1 end, 'x')"
                ),
                f"insert into citations ({CITATION}) values (:id, 'cities', :id, '/name', :id, 1, 1, '{'0' * 64}', 'stated')",
            ):
                session.execute(text(statement), numbers)
        with database.engine.begin() as connection:
            # PostgreSQL's autovacuum analyzes sooner or later; SQLite plans without statistics.
            connection.execute(text("analyze" if store.dialect == "postgresql" else "select 1"))
        yield database


@pytest.fixture(scope="module")
def full_client(full: Database) -> Iterator[FlaskClient]:
    """A client of an application on that database."""
    with serving(full.settings) as app:
        yield app.test_client()


@nouns
def test_page_is_read_from_an_index(full_client: FlaskClient, resource: Resource) -> None:
    """The first page and a deep one are read in order from the noun's own index: nothing is sorted, the ledger not scanned."""
    check_plans(full_client, resource, resource.default_sort)


def test_later_nulls_are_read_from_an_index(full_client: FlaskClient) -> None:
    """A key behind another one that can be null is read in the same way, in both directions; the control has no index."""
    for sort in ("survey,category,rank", "-survey,-category,-rank"):
        check_plans(full_client, BY_NAME["awards"], sort)
    with pytest.raises(AssertionError, match=r"TEMP B-TREE|Sort "):
        check_plans(full_client, BY_NAME["awards"], "survey,category,tied")


def check_plans(client: FlaskClient, resource: Resource, sort: str) -> None:
    """Check the plans of the first page of a list, of a deep one, and of the page before it."""
    path = f"/{resource.name}?sort={sort}"
    cursor = client.get(f"{path}&limit=250").get_json()["page"]["cursor"]
    for page in ("", f"&cursor={cursor}", f"&cursor=-{cursor}"):
        (plan,) = plans(client, f"{path}&limit=20{page}")
        for bad in ("TEMP B-TREE", "Sort ", "Seq Scan on revision", "SCAN revision", f"Seq Scan on {resource.name}"):
            assert bad not in plan, plan


def test_the_page_before(own_client: FlaskClient, database: Database) -> None:
    """The link to the page before leads to the same records after others came; the control is the list from its start."""

    def get(address: str) -> Any:
        return own_client.get(address.removeprefix("http://localhost")).get_json()

    def execute(statement: str) -> None:
        with publishing(database) as session:
            session.execute(text(statement))

    first = get("/priorities?sort=name&limit=3")
    assert first["links"]["prev"] is None
    second = get(first["links"]["next"])
    assert get(second["links"]["prev"])["data"] == first["data"]
    assert get(second["links"]["prev"])["links"]["prev"] is None
    execute("insert into priorities (id, name, description) values ('a0', '!', 'x')")
    again = get(second["links"]["prev"])
    assert again["data"] == first["data"] != get(first["links"]["self"])["data"]
    assert [row["id"] for row in get(again["links"]["prev"])["data"]] == ["a0"]
    # All records of the page before are gone: the first page is before the place.
    alone = get(again["links"]["prev"])["links"]["self"]
    execute("delete from priorities where id = 'a0'")
    assert get(alone)["data"] == first["data"]
    # Behind the last record there is no record; the last page is before that.
    execute("insert into priorities (id, name, description) values ('zz', '~', 'x')")
    last = get("/priorities?sort=name&limit=500")["data"]
    behind = get(f"/priorities?sort=name&limit={len(last) - 1}")["links"]["next"]
    end = get(behind)["links"]["prev"].replace("cursor=-", "cursor=")
    assert [row["id"] for row in get(end)["data"]] == []
    assert get(get(end)["links"]["prev"])["data"] == last[1:]


@pytest.mark.parametrize("cursor", ["-", "--", "-WyJ4Il0", "WyJ4Il0", "-W10"])
def test_a_cursor_of_no_place(client: FlaskClient, cursor: str) -> None:
    """A cursor without a place of this list is refused."""
    (error,) = client.get(f"/cities?cursor={cursor}").get_json()["errors"]
    assert error["code"] == "invalid-cursor"


@pytest.mark.parametrize("suffix", ["", ".csv", ".ndjson"])
def test_fields_of_related_records_cost_no_statement_per_record(full_client: FlaskClient, suffix: str) -> None:
    """One record or 300: dotted fields cost a page one more statement, and a stream none."""
    extra = 0 if suffix else 1
    for limit in (1, ROWS):
        numbers = []
        for names in ("rank", "rank,city.name,city.state,survey.year,initiatives.count,citations.count"):
            path = f"/awards{suffix}?limit={limit}&sort=id&fields={names}"
            with counted(full_client.application.extensions["database"]) as executed:
                assert full_client.get(path).text.count("\n" if suffix else '"rank"') >= limit
            assert executed
            numbers.append(len(executed))
        assert numbers[1] == numbers[0] + extra


def test_fields_of_related_records(client: FlaskClient) -> None:
    """Dotted names are members of the record; those of a missing record are null."""
    (row, *_) = client.get("/awards?fields=city,city.name,survey.year,initiatives.count&city=los-angeles-ca").get_json()["data"]
    assert row == {"city": "los-angeles-ca", "city.name": "Los Angeles", "initiatives.count": 11, "survey.year": 2024}
    row = client.get("/initiatives/los-angeles-ca-myla311?fields=parent.title,children.count,city.state").get_json()["data"]
    assert row == {"children.count": 1, "city.state": "CA", "parent.title": None}


@pytest.mark.parametrize(
    ("path", "code", "suggestion"),
    [
        ("/awards?fields=city.nme", "unknown-name", "city.name"),
        ("/awards?fields=initiatives.title", "unknown-name", "initiatives.count"),
        ("/awards/x?fields=city.name&as_of=1", "not-together", None),
    ],
)
def test_no_such_field_of_a_related_record(client: FlaskClient, path: str, code: str, suggestion: str | None) -> None:
    """An unknown dotted name is refused with the nearest one; a relation to many has no fields; the past has no relations."""
    (error,) = client.get(path).get_json()["errors"]
    assert (error["code"], error.get("suggestion")) == (code, suggestion)


def test_sorting_by_related_records(client: FlaskClient) -> None:
    """Two relations give the order of a list, of a search, and of a stream; the id breaks ties."""
    rows = client.get("/initiatives?sort=-city.name,parent.title,-status&limit=500&q=data&fields=id,city.name").get_json()[
        "data"
    ]
    assert [row["city.name"] for row in rows] == sorted([row["city.name"] for row in rows], reverse=True)
    assert len({row["city.name"] for row in rows}) > 1
    streamed = client.get("/initiatives.ndjson?sort=-city.name,parent.title,-status&q=data&fields=id").text.splitlines()
    assert [json.loads(line)["id"] for line in streamed] == [row["id"] for row in rows]
    awards = client.get("/awards?sort=survey.year,-city.name&fields=city.name").get_json()["data"]
    assert [row["city.name"] for row in awards] == ["San Jose", "San Diego", "Sacramento", "Los Angeles"]


def test_a_related_order_scans_no_ledger(full_client: FlaskClient) -> None:
    """The database sorts a list by related records, for no index has this order, and looks up documents one by one."""
    (plan,) = plans(full_client, "/awards?sort=city.name&limit=20")
    (control,) = plans(full_client, "/awards?sort=id&limit=20")
    assert re.search("TEMP B-TREE|Sort ", plan)
    assert not re.search("TEMP B-TREE|Sort ", control)
    for bad in ("Seq Scan on revision", "SCAN revision"):
        assert bad not in plan, plan


def test_included_records_are_trimmed(client: FlaskClient) -> None:
    """`fields[cities]` leaves these members of included cities, and the list's own records whole."""
    answer = client.get("/awards?include=city,survey&fields[cities]=name,state&limit=1").get_json()
    (award,) = answer["data"]
    assert answer["included"]["cities"] == {award["city"]: {"name": "San Diego", "state": "CA"}}
    assert "year" in answer["included"]["surveys"][award["survey"]]
    assert set(award) == {*BY_NAME["awards"].members}


@pytest.mark.parametrize(
    ("path", "parameter", "code", "suggestion"),
    [
        ("/awards?fields[cities]=name", "fields[cities]", "needs-include", None),
        ("/awards/x?fields[cities]=name", "fields[cities]", "needs-include", None),
        ("/awards?include=city&fields[cities]=nme", "fields[cities]", "unknown-name", "name"),
        ("/awards?include=city&fields[city]=name", "fields[city]", "unknown-parameter", "fields[cities]"),
        ("/citations?fields[citations]=id", "fields[citations]", "needs-include", None),
        ("/awards.csv?fields[cities]=name&include=city", "fields[cities]", "not-in-this-format", None),
    ],
)
def test_no_such_trimming(client: FlaskClient, path: str, parameter: str, code: str, suggestion: str | None) -> None:
    """A noun that is not included, an unknown one, and an unknown member are refused by name."""
    errors = client.get(path).get_json()["errors"]
    assert (parameter, code, suggestion) in [(row["parameter"], row["code"], row.get("suggestion")) for row in errors]


@pytest.mark.parametrize(
    ("sort", "suggestion"),
    [("city.nme", "city.name"), ("-city.nme", "-city.name"), ("city.summary", "city.country"), ("initiatives.count", None)],
)
def test_what_no_list_is_sorted_by(client: FlaskClient, sort: str, suggestion: str | None) -> None:
    """A field that does not exist, prose, and numbers of related records are refused, with the nearest names."""
    (error,) = client.get(f"/awards?sort={sort}").get_json()["errors"]
    assert "not prose, lists or numbers of records" in error["detail"]
    assert (error["code"], error.get("suggestion"), len(error["allowed"])) == ("unknown-name", suggestion, 10)


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@given(
    names=st.lists(NAMES, unique=True, min_size=1, max_size=25),
    limit=st.integers(1, 9),
    gone=st.sets(st.integers(0, 24), max_size=4),
)
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_walk_while_others_write(
    own_client: FlaskClient, database: Database, names: list[str], limit: int, gone: set[int]
) -> None:
    """Pages come in code point order for any names; a record that stays during a walk is seen once."""
    with publishing(database) as session:
        session.execute(text("delete from priorities where id like 'w-%'"))
        rows = [{"id": f"w-{n}", "name": f"w {name}"} for n, name in enumerate(names)]
        session.execute(text("insert into priorities (id, name, description) values (:id, :name, 'x')"), rows)
    leaving = {f"w-{n}" for n in gone if n < len(names)}
    walked: list[tuple[str, str]] = []
    following: str | None = f"/priorities?limit={limit}"
    while following:
        answer = own_client.get(following).get_json()
        walked += [(record["name"], record["id"]) for record in answer["data"]]
        following = answer["links"]["next"] and answer["links"]["next"].removeprefix("http://localhost")
        if leaving:
            with publishing(database) as session:
                session.execute(text("delete from priorities where id = :id"), {"id": leaving.pop()})
                session.execute(text("delete from priorities where id = 'w-late'"))
                session.execute(text("insert into priorities (id, name, description) values ('w-late', 'w late', 'x')"))
    stayed = [row for row in walked if row[1].startswith("w-") and row[1] != "w-late" and int(row[1][2:]) not in gone]
    expected = sorted((row["name"], row["id"]) for n, row in enumerate(rows) if n not in gone)
    assert stayed == expected
    assert walked == sorted(walked)


@dataclass(frozen=True)
class Decided(Planner):
    """Chooses one plan for every list."""

    plan: Plan = Plan.DATABASE

    def rows(self, *_: Any) -> Plan:
        """Return that plan."""
        return self.plan


LISTS = [
    "/initiatives?q=city",
    "/initiatives?q=digital+city",
    "/initiatives?q=-data&status=in_operation",
    "/initiatives?q=city&priority=cybersecurity",
    "/initiatives?q=city&city.state=CA&priority=cybersecurity&facets=city,priority",
    "/initiatives?q=city&sort=-started",
    "/initiatives?q=data&sort=title&status=in_operation",
    "/initiatives?status=in_operation&priority=cybersecurity&facets=priority,partner.role",
    "/initiatives?city.state=CA&partner.role=partner&sort=-started",
    "/initiatives?priority=cybersecurity,process-automation&facets=city,status",
    "/cities?q=san&state=CA",
]


@SQLITE_FIRST
@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("plan", Plan)
def test_every_plan_reads_the_same_rows(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str, plan: Plan) -> None:
    """Every plan and page size gives a list the same rows, order and count."""
    expected = client.get(f"{path}&limit=500&count=exact").get_json()
    assert 0 < len(expected["data"]) == expected["page"]["total"]
    monkeypatch.setitem(client.application.extensions, "planner", Decided(plan=plan))
    walked, following = [], f"{path}&limit=2&count=exact"
    while following:
        answer = client.get(following).get_json()
        walked += answer["data"]
        assert answer["page"]["total"] == expected["page"]["total"]
        counts = [[(value["value"], value["count"]) for value in facet["values"]] for facet in answer["facets"].values()]
        assert counts == [
            [(value["value"], value["count"]) for value in facet["values"]] for facet in expected["facets"].values()
        ]
        following = answer["links"]["next"] and answer["links"]["next"].removeprefix("http://localhost")
    assert walked == expected["data"]
    back = answer["data"]
    while answer["links"]["prev"]:
        answer = client.get(answer["links"]["prev"].removeprefix("http://localhost")).get_json()
        back = answer["data"] + back
    assert back == walked
    streamed = client.get(path.replace("?", ".ndjson?").split("&facets=")[0]).text.splitlines()
    assert [json.loads(line)["id"] for line in streamed] == [row["id"] for row in walked]


def test_better_matches_come_first(client: FlaskClient) -> None:
    """A search ranks the phrase in the title first, then all words in the title, then the rest; newer records first."""
    ranks = set()
    for query in ("ai policy", "policy ai", "data center", "security data"):
        stems = list(words.stems(query))

        def rank(record: dict[str, Any], stems: list[str] = stems) -> tuple[int, int]:
            title = list(words.stems(record["title"]))
            whole = any(title[start : start + 2] == stems for start in range(len(title)))
            return 0 if whole else 1 if set(stems) <= set(title) else 2, -record["version"]

        rows = client.get(f"/initiatives?q={query}&limit=500").get_json()["data"]
        assert rows == sorted(rows, key=rank)
        ranks |= {rank(row)[0] for row in rows}
    assert ranks == {0, 1, 2}


@SQLITE_FIRST
@pytest.mark.parametrize("query", ["ai policy", "policy ai", "data", "city -data", "-data"])
@pytest.mark.parametrize("kinds", ["", "&kinds=initiatives", "&kinds=priorities,initiatives,cities"])
def test_a_walk_through_every_noun(client: FlaskClient, query: str, kinds: str) -> None:
    """Pages of one, in a search of all nouns, have the records of one long page, each once, and match the count."""
    whole = client.get(f"/search?q={query}&limit=500{kinds}").get_json()
    walked, following = [], f"/search?q={query}&limit=1{kinds}"
    while following:
        answer = client.get(following).get_json()
        walked += answer["data"]
        following = answer["links"]["next"] and answer["links"]["next"].removeprefix("http://localhost")
    assert walked == whole["data"]
    assert 0 < len(walked) == whole["page"]["total"] == len({(hit["kind"], hit["id"]) for hit in walked})


def test_a_search_of_no_records(client: FlaskClient) -> None:
    """A search with `limit=0` has its total, and no page after it."""
    counted, page = (client.get(f"/search?q=city&limit={limit}").get_json() for limit in (0, 500))
    assert (counted["data"], counted["links"]["next"], counted["page"]["total"]) == ([], None, page["page"]["total"])
    assert page["page"]["total"] > 0


def test_a_stream_ends_with_its_limit(client: FlaskClient) -> None:
    """A stream of search results ends at its limit: before, at and after the end of a tier."""
    every = client.get("/initiatives.ndjson?q=ai+policy").text.splitlines()
    for limit in range(1, len(every) + 2):
        assert client.get(f"/initiatives.ndjson?q=ai+policy&limit={limit}").text.splitlines() == every[:limit]


@dataclass(frozen=True)
class Misinformed(Planner):
    """A planner with fixed numbers of records."""

    numbers: Mapping[str, int] = field(default_factory=dict)

    def sizes(self, _: Session) -> Mapping[str, int]:
        """Return the fixed numbers."""
        return self.numbers


@pytest.mark.parametrize("sizes", [{"initiatives": 10**6}, {"cities": 10**6}, {"initiatives": 10**6, "grants": 1}])
def test_how_many_there_are_changes_no_search(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]
) -> None:
    """Searches find the same, whichever noun has the most records, even with counts of an unknown noun."""
    paths = ["/initiatives?q=city", "/cities?q=san", "/search?q=data", "/search?q=-data&kinds=cities", "/suggest?q=d"]
    expected = [client.get(path).get_json() for path in paths]
    monkeypatch.setitem(client.application.extensions, "planner", Misinformed(numbers=sizes))
    assert [client.get(path).get_json() for path in paths] == expected


def test_words_are_not_a_part_of_a_statement(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches reuse a statement for other words and for other values of filters."""
    # The last is in the names of one city's initiatives, as the word below: the labels of more cities are another statement.
    for word in ("data", "city", "myla311"):
        for path in ("/initiatives?q={}", "/search?q={}", "/suggest?q={}", "/initiatives?q={}&city.state=CA"):
            assert client.get(path.format(word)).status_code == 200

    def build(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(statements, "Built", build)
    for path in ("/initiatives?q={}", "/search?q={}", "/suggest?q={}", "/initiatives?q={}&city.state=CA"):
        assert client.get(path.format("internet")).status_code == 200
    # The control: a new shape of list needs a new statement.
    assert client.get("/priorities?q=internet&sort=-name").status_code == 500


def test_an_edited_record_is_before_its_reader_again(own_client: FlaskClient, database: Database) -> None:
    """A record edited during a walk through a search becomes the newest of its tier, on an earlier page, not a later one."""
    first = own_client.get("/initiatives?q=data&limit=1").get_json()
    last = own_client.get("/initiatives?q=data&limit=500").get_json()["data"][-1]["id"]
    with publishing(database) as session:
        session.execute(text("update initiatives set started = '1999' where id = :id"), {"id": last})
    rest = own_client.get(first["links"]["next"].removeprefix("http://localhost") + "&count=none").get_json()
    assert last not in [row["id"] for row in rest["data"]]
    assert last in [row["id"] for row in own_client.get("/initiatives?q=data&limit=500").get_json()["data"]]


def test_unpublished_rows_are_not_found(own_client: FlaskClient, database: Database) -> None:
    """A search omits rows deleted by raw SQL at once, and shows inserted and changed rows only once published."""
    before = own_client.get("/initiatives?q=data&limit=500").get_json()["data"]
    parents = {row["parent"] for row in own_client.get("/initiatives?limit=500").get_json()["data"]}
    gone, changed, *_ = [row["id"] for row in before if row["id"] not in parents]
    with database.engine.begin() as connection:
        connection.execute(text("delete from citations where subject_id = :id"), {"id": gone})
        connection.execute(text("delete from initiatives where id = :id"), {"id": gone})
        connection.execute(text("update initiatives set summary = 'x' where id = :id"), {"id": changed})
        connection.execute(
            text(
                "insert into initiatives (id, city_id, title, summary, status) "
                "select 'zz', city_id, 'zz data', 'data', 'draft' from initiatives where id = :id"
            ),
            {"id": changed},
        )
    answer = own_client.get("/initiatives?q=data&limit=500").get_json()
    assert answer["data"] == [row for row in before if row["id"] != gone]
    assert answer["page"]["total"] == len(before) - 1
