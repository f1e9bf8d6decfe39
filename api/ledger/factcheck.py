"""Checks the published records against a source, a text or a data set: citations, facts without one, and copied words."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import and_, exists, select
from sqlalchemy.orm import Session

from api.ledger.dangling import dangling
from api.ledger.models import BATCH, CURRENT, Revision
from api.ledger.rebuild import contents
from api.resources import SUBJECTS
from api.resources.citations import Citation
from api.resources.sources import Source, SourceType
from api.schema import datasets, fingerprints
from api.schema.canonical import Content
from api.schema.evidence import is_nothing, uncited, unjudged
from api.schema.pointers import follow, resolves
from api.schema.resource import Resource
from api.schema.wording import COPIED, LISTED, Wording, names, texts


class Section(NamedTuple):
    """A kind of findings, and whether one of them is a fault."""

    title: str
    is_fault: bool = True


MISMATCHED = Section("Citations that do not match the text")
POINTLESS = Section("Citations that support nothing")
UNCITED = Section("Facts without a citation")
UNJUDGED = Section("Judgements without a sentence of their own")
COPIED_WORDS = Section(f"Sequences of {COPIED} or more words of the source in our texts")
SHARED_WORDS = Section(f"Sequences of {LISTED} or {COPIED - 1} words of the source in our texts", is_fault=False)
UNUSED = Section("Sentences that no citation uses", is_fault=False)
SECTIONS = (MISMATCHED, POINTLESS, UNCITED, UNJUDGED, COPIED_WORDS, SHARED_WORDS, UNUSED)

Finding = tuple[Section, str]


def findings(session: Session, source: Source, text: str, declared: Iterable[str]) -> Iterator[Finding]:
    """Yield each finding about a source's citations, facts and our words, from its text and declared proper names."""
    yield from _of_citations(session, source, text)
    # The values of a data set are nobody's wording.
    wording = Wording("" if source.type is SourceType.DATASET else text, [*declared, *_names(session)])
    schemas = {resource: resource.schema() for resource in SUBJECTS}
    for resource, id, content, citations in _subjects(session):
        record = f"{resource.name}/{id}"
        for section, place in _of_record(resource, content, citations, source.id):
            yield section, f"{record}: {place}"
        for ours in (ours for ours in texts(schemas[resource], content) if ours.is_ours):
            for shared in wording.shared(ours):
                section = COPIED_WORDS if shared.length >= COPIED else SHARED_WORDS
                yield section, f'{record}: {ours.pointer}: {shared.length} words: "{shared.text}"'


def _of_citations(session: Session, source: Source, text: str) -> Iterator[Finding]:
    """Compare the source's citations with its text, or its values, and with the records."""
    of_value = (Citation.locator_record, Citation.locator_column, Citation.value_sha256)
    columns = (Citation.id, Citation.paragraph, Citation.sentence, Citation.sentence_sha256, *of_value)
    mine = Citation.source_id == source.id
    citations = [row._asdict() for row in session.execute(select(*columns).where(mine).order_by(Citation.id))]
    if source.type is SourceType.DATASET:
        yield from ((MISMATCHED, fault) for fault in datasets.check(datasets.read(text), citations))
    else:
        yield from _of_sentences(source, text, citations)
    yield from ((POINTLESS, fault) for _, fault in dangling(session, mine))
    is_published = exists().where(Revision.kind == Citation.subject_kind, Revision.id == Citation.subject_id, *CURRENT)
    lost = select(Citation.id, Citation.subject_kind, Citation.subject_id).where(mine, ~is_published).order_by(Citation.id)
    for id, kind, subject in session.execute(lost):
        yield POINTLESS, f"citations/{id}: {kind}/{subject} is not published"


def _of_sentences(source: Source, text: str, citations: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Compare citations with the sentences of a text."""
    if fingerprints.text_sha256(text) != source.text_sha256:
        yield MISMATCHED, "the text has another fingerprint than the source"
    yield from ((MISMATCHED, fault) for fault in fingerprints.check(text, citations))
    used = {(row["paragraph"], row["sentence"]) for row in citations}
    for sentence in fingerprints.located(text):
        if (sentence.paragraph, sentence.number) not in used:
            yield UNUSED, f"{sentence.place} {sentence.first_words}"


def _of_record(resource: Resource, content: Content, citations: Sequence[Any], source: str) -> Iterator[Finding]:
    """Compare a record with its citations; facts of a record that only other sources are cited for are left to their checks."""
    for row in (row for row in citations if row.source_id == source):
        if resolves(content, row.field) and is_nothing(follow(content, row.field)):
            yield POINTLESS, f"{row.field} is empty, the field of citations/{row.citation}"
    if not citations or any(row.source_id == source for row in citations):
        cited = {row.field for row in citations}
        yield from ((UNCITED, pointer) for pointer in uncited(resource, content, cited))
        yield from ((UNJUDGED, pointer) for pointer in unjudged(resource, content, cited))


def _names(session: Session) -> Iterator[str]:
    """Yield the names and titles of all records."""
    for resource in SUBJECTS:
        schema = resource.schema()
        for _, content in contents(session, resource):
            yield from names(schema, content)


def _subjects(session: Session) -> Iterator[tuple[Resource, str, Content, Sequence[Any]]]:
    """Yield every record that can have citations, with the facts that are published of it, and its citations."""
    of_subject = and_(Citation.subject_kind == Revision.kind, Citation.subject_id == Revision.id)
    columns = (Revision.document, Citation.id.label("citation"), Citation.field, Citation.source_id)
    for resource in SUBJECTS:
        statement = (
            select(Revision.id, *columns).outerjoin(Citation, of_subject).where(Revision.kind == resource.name, *CURRENT)
        )
        rows = session.execute(statement.order_by(Revision.id, Citation.id).execution_options(yield_per=BATCH))
        for id, group in groupby(rows, lambda row: row.id):
            citations = list(group)
            document = json.loads(citations[0].document)
            content = {name: document[name] for name in resource.facts if name in document}
            yield resource, id, content, [row for row in citations if row.citation is not None]
