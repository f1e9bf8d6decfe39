"""The seed facts are complete, consistent, cited, and in our own words; these tests need no database."""

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.resources import BY_NAME
from api.schema import evidence, fingerprints, pointers, wording
from tests.support.unproved import unproved

ROOT = Path(__file__).resolve().parents[2]
EDITION = ROOT / "seeds" / "digital-cities-2024"
# The article is its publisher's, so it is not in the repository.
ARTICLES = [pytest.param(path, id=path.stem) for path in sorted((ROOT.parent / "shared" / "article").glob("*.txt"))] or [
    pytest.param(None, id="missing", marks=unproved("the text of the article is not at ../shared/article/*.txt"))
]
KEYS = {
    "organizations": "id name type parent city summary",
    "cities": "id name state country state_capital summary",
    "priorities": "id name description",
    "surveys": "id name year year_basis conducted_by summary cities_recognized states categories priorities",
    "sources": "id title type summary publisher part parts language text_sha256",
    "awards": "id survey city category rank tied summary",
    "initiatives": "id city title summary status started parent awards priorities partners metrics",
    "citations": "id subject_kind subject_id field source paragraph sentence sentence_sha256 basis",
}
SEEDS: dict[str, list[dict[str, Any]]] = {
    noun: yaml.load((EDITION / f"{noun}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader) for noun in KEYS
}
BY_ID = {noun: {row["id"]: row for row in rows} for noun, rows in SEEDS.items()}
SUBJECTS = [(noun, row) for noun, rows in SEEDS.items() if noun != "citations" for row in rows]
CITATIONS = SEEDS["citations"]
ALLOWED = {
    ("organizations", "type"): {
        "company",
        "government_agency",
        "city_office",
        "coalition",
        "research_center",
        "publisher",
    },
    ("initiatives", "status"): {"planned", "draft", "pilot", "in_progress", "in_operation", "completed"},
    ("citations", "basis"): {"stated", "inferred", "editorial"},
    ("surveys", "year_basis"): {"stated", "inferred"},
}
ROLES = {"coordinator", "builder", "funder", "partner", "member"}
QUALIFIERS = {"exactly", "more_than", "nearly", "at_least"}
LONGEST_ID = 200
EDTF = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
REFERENCES = {
    "organizations": {"parent": "organizations", "city": "cities"},
    "surveys": {"conducted_by": "organizations", "priorities": "priorities"},
    "sources": {"publisher": "organizations"},
    "awards": {"survey": "surveys", "city": "cities"},
    "initiatives": {"city": "cities", "parent": "initiatives", "awards": "awards", "priorities": "priorities"},
    "citations": {"source": "sources"},
}
FIGURES = [
    ("los-angeles-ca", 84, "service request types", "exactly", None),
    ("los-angeles-ca", 11, "departments", "exactly", None),
    ("los-angeles-ca", 2400000, "contacts", "more_than", None),
    ("los-angeles-ca", 5, "courses", "exactly", None),
    ("los-angeles-ca", 40, "percent", "exactly", None),
    ("san-diego-ca", 360000, "USD", "exactly", "2025"),
    ("san-diego-ca", 2005, "year", "exactly", None),
    ("san-jose-ca", 250, "agencies", "more_than", None),
    ("san-jose-ca", 40, "languages", "more_than", None),
    ("san-jose-ca", 41000, "households", "more_than", None),
    ("sacramento-ca", 10, "percent", "nearly", None),
    ("sacramento-ca", 38700000, "USD", "exactly", "2024-07"),
    ("sacramento-ca", 43000, "residents", "more_than", None),
]


def as_list(value: Any) -> list[Any]:
    """Return a reference, a list of them, or null as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("noun", KEYS)
def test_every_key_is_present_in_order(noun: str) -> None:
    """Each record has exactly its noun's keys, null where no source says."""
    expected = KEYS[noun].split()
    assert [row["id"] for row in SEEDS[noun] if list(row) != expected] == []


@pytest.mark.parametrize("noun", KEYS)
def test_ids_are_unique_slugs(noun: str) -> None:
    """An id is a lower-case slug of at most 200 characters that no other record of the noun has."""
    ids = [row["id"] for row in SEEDS[noun]]
    slug = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
    assert [key for key, times in Counter(ids).items() if times > 1] == []
    assert [key for key in ids if not slug.fullmatch(key) or len(key) > LONGEST_ID] == []


def test_ids_say_what_they_name() -> None:
    """A city's id ends in its state, an award's begins with its survey, an initiative's with its city."""
    expected: tuple[list[str], list[str], list[str]] = (
        [f"{row['survey']}-{row['city']}" for row in SEEDS["awards"]],
        [row["state"].lower() for row in SEEDS["cities"]],
        [],
    )
    assert expected == (
        [row["id"] for row in SEEDS["awards"]],
        [row["id"].rpartition("-")[2] for row in SEEDS["cities"]],
        [row["id"] for row in SEEDS["initiatives"] if not row["id"].startswith(f"{row['city']}-")],
    )


@pytest.mark.parametrize(("noun", "field"), ALLOWED)
def test_values_come_from_their_list(noun: str, field: str) -> None:
    """Each type, status and basis is in the documentation's list."""
    assert set() == {row[field] for row in SEEDS[noun]} - ALLOWED[noun, field]


@pytest.mark.parametrize("noun", REFERENCES)
def test_every_reference_resolves(noun: str) -> None:
    """No record refers to one that does not exist."""
    missing = [
        (row["id"], field, key)
        for row in SEEDS[noun]
        for field, target in REFERENCES[noun].items()
        for key in as_list(row[field])
        if key not in BY_ID[target]
    ]
    assert missing == []


def test_references_inside_parts_resolve() -> None:
    """Partners, competing cities, categories and citation subjects exist too."""
    categories = {(row["id"], part["category"]) for row in SEEDS["surveys"] for part in row["categories"]}
    partners = {part["organization"] for row in SEEDS["initiatives"] for part in row["partners"]}
    competing = {key for row in SEEDS["surveys"] for part in row["categories"] for key in part["also_competing"]}
    assert partners <= BY_ID["organizations"].keys()
    assert competing <= BY_ID["cities"].keys()
    assert {(row["survey"], row["category"]) for row in SEEDS["awards"]} <= categories
    assert [row["id"] for row in CITATIONS if row["subject_id"] not in BY_ID.get(row["subject_kind"], {})] == []


@pytest.mark.parametrize("noun", ["organizations", "initiatives"])
def test_parents_come_before_children(noun: str) -> None:
    """A parent stands earlier in the file, so a loader needs one pass and no circle can exist."""
    place = {row["id"]: number for number, row in enumerate(SEEDS[noun])}
    assert [row["id"] for row in SEEDS[noun] if row["parent"] and place[row["parent"]] >= place[row["id"]]] == []


def test_an_initiative_agrees_with_its_city() -> None:
    """The parent of an initiative and the awards that credit it belong to the same city."""
    strangers = [
        row["id"]
        for row in SEEDS["initiatives"]
        if any(BY_ID["awards"][key]["city"] != row["city"] for key in row["awards"])
        or (row["parent"] and BY_ID["initiatives"][row["parent"]]["city"] != row["city"])
    ]
    assert strangers == []


def test_priorities_of_an_initiative_are_in_survey_order() -> None:
    """The priorities that an initiative serves are listed once each, as the survey orders them."""
    order = SEEDS["surveys"][0]["priorities"]
    assert [
        row["id"] for row in SEEDS["initiatives"] if row["priorities"] != [key for key in order if key in row["priorities"]]
    ] == []


def test_parts_have_one_shape() -> None:
    """A metric is a number with a unit, a qualifier and an EDTF date or null; a partner has a known role."""
    wrong: list[Any] = []
    for row in SEEDS["initiatives"]:
        wrong += [part for part in row["partners"] if list(part) != ["organization", "role"]]
        wrong += [part for part in row["partners"] if part["role"] not in ROLES]
        for part in row["metrics"]:
            value = Decimal(str(part["value"]))
            shaped = list(part) == ["name", "value", "unit", "qualifier", "as_of"] and part["qualifier"] in QUALIFIERS
            exact = value == round(value, 6) and abs(value) < 2**53
            dated = part["as_of"] is None or EDTF.fullmatch(part["as_of"])
            wrong += [] if shaped and exact and dated else [part]
        wrong += [row["id"]] if row["started"] and not EDTF.fullmatch(row["started"]) else []
    assert wrong == []


def test_citation_ids_follow_their_rule() -> None:
    """A citation's id is spelled from its subject, field, paragraph and sentence."""
    expected = [
        f"{row['subject_kind']}-{row['subject_id']}-{re.sub(r'[^a-z0-9]+', '-', row['field'].lower()).strip('-')}"
        f"-p{row['paragraph']}-s{row['sentence']}"
        for row in CITATIONS
    ]
    assert expected == [row["id"] for row in CITATIONS]


@pytest.mark.parametrize("noun", [noun for noun in KEYS if noun != "citations"])
def test_every_fact_has_a_citation(noun: str) -> None:
    """Each fact has a citation of itself or of a list or an object that contains it, and each judgement has one of its own."""
    cited: dict[str, set[str]] = {row["id"]: set() for row in SEEDS[noun]}
    for row in CITATIONS:
        if row["subject_kind"] == noun:
            cited[row["subject_id"]].add(row["field"])
    uncovered = [
        f"{noun}/{row['id']}{pointer}"
        for row in SEEDS[noun]
        for missing in (evidence.uncited, evidence.unjudged)
        for pointer in missing(BY_NAME[noun], row, cited[row["id"]])
    ]
    assert uncovered == []


def test_no_citation_points_at_nothing() -> None:
    """The field of a citation leads to a fact of its subject."""
    subjects = [(row, BY_ID[row["subject_kind"]][row["subject_id"]]) for row in CITATIONS]
    assert [row["id"] for row, subject in subjects if evidence.is_nothing(pointers.follow(subject, row["field"]))] == []


def test_editorial_is_exactly_what_we_judge() -> None:
    """Priorities served and priority descriptions are our judgement, and nothing else is."""
    judged = re.compile(r"initiatives/priorities/\d+|priorities/description")
    wrong = [
        row["id"]
        for row in CITATIONS
        if bool(judged.fullmatch(row["subject_kind"] + row["field"])) != (row["basis"] == "editorial")
    ]
    assert wrong == []


def test_the_survey_is_told_whole() -> None:
    """The survey has its counts of recognized cities by state, its categories, and the ten priorities in order."""
    (survey,) = SEEDS["surveys"]
    facts = {
        key: survey[key]
        for key in ("year", "year_basis", "conducted_by", "cities_recognized", "states", "categories", "priorities")
    }
    assert facts == {
        "year": 2024,
        "year_basis": "inferred",
        "conducted_by": "center-for-digital-government",
        "cities_recognized": 56,
        "states": [{"state": "CA", "cities_recognized": 13}],
        "categories": [
            {
                "category": "500000-or-more",
                "name": "500,000 or more population",
                "min_population": 500000,
                "max_population": None,
                "also_competing": ["boston-ma", "seattle-wa"],
            }
        ],
        "priorities": [
            "cybersecurity",
            "customer-experience",
            "ai-and-machine-learning",
            "process-automation",
            "recovery-and-resilience",
            "analytics-and-intelligence",
            "data-governance",
            "workforce-training-and-retention",
            "agency-collaboration",
            "modernization",
        ],
    }
    assert survey["priorities"] == list(BY_ID["priorities"])


def test_placings_and_the_capital() -> None:
    """San Diego is first, Los Angeles and San Jose share the second place, and Sacramento, the capital, is ninth."""
    assert [(row["city"], row["rank"], row["tied"]) for row in SEEDS["awards"]] == [
        ("san-diego-ca", 1, False),
        ("los-angeles-ca", 2, True),
        ("san-jose-ca", 2, True),
        ("sacramento-ca", 9, None),
    ]
    assert {row["id"]: row["state_capital"] for row in SEEDS["cities"]} == {
        "san-diego-ca": False,
        "los-angeles-ca": False,
        "san-jose-ca": False,
        "sacramento-ca": True,
        "seattle-wa": None,
        "boston-ma": None,
    }


def test_who_belongs_to_whom() -> None:
    """The survey's center and the publication are both e.Republic's, and the article is one of three parts."""
    (source,) = SEEDS["sources"]
    parents = {row["id"]: row["parent"] for row in SEEDS["organizations"] if row["parent"]}
    assert parents == {"center-for-digital-government": "e-republic", "industry-insider-california": "e-republic"}
    assert (source["publisher"], source["part"], source["parts"]) == ("industry-insider-california", 1, 3)


def test_every_figure_is_a_metric() -> None:
    """The metrics are exactly the figures of the four cities, each with its unit, qualifier and date."""
    metrics = [
        (row["city"], part["value"], part["unit"], part["qualifier"], part["as_of"])
        for row in SEEDS["initiatives"]
        for part in row["metrics"]
    ]
    assert Counter(FIGURES) == Counter(metrics)


def test_every_date_and_role_is_there() -> None:
    """The two dated beginnings and the outside partners, each with its role."""
    assert {row["id"]: row["started"] for row in SEEDS["initiatives"] if row["started"]} == {
        "sacramento-ca-data-and-analytics-office": "2024-12",
        "sacramento-ca-high-speed-internet": "2024-07",
    }
    partners = {(row["id"], part["organization"], part["role"]) for row in SEEDS["initiatives"] for part in row["partners"]}
    assert partners >= {
        ("los-angeles-ca-vision-ai", "amazon-web-services", "partner"),
        ("sacramento-ca-high-speed-internet", "california-public-utilities-commission", "funder"),
        ("san-diego-ca-records-digitization-playbook", "san-diego-ca-city-clerk", "partner"),
        ("san-jose-ca-govai-coalition", "govai-coalition", "partner"),
    }


@pytest.mark.parametrize(
    ("city", "least"), [("san-diego-ca", 9), ("los-angeles-ca", 6), ("san-jose-ca", 6), ("sacramento-ca", 4)]
)
def test_no_city_is_short_of_initiatives(city: str, least: int) -> None:
    """Each city has at least the number of initiatives that the source describes separately."""
    assert sum(row["city"] == city for row in SEEDS["initiatives"]) >= least


@pytest.mark.parametrize("article", ARTICLES)
def test_citations_hold_against_the_article(article: Path) -> None:
    """Against the article, every locator and fingerprint is correct, and every sentence is cited."""
    text = article.read_text(encoding="utf-8")
    (source,) = [row for row in SEEDS["sources"] if row["text_sha256"] == fingerprints.text_sha256(text)]
    mine = [row for row in CITATIONS if row["source"] == source["id"]]
    assert fingerprints.check(text, mine) == []
    everywhere = {(sentence.paragraph, sentence.number) for sentence in fingerprints.located(text)}
    assert set() == everywhere - {(row["paragraph"], row["sentence"]) for row in mine}


@pytest.mark.parametrize("article", ARTICLES)
def test_prose_is_our_own(article: Path) -> None:
    """No title, summary or description shares eight words in a row with the article, apart from proper names."""
    names = [name for noun, row in SUBJECTS for name in wording.names(BY_NAME[noun].schema(), row)]
    theirs = wording.Wording(article.read_text(encoding="utf-8"), names)
    copied = {
        f"{noun}/{row['id']}{ours.pointer}": shared.text
        for noun, row in SUBJECTS
        for ours in wording.texts(BY_NAME[noun].schema(), row)
        for shared in theirs.shared(ours)
        if ours.is_ours and shared.length >= wording.COPIED
    }
    assert copied == {}
