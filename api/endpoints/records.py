"""Reading the records of a noun: the list as pages or as a file, a search by an expression, and one record."""

import itertools
from collections.abc import Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Any, ClassVar

from flask import Response, current_app, request
from sqlalchemy.orm import Session

from api.errors import ErrorList, ProblemError, error_item, nearest, shorten
from api.html import lists as list_pages
from api.ledger import head, history, redirects
from api.ledger.models import Op
from api.query import flat, language, lists, parameters, parser
from api.query.language import Query
from api.query.related import related
from api.schema.fields import instant, is_slug
from api.schema.formats import BY_MEDIA_TYPE, FORMATS, Format, chunks, table
from api.schema.resource import Resource
from api.web import envelopes, frames, tags
from api.web.blueprints import Blueprint, Decorators, documents, noun_view
from api.web.bodies import BODY_PROBLEMS
from api.web.commits import LOCATION
from api.web.consistency import ReadView, as_of_version, reading, unknown_record, version_problems
from api.web.headers import CONDITIONS, CONTENT_RANGE, HEADERS, LINK, NOT_KEPT, RANGE, UNCHANGED, VARY, header
from api.web.negotiation import HTML
from api.web.pages.lists import list_page
from api.web.pages.records import record_page
from api.web.parameters import filter_body, id_parameter, parameter_name, query_parameters
from api.web.places import streaming
from api.web.responses import (
    JSON,
    address,
    conditional,
    link_header,
    negotiate,
    no_store,
    ranged,
    read_body,
    redirect,
    tagged,
    whole_or_streamed,
)
from api.web.schemas import list_of, record_of

CONTENT_DISPOSITION = header("Content-Disposition", "Name of the file.", 'inline; filename="cities.json"')
LIST_HEADERS = HEADERS | LINK | CONTENT_DISPOSITION
LIST_PROBLEMS = ("invalid-query", "invalid-cursor", "too-many-included", "unavailable")
RECORD_PROBLEMS = (
    *("invalid-query", "too-many-included", "record-not-found", "record-deleted", "history-trimmed"),
    *("method-not-allowed", "not-acceptable", "precondition-failed", "unavailable"),
)
STREAMED = [row for row in FORMATS.values() if row.write]


@cache
def formats_of(resource: Resource) -> Mapping[str, Format]:
    """Return the formats of a noun's list by their suffixes, those of the tables of its parts, too."""
    tables = [table(name, columns) for name, columns in resource.tables.items()]
    return FORMATS | {row.name: row for row in tables}


class RecordList(ReadView):
    """The list of a noun."""

    resource: ClassVar[Resource]

    def get(self) -> Response:
        """Filter, sort and page through the records as JSON.

        A request whose `Accept` prefers `text/csv` or `application/x-ndjson` gets the answer of the path with that suffix.
        """
        response = read_list(self.resource, BY_MEDIA_TYPE[negotiate(*BY_MEDIA_TYPE)])
        response.headers["Vary"] = "Accept"
        return response


class RecordExport(ReadView):
    """The list of a noun in a format that the path names."""

    resource: ClassVar[Resource]

    def get(self, format: str) -> Response:
        """Read all records of the list at once as CSV or NDJSON, with the filters and the order of the list, and no pages.

        `/initiatives.metrics.csv` has a row for each metric; its first column is the id of the initiative. It takes
        no `fields`.
        """
        formats = formats_of(self.resource)
        if format not in formats:
            raise _unknown_format(self.resource, format)
        return read_list(self.resource, formats[format])


class RecordSearch(ReadView):
    """The list of a noun, filtered by an expression in the body."""

    resource: ClassVar[Resource]

    def post(self) -> Response:
        """Filter the list by an expression that is too long for `filter` in a URL.

        The filters of the list are parameters here, too. Send the same body to each link of the answer. Facets choose their
        values by parameters alone, and the body narrows them like any other condition.
        """
        negotiate(JSON)
        return read_list(self.resource, FORMATS["json"], read_body(JSON))


class OneRecord(ReadView):
    """One record."""

    resource: ClassVar[Resource]

    def get(self, id: str) -> Response:
        """Read a record as it is now or, with `as_of`, as it was at a version or a time."""
        media_type = negotiate(JSON, HTML)
        response = read_record(parser.parse_record(self.resource, request.args.lists()), id, media_type)
        response.headers["Vary"] = "Accept"
        return response


# --- routes


def blueprint_of(resource: Resource) -> Blueprint:
    """Return a noun's blueprint, with the routes that read its records."""
    name = resource.name
    blp = Blueprint(name, __name__, description=f"{resource.description} {resource.details}".strip())
    record_list = noun_view(RecordList, resource, get=_list_docs(blp, resource))
    export = noun_view(RecordExport, resource, get=_export_docs(blp, resource))
    search = noun_view(RecordSearch, resource, post=_search_docs(blp, resource))
    record = noun_view(OneRecord, resource, get=_record_docs(blp, resource))
    blp.add_url_rule(f"/{name}", "list", record_list)
    blp.add_url_rule(f"/{name}.<string:format>", "export", export, parameters=[_format(resource), RANGE, *CONDITIONS])
    blp.add_url_rule(f"/{name}/search", "search", search)
    blp.add_url_rule(f"/{name}/<record:id>", "record", record, parameters=[id_parameter(resource)])
    return blp


def _format(resource: Resource) -> dict[str, Any]:
    return {
        "name": "format",
        "in": "path",
        "description": "Format of the list, whatever `Accept` says. For JSON, leave out the suffix.",
        "schema": {"type": "string", "enum": [row.name for row in formats_of(resource).values() if row.write]},
        "example": "csv",
    }


def _list_docs(blp: Blueprint, resource: Resource) -> Decorators:
    name, rows = resource.name, [*_list_parameters(resource), *CONDITIONS]
    # The long list of parameters comes last: each decorator copies what those before it documented.
    return (
        documents(blp, *LIST_PROBLEMS, "not-acceptable", "precondition-failed"),
        blp.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True),
        blp.response(200, list_of(resource), description=f"A page of {name}.", headers=LIST_HEADERS | VARY),
        blp.doc(operationId=f"list_{name}", summary=f"List {name}", parameters=rows),
    )


def _export_docs(blp: Blueprint, resource: Resource) -> Decorators:
    name, rows = resource.name, _list_parameters(resource, parameters.OF_PAGES)
    text = {"schema": {"type": "string"}, "description": "The whole list.", "headers": LIST_HEADERS, "success": True}
    part = {**text, "description": "The part that `Range` asks for.", "headers": LIST_HEADERS | CONTENT_RANGE}
    return (
        documents(blp, *LIST_PROBLEMS, "not-found", "precondition-failed", "range-not-satisfiable"),
        blp.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True),
        *(blp.alt_response(200, content_type=row.media_type, **text) for row in STREAMED),
        *(blp.alt_response(206, content_type=row.media_type, **part) for row in STREAMED),
        blp.doc(operationId=f"export_{name}", summary=f"Export {name}", parameters=rows),
    )


def _search_docs(blp: Blueprint, resource: Resource) -> Decorators:
    name, headers = resource.name, NOT_KEPT | LINK | CONTENT_DISPOSITION
    body = {"required": True, "content": {JSON: filter_body(resource)}}
    return (
        blp.doc(operationId=f"search_{name}", summary=f"List {name} by an expression", requestBody=body),
        blp.doc(parameters=_list_parameters(resource, language.filters(resource))),
        documents(blp, *LIST_PROBLEMS, "not-acceptable", *BODY_PROBLEMS),
        blp.response(200, list_of(resource), description=f"A page of {name}.", headers=headers),
    )


def _record_docs(blp: Blueprint, resource: Resource) -> Decorators:
    singular = resource.singular
    of_noun = [
        parameter_name(resource, name) for name in parameters.record_parameters(resource) if name in parameters.PARAMETERS
    ]
    rows = [*of_noun, *query_parameters({"as_of": parameters.AS_OF}), *CONDITIONS]
    return (
        blp.doc(operationId=f"get_{singular}", summary=f"Read one {singular}", parameters=rows),
        documents(blp, *RECORD_PROBLEMS),
        blp.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True),
        blp.alt_response(
            308, description="It was merged into another record.", headers=HEADERS | VARY | LOCATION, success=True
        ),
        blp.response(200, record_of(resource), description=f"The {singular}.", headers=HEADERS | VARY),
    )


def _list_parameters(resource: Resource, without: Collection[str] = ()) -> list[str]:
    names = (*parameters.parameters(resource), *language.filters(resource))
    return [parameter_name(resource, name) for name in names if name not in without]


# --- lists


def read_list(resource: Resource, format: Format, *expressions: Any) -> Response:
    """Answer with a page of a list or, in a streamed format, with all of it. Each expression filters it further."""
    is_page = format is FORMATS["html"]
    if is_page and (tidied := frames.tidy()):
        return tidied
    # Before their values are read: nobody should correct what the format does not take.
    if format.write:
        _refuse_page_parameters(format)
    query = parser.parse(resource, request.args.lists(), *expressions)
    if format.write:
        return _stream(query, format)
    if is_page:
        query = _for_people(query)
    with reading(query.min_version) as session:
        state = head.state(session)
        etag = tags.of_dataset(state, *frames.tag_parts(format.media_type))
        # Caches know an answer by its URL, without the expressions in the body.
        if not expressions and (unchanged := frames.unchanged(etag, format.media_type)):
            return unchanged
        result = lists.read(session, query, current_app.extensions["planner"])
        if is_page:
            return tagged(list_page(session, query, result, envelopes.facets(query, result), state.version), etag)
    response = envelopes.listing(query, result, state.version)
    return no_store(response) if expressions else tagged(response, etag)


def _for_people(query: Query) -> Query:
    """Return the query of a page, which counts the facets that its form offers unless it asks for others."""
    facets = query.facets or tuple(language.facetable(query.resource)[name] for name in list_pages.facets_of(query.resource))
    return replace(query, facets=facets[: language.MAX_FACETS], include=(), highlights=False)


def _stream(query: Query, format: Format) -> Response:
    """Answer with a whole list while it is read; all of it is read from one state of the database."""
    assert format.write is not None
    members = query.fields or query.resource.members
    with ExitStack() as stack:
        stack.enter_context(streaming())
        session = stack.enter_context(reading(query.min_version))
        etag = tags.of_dataset(head.state(session), format.name)
        if unchanged := conditional(etag):
            return unchanged
        lines = stack.enter_context(closing(lists.stream(session, query, current_app.extensions["planner"])))
        # An error of the query shows with its first row: read it now, while the answer can still become a problem.
        first = list(itertools.islice(lines, 1))
        body = format.write(itertools.chain(first, lines), members, query.fields is not None)
        response = whole_or_streamed(stack, chunks(body), format.content_type)
    response.headers["Link"] = link_header({"self": address(request.args)})
    response.headers["Content-Disposition"] = f'attachment; filename="{query.resource.name}.{format.name}"'
    return ranged(tagged(response, etag))


def _refuse_page_parameters(format: Format) -> None:
    errors = ErrorList()
    for name in sorted(set(request.args) & parameters.OF_PAGES):
        detail = f"`{name}` is for pages; `.{format.name}` is the whole list."
        errors.add(name, "not-in-this-format", detail, allowed=["json"])
    if "fields" in request.args and format.name not in FORMATS:
        detail = f"`fields` is for records; `.{format.name}` has all columns."
        errors.add("fields", "not-in-this-format", detail, allowed=[*FORMATS])
    errors.raise_any()


def _unknown_format(resource: Resource, format: str) -> ProblemError:
    path = f"/{resource.name}.{shorten(format)}"
    detail = f"There is nothing at `{path}`."
    paths = [f"/{resource.name}.{name}" for name in formats_of(resource)]
    item = error_item("path", "unknown-path", detail, allowed=paths, suggestion=nearest(path, paths))
    return ProblemError("not-found", detail, item)


# --- one record


def read_record(query: Query, id: str, media_type: str) -> Response:
    """Answer with one record, now or in the past, as JSON or as its page. Raises 404 and 410."""
    is_page = media_type == HTML
    with reading(query.min_version) as session:
        revision = _revision(session, query, id)
        if revision.merged_into:
            return _moved(session, query, revision.merged_into)
        # Related records change without the record.
        state = head.state(session) if query.include or flat.is_flat(query) or is_page else None
        etag = tags.of_record(revision, state, *frames.tag_parts(media_type))
        if unchanged := frames.unchanged(etag, media_type):
            return unchanged
        (document,) = flat.extended(session, query, [id], [revision.document or ""])
        if is_page and state:
            return tagged(record_page(session, query, document, current_app.extensions["planner"], state.version), etag)
        included = related(session, query.resource, [id], query.include, {})
    version = state.version if state else revision.version
    return tagged(envelopes.record(query, document, included, version), etag)


def _moved(session: Session, query: Query, into: str) -> Response:
    """Return the redirect to the record into which another was merged, with the same parameters and in the same form."""
    version = None if query.as_of is None else as_of_version(session, query.as_of)
    end = redirects.target(session, query.resource.name, into, version)
    location = address(request.args, path=f"/{query.resource.name}/{end}")
    return tagged(redirect(location, HTTPStatus.PERMANENT_REDIRECT), tags.of_dataset(head.state(session)))


def _revision(session: Session, query: Query, id: str) -> history.RevisionRow:
    """Return the revision that the query reads: it has a document, or leads to another record. Raises 404 and 410."""
    resource = query.resource
    if query.as_of is not None:
        revision = _past_revision(session, resource, id, query.as_of)
    else:
        revision = history.newest(session, resource.name, id) if is_slug(id) else None
    if revision is None:
        raise unknown_record(session, resource, id)
    if revision.op is Op.DELETE and not revision.merged_into:
        detail = f"The {resource.singular} `{id}` was deleted in version {revision.version}."
        deleted_at = instant(revision.changed_at)
        raise ProblemError("record-deleted", detail, deleted_at=deleted_at, version=revision.version)
    return revision


def _past_revision(session: Session, resource: Resource, id: str, as_of: str) -> history.RevisionRow | None:
    """Return what a record was; None if it never existed. Raises a 404 if it did not exist yet, and a 410."""
    version = as_of_version(session, as_of)
    with version_problems(session, "as_of"):
        revision = history.revision_at(session, resource.name, id, version)
    if revision is None and history.revisions_of(session, resource.name, id, None, 1):
        detail = f"There was no {resource.singular} `{id}` yet at version {version}."
        raise ProblemError("record-not-found", detail, error_item("as_of", "unknown-id", detail))
    return revision
