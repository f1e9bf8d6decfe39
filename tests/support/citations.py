"""A text of four sentences, a city and an initiative that are cited from it, and the changeset that creates them."""

from api.schema import fingerprints
from tests.support.answers import Json

STORY = "The pier\n\nThe pier of St. Mary opened. It has 12 lamps that burn all night at no cost to the city.\nNobody came.\n"
RECORDS: dict[str, Json] = {
    "sources": {
        "id": "zz-story",
        "label": "A story of ours",
        "type": "article",
        "language": "en",
        "text_sha256": fingerprints.text_sha256(STORY),
    },
    "cities": {"id": "zz-ca", "name": "Harbor", "state": "CA", "country": "US"},
    "initiatives": {
        "id": "zz-lamps",
        "city": "zz-ca",
        "title": "Pier lamps",
        "summary": "Twelve lamps light the pier.",
        "status": "in_operation",
        "priorities": ["modernization"],
        "metrics": [{"name": "lamps in use", "value": 12, "unit": "lamps", "kind": "count", "qualifier": None}],
    },
}
# The facts that are cited, by noun, each with the number of its sentence in the second paragraph.
CITED = {
    "cities": {"/name": 1, "/state": 1, "/country": 1},
    "initiatives": {"/city": 1, "/title": 2, "/summary": 2, "/status": 2, "/priorities/0": 2, "/metrics/0": 2},
}


def citation(kind: str, field: str) -> str:
    """Return the id of the citation of a fact."""
    return f"zz-{kind}{field.replace('/', '-')}"


def operations() -> list[Json]:
    """Return the operations that create the source, the records and the citations."""
    cut = fingerprints.sentences(fingerprints.paragraphs(STORY)[1])
    citations = [
        {
            "id": citation(kind, field),
            "subject_kind": kind,
            "subject_id": RECORDS[kind]["id"],
            "field": field,
            "source": "zz-story",
            "paragraph": 2,
            "sentence": sentence,
            "sentence_sha256": fingerprints.sentence_sha256(cut[sentence - 1]),
            "basis": "editorial" if field.startswith("/priorities") else "stated",
        }
        for kind, fields in CITED.items()
        for field, sentence in fields.items()
    ]
    documents = [*RECORDS.items(), *(("citations", row) for row in citations)]
    return [{"op": "create", "kind": kind, "document": document} for kind, document in documents]


def patch(kind: str, id: str, **document: object) -> Json:
    """Return an operation that changes members of a record."""
    return {"op": "patch", "kind": kind, "id": id, "if_match": "*", "document": document}


def delete(id: str) -> Json:
    """Return an operation that deletes a citation."""
    return {"op": "delete", "kind": "citations", "id": id, "if_match": "*"}
