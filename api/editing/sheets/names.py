"""The records that names in cells mean: those of the database, and those that the same files create."""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.editing.sheets.headers import Kind
from api.editing.sheets.questions import Question, ask
from api.editing.sheets.slugs import made
from api.errors import shorten
from api.ledger.index.matching import Directory, Entry, key_of, spelled
from api.ledger.index.states import split_city
from api.resources.surveys import SurveyCategory
from api.schema.canonical import Content
from api.schema.fields import is_slug
from api.schema.resource import Resource

# Names for which similar ones are looked up; a file with more of them is the wrong one.
MOST_ASKED = 500
# The numbers of a range of population.
NUMBERS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+")


class Names:
    """Finds the records that are meant, and knows those that are coming."""

    def __init__(self, session: Session, nouns: AbstractSet[str]) -> None:
        """Read no name before one is looked up; only records of some ``nouns`` that are coming are kept in mind."""
        self.session, self.nouns = session, nouns
        self.directories: dict[str, Directory] = {}
        self.categories: dict[str, dict[str, Content]] = {}
        self.resolved: dict[tuple[str, str, str], str] = {}
        self.asked = 0

    def directory(self, noun: Resource) -> Directory:
        """Return the names of a noun's records."""
        if noun.name not in self.directories:
            self.directories[noun.name] = Directory.of(self.session, noun)
        return self.directories[noun.name]

    def coming(self, noun: Resource, content: Content) -> None:
        """Take note of a record that the files have."""
        id = content.get("id")
        if noun.name not in self.nouns or not isinstance(id, str):
            return
        directory = self.directory(noun)
        label, aliases = content.get(noun.label.key), content.get("aliases") or []
        if id not in directory.by_id or label is not None:
            names = [name for name in (label, *aliases) if isinstance(name, str)] if noun.label.key != "id" else []
            key = {name: content[name] for name in key_of(noun) if name in content and name != noun.label.key}
            directory.add(Entry(id, tuple(names), key))
        if noun.name == "surveys" and isinstance(content.get("categories"), list):
            rows = [row for row in content["categories"] if isinstance(row, dict) and row.get("category")]
            self.categories[id] = {row["category"]: row for row in rows}

    def coming_item(self, kind: Kind, id: str, item: Content | None) -> None:
        """Take note of an item of a list of a record: a category of a survey has a name, too."""
        if str(kind) == "surveys.categories" and item and item.get("category"):
            self.categories.setdefault(id, {})[item["category"]] = item

    def resolve(self, noun: Resource, text: str, hints: Mapping[str, Any]) -> str:
        """Return the id of the record that a text names. Raises Question if that is not one record alone.

        A text that looks like an id, and is none that is known, is left to the check of references.
        """
        key = (noun.name, text, repr(sorted(hints.items())))
        if key not in self.resolved:
            self.resolved[key] = self._resolve(noun, text, hints)
        return self.resolved[key]

    def _resolve(self, noun: Resource, text: str, hints: Mapping[str, Any]) -> str:
        directory = self.directory(noun)
        if text in directory.by_id:
            return text
        exact = [candidate.id for candidate in directory.exact(text, hints)]
        if len(exact) == 1:
            return exact[0]
        if is_slug(text) and not exact:
            return text
        if exact:
            raise ask(text, exact, "Several have that name: write the id.")
        self.asked += 1
        if candidates := directory.match(text, hints) if self.asked <= MOST_ASKED else []:
            raise ask(text, [row.id for row in candidates], _cure(noun, text, hints))
        raise Question(f"No {noun.singular} is called `{shorten(text)}`. {_cure(noun, text, hints)}")

    def category(self, survey: str, text: str) -> str:
        """Return the category of a survey that a text names. Raises Question if it names none."""
        rows = self.of_survey(survey)
        if text in rows or (not rows and is_slug(text)):
            return text
        wanted, numbers = spelled(text), [int(number.replace(",", "")) for number in NUMBERS.findall(text)]
        for id, row in rows.items():
            names = {spelled(id), spelled(str(row.get("name"))), spelled(str(row.get("name"))).removesuffix("population")}
            bounds = [row.get("min_population"), row.get("max_population")]
            if wanted in names or wanted.removesuffix("population") in names or (numbers == bounds):
                return id
        raise ask(text, [*rows], f"They are the categories of `{survey}`." if rows else f"`{survey}` has no categories.")

    def of_survey(self, survey: str) -> Mapping[str, Content]:
        """Return the categories of a survey by id."""
        if survey not in self.categories:
            columns = SurveyCategory.category, SurveyCategory.name, SurveyCategory.min_population, SurveyCategory.max_population
            rows = self.session.execute(select(*columns).where(SurveyCategory.survey_id == survey)).mappings()
            self.categories[survey] = {row["category"]: dict(row) for row in rows}
        return self.categories[survey]


def _cure(noun: Resource, text: str, hints: Mapping[str, Any]) -> str:
    """Return what to do about a name that no record has; a new record's id is proposed."""
    content = {noun.label.key: text, **hints}
    if noun.name == "cities":
        name, state = split_city(text)
        content |= {"name": name, **({"state": state} if state else {})}
    id = made(noun.name, content)
    proposal = f": its id would be `{id}`" if id else ""
    return f"If this is a new {noun.singular}, add it to a table of {noun.name}{proposal}."
