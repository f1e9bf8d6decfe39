"""The seed facts are complete, consistent, cited, and in our own words; these tests need no database."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.resources import BY_NAME
from api.schema import datasets, evidence, fingerprints, pointers, wording
from tests.support.unproved import unproved

ROOT = Path(__file__).resolve().parents[2]
EDITION = ROOT / "seeds" / "digital-cities-2024-r2"
# The article is its publisher's, so it is not in the repository.
ARTICLES = [pytest.param(path, id=path.stem) for path in sorted((ROOT.parent / "shared" / "article").glob("*.txt"))] or [
    pytest.param(None, id="missing", marks=unproved("the text of the article is not at ../shared/article/*.txt"))
]
LEFT_OUT = {"paragraph", "sentence", "sentence_sha256", "locator", "value_sha256"}
SEEDS: dict[str, list[dict[str, Any]]] = {
    noun: yaml.load((EDITION / f"{noun}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader) for noun in BY_NAME
}
BY_ID = {noun: {row["id"]: row for row in rows} for noun, rows in SEEDS.items()}
SUBJECTS = [(noun, row) for noun, rows in SEEDS.items() if noun != "citations" for row in rows]
CITATIONS = SEEDS["citations"]
LONGEST_ID = 200
REFERENCES = {
    "organizations": {"parent": "organizations", "city": "cities"},
    "surveys": {"conducted_by": "organizations", "priorities": "priorities"},
    "sources": {"publisher": "organizations"},
    "awards": {"survey": "surveys", "city": "cities"},
    "initiatives": {"city": "cities", "parent": "initiatives", "awards": "awards", "priorities": "priorities"},
    "citations": {"source": "sources"},
}
# City, kind, value, unit, qualifier, direction, period and date.
FIGURES = [
    ("los-angeles-ca", "count", 84, "service request types", None, None, None, None),
    ("los-angeles-ca", "count", 11, "departments", None, None, None, None),
    ("los-angeles-ca", "count", 2400000, "contacts", "more_than", None, None, None),
    ("los-angeles-ca", "count", 5, "courses", None, None, None, None),
    ("los-angeles-ca", "change", 40, "percent", None, "decrease", None, None),
    ("san-diego-ca", "money", 360000, "USD", None, None, None, "2025"),
    ("san-diego-ca", "record", None, "permits", None, "highest", "2005/", None),
    ("san-jose-ca", "count", 250, "agencies", "more_than", None, None, None),
    ("san-jose-ca", "count", 40, "languages", "more_than", None, None, None),
    ("san-jose-ca", "count", 41000, "households", "more_than", None, None, None),
    ("sacramento-ca", "change", 10, "percent", "nearly", "decrease", None, None),
    ("sacramento-ca", "money", 38700000, "USD", None, None, None, "2024-07"),
    ("sacramento-ca", "count", 43000, "residents", "more_than", None, None, None),
]
# GeoNames id, latitude and longitude.
PLACES = {
    "san-diego-ca": ("5391811", 32.71571, -117.16472),
    "los-angeles-ca": ("5368361", 34.05223, -118.24368),
    "san-jose-ca": ("5392171", 37.33939, -121.89496),
    "sacramento-ca": ("5389489", 38.58157, -121.4944),
    "boston-ma": ("4930956", 42.35843, -71.05977),
    "seattle-wa": ("5809844", 47.60621, -122.33207),
}


def as_list(value: Any) -> list[Any]:
    """Return a reference, a list of them, or null as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("noun", BY_NAME)
def test_every_fact_is_there_or_null(noun: str) -> None:
    """Each record has exactly the members that curators set; a citation has those of a sentence or those of a value."""
    facts = {*BY_NAME[noun].facts}
    optional = LEFT_OUT if noun == "citations" else set()
    assert [row["id"] for row in SEEDS[noun] if not facts - optional <= row.keys() <= facts] == []


@pytest.mark.parametrize("noun", BY_NAME)
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


def test_citation_ids_follow_their_rule() -> None:
    """A citation's id is spelled from its subject and field, and from its paragraph and sentence or its data set."""
    expected = [
        f"{row['subject_kind']}-{row['subject_id']}-{re.sub(r'[^a-z0-9]+', '-', row['field'].lower()).strip('-')}-"
        + (row["source"] if "locator" in row else f"p{row['paragraph']}-s{row['sentence']}")
        for row in CITATIONS
    ]
    assert expected == [row["id"] for row in CITATIONS]


@pytest.mark.parametrize("noun", [noun for noun in BY_NAME if noun != "citations"])
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
    """Priorities served, descriptions of priorities, and abbreviations of names are our judgement, and nothing else is."""
    judged = re.compile(r"initiatives/priorities/\d+|priorities/description")
    abbreviations = {("amazon-web-services", "/aliases"), ("california-public-utilities-commission", "/aliases")}
    wrong = [
        row["id"]
        for row in CITATIONS
        for is_ours in [(row["subject_id"], row["field"]) in abbreviations]
        if bool(judged.fullmatch(row["subject_kind"] + row["field"]) or is_ours) != (row["basis"] == "editorial")
    ]
    assert wrong == []


def test_data_sets_are_external() -> None:
    """What a data set says of a record is external, and nothing else is."""
    assert [row["id"] for row in CITATIONS if ("locator" in row) != (row["basis"] == "external")] == []


def test_places_are_those_of_geonames() -> None:
    """Each city has its GeoNames id and its location, and the citations have the fingerprints of these values."""
    places = {
        row["id"]: (row["identifiers"][0]["value"], row["location"]["latitude"], row["location"]["longitude"])
        for row in SEEDS["cities"]
    }
    assert places == PLACES
    values = {
        (row["subject_id"], row["locator"]["column"]): (row["locator"]["record"], row["value_sha256"])
        for row in CITATIONS
        if row["source"] == "geonames"
    }
    # The columns are those of the package that the source names.
    assert {column for _, column in values} == {"geonameid", "latitude", "longitude", "countrycode", "admin1code"}
    for id, place in PLACES.items():
        for column, value in zip(("geonameid", "latitude", "longitude"), place, strict=True):
            assert values[id, column] == (place[0], datasets.value_sha256(str(value)))


def test_the_survey_is_told_whole() -> None:
    """The survey has its counts of recognized cities by state, its categories, and the ten priorities in order."""
    (survey,) = SEEDS["surveys"]
    facts = {
        key: survey[key]
        for key in ("year", "conducted_by", "cities_recognized", "states", "categories", "priorities", "incomplete")
    }
    assert facts == {
        "year": 2024,
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
        "incomplete": ["/categories", "/categories/0/also_competing", "/priorities", "/states"],
    }
    assert survey["priorities"] == list(BY_ID["priorities"])


def test_placings_and_the_capital() -> None:
    """San Diego is first, Los Angeles and San Jose share the second place, and Sacramento, the capital, is ninth."""
    assert [(row["city"], row["rank"], row["tied"]) for row in SEEDS["awards"]] == [
        ("san-diego-ca", 1, None),
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
    source = BY_ID["sources"]["industry-insider-digital-cities-2024-part-1"]
    parents = {row["id"]: row["parent"] for row in SEEDS["organizations"] if row["parent"]}
    assert parents == {"center-for-digital-government": "e-republic", "industry-insider-california": "e-republic"}
    assert (source["publisher"], source["part"], source["parts"]) == ("industry-insider-california", 1, 3)


def test_every_figure_is_a_metric() -> None:
    """The metrics are exactly the figures of the four cities, each with its kind, unit, qualifier, direction, period and date."""
    metrics = [
        (row["city"], *(part[name] for name in part if name != "name"))
        for row in SEEDS["initiatives"]
        for part in row["metrics"]
    ]
    assert Counter(FIGURES) == Counter(metrics)


def test_every_date_and_role_is_there() -> None:
    """The one dated beginning, in a December of no year, and all partners, each with its role."""
    started = {row["id"]: row["started"] for row in SEEDS["initiatives"] if row["started"]}
    assert started == {"sacramento-ca-data-and-analytics-office": "XXXX-12"}
    partners = {(row["id"], part["organization"], part["role"]) for row in SEEDS["initiatives"] for part in row["partners"]}
    team = ("san-diego-ca-chief-information-officer", "san-diego-ca-city-clerk")
    works = ("san-diego-ca-records-digitization-playbook", "san-diego-ca-digitization-cost-calculator")
    assert partners == {
        *((work, member, "builder") for work in works for member in team),
        ("los-angeles-ca-vision-ai", "amazon-web-services", "partner"),
        ("sacramento-ca-citywide-data-strategy", "sacramento-ca-data-and-analytics-office", "builder"),
        ("sacramento-ca-high-speed-internet", "california-public-utilities-commission", "funder"),
        ("san-jose-ca-govai-coalition", "govai-coalition", "partner"),
        ("san-jose-ca-govai-coalition", "san-jose-ca-city-government", "leader"),
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
