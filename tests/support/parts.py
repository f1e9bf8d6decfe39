"""Records that move between cities and surveys, and the parts of a dataset, computed without the product's help."""

import json
import random

from sqlalchemy import text
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger import publish, retention
from tests.support.answers import Json
from tests.support.copies import Copy
from tests.support.databases import publishing
from tests.support.mirrors import published

CITIES, SURVEYS, SOURCE = ("c0-zz", "c1-zz", "c2-zz"), ("s0-zz", "s1-zz"), "industry-insider-digital-cities-2024-part-1"
# Each noun that comes and goes, with the ids of its records and the statement that adds one.
ADD = {
    "awards": "insert into awards (id, survey_id, category, city_id, rank) values (:id, :survey, :id, :city, 1)",
    "initiatives": "insert into initiatives (id, city_id, title) values (:id, :city, :id)",
    "organizations": "insert into organizations (id, name, type, city_id) values (:id, :id, 'company', :city)",
    "citations": (
        "insert into citations (id, subject_kind, subject_id, field, source_id, paragraph, sentence, sentence_sha256, basis)"
        f" values (:id, :kind, :subject, '/summary', '{SOURCE}', 1, :number, '{'0' * 64}', 'stated')"
    ),
}
IDS = {kind: [f"{kind[:2]}{n}-zz" for n in range(3)] for kind in ADD} | {"citations": [f"x{n}-zz" for n in range(6)]}
# Statements that change what a record belongs to.
MOVE = {
    "awards": ["update awards set survey_id = :survey where id = :id", "update awards set city_id = :city where id = :id"],
    "initiatives": [
        "update initiatives set city_id = :city where id = :id",
        "insert into initiative_awards (initiative_id, award_id) select :id, id from awards where id = :award on conflict do nothing",
        "delete from initiative_awards where initiative_id = :id and award_id = :award",
    ],
    "organizations": [
        "update organizations set city_id = :city where id = :id",
        "update organizations set city_id = null where id = :id",
    ],
    "citations": ["update citations set subject_kind = :kind, subject_id = :subject where id = :id"],
}
TOUCH = {
    "awards": "rank = rank + 1",
    "initiatives": "summary = :text",
    "organizations": "summary = :text",
    "citations": "paragraph = :number",
}
PARTS = (
    "city=c0-zz",
    "city=c1-zz,c2-zz",
    "survey=s0-zz",
    "city=c0-zz,c1-zz&survey=s1-zz",
    "city=c1-zz&kinds=initiatives,citations",
)


def begin(session: Session) -> None:
    """Add the cities and surveys."""
    for id in CITIES:
        session.execute(text("insert into cities (id, name, state, country) values (:id, :id, 'ZZ', 'US')"), {"id": id})
    for year, id in enumerate(SURVEYS, 2020):
        survey = "insert into surveys (id, name, year, conducted_by_id) values (:id, :id, :year, 'e-republic')"
        session.execute(text(survey), {"id": id, "year": year})
        for position, category in enumerate(IDS["awards"]):
            category_of = (
                "insert into survey_categories (survey_id, category, position, name) values (:id, :category, :position, 'K')"
            )
            session.execute(text(category_of), {"id": id, "category": category, "position": position})


def change(session: Session, chance: random.Random) -> None:
    """Add, move, touch or delete a record."""
    kind = chance.choice([*ADD])
    id = chance.choice(IDS[kind])
    subjects = [("cities", each) for each in CITIES] + [("surveys", each) for each in SURVEYS]
    for noun in ("awards", "initiatives", "organizations"):
        subjects += [(noun, each) for each in session.scalars(text(f"select id from {noun} where id like '%-zz'"))]
    subject = chance.choice(subjects)
    values = {
        "id": id,
        "city": chance.choice(CITIES),
        "survey": chance.choice(SURVEYS),
        "award": chance.choice(IDS["awards"]),
        "kind": subject[0],
        "subject": subject[1],
        "number": chance.randrange(1, 10**6),
        "text": f"Text {chance.random()}.",
    }
    if not session.scalar(text(f"select count(*) from {kind} where id = :id"), values):
        statements = [ADD[kind]]
    elif chance.random() < 0.2:
        statements = ["delete from initiative_awards where award_id = :id", f"delete from {kind} where id = :id"]
    elif chance.random() < 0.2:
        statements = [f"update {kind} set {TOUCH[kind]} where id = :id"]
    else:
        statements = [chance.choice(MOVE[kind])]
    for statement in statements:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        session.execute(text(statement), used)


def belongs(world: Copy, kind: str, document: Json) -> set[tuple[str, str]]:
    """Return the cities and surveys to which a record belongs."""
    if kind in {"cities", "surveys"}:
        return {(kind, document["id"])}
    if kind == "awards":
        return {("cities", document["city"]), ("surveys", document["survey"])}
    if kind == "initiatives":
        of_awards = [belongs(world, "awards", world["awards", award]) for award in document["awards"]]
        return {("cities", document["city"])}.union(*of_awards)
    if kind == "organizations":
        return {("cities", document["city"])}
    if kind == "citations":
        subject = (document["subject_kind"], document["subject_id"])
        return belongs(world, subject[0], world[subject])
    return set()


def part(world: Copy, query: str) -> Copy:
    """Return the records of a part, without the product's help."""
    values_of = {name: set(values.split(",")) for name, _, values in (pair.partition("=") for pair in query.split("&"))}
    kinds = values_of.pop("kinds", {kind for kind, _ in world})
    scopes = [{({"city": "cities", "survey": "surveys"}[name], id) for id in ids} for name, ids in values_of.items()]
    return {
        (kind, id): document
        for (kind, id), document in world.items()
        if kind in kinds and all(belongs(world, kind, document) & scope for scope in scopes)
    }


def world_of(database: Database) -> Copy:
    """Return every document as the server has it."""
    return {key: json.loads(document) for key, document in published(database).items()}


def erase(session: Session, kind: str, id: str) -> None:
    """Erase the past of a record, if it has one."""
    if session.scalar(text("select count(*) from revision where kind = :kind and id = :id"), {"kind": kind, "id": id}):
        retention.erase(session, kind, id)


def turn(database: Database, chance: random.Random) -> bool:
    """Commit some changes, and sometimes an erasure; tells whether there was one."""
    with publishing(database) as session:
        for _ in range(chance.randrange(1, 5)):
            change(session, chance)
    if is_erasure := chance.random() < 0.1:
        kind = chance.choice([*ADD])
        with database.writing() as session:
            publish.settle(session)
            erase(session, kind, chance.choice(IDS[kind]))
    return is_erasure
