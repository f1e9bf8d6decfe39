"""The verbs, written once: what a declared noun answers over HTTP."""

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any
from urllib.parse import quote_plus

from flask import Response, request
from flask.views import MethodView
from sqlalchemy.orm import Session

from api import __version__
from api.db.database import Database
from api.errors import ErrorList, ProblemError, error_item, nearest, shorten
from api.ledger import head, history
from api.ledger.index import words
from api.ledger.models import Op
from api.query import facets, language, lists, pages, parser
from api.query.related import related
from api.schema import strict_json
from api.schema.fields import instant, is_slug
from api.schema.formats import BY_MEDIA_TYPE, FORMATS, Format, chunks
from api.schema.formats import select as select_members
from api.schema.operators import escape
from api.schema.resource import Resource
from api.web.consistency import readable, served, unknown_record, version_of
from api.web.envelopes import list_of, record_of
from api.web.parameters import AS_OF, expression_of, id_of, parameter_name
from api.web.responses import (
    HEADERS,
    IF_NONE_MATCH,
    JSON,
    LINK,
    NOT_KEPT,
    SAFE,
    UNCHANGED,
    VARY,
    Blueprint,
    address,
    conditional,
    documents,
    header,
    held,
    link_header,
    negotiate,
    read_body,
    streaming,
    tagged,
)

CONTENT_DISPOSITION = header("Content-Disposition", "Names the file.", 'inline; filename="cities.json"')
LIST_HEADERS = HEADERS | LINK | CONTENT_DISPOSITION
# Parameters of pages, which a stream of all records has no place for.
PAGED = {"cursor", "count", "include", "facets", "highlights"}


def blueprint(resource: Resource) -> Blueprint:
    """Return the routes of a noun."""
    name, singular = resource.name, resource.singular
    blp = Blueprint(name, __name__, description=f"{resource.description} {resource.details}".strip())
    suffix = {
        "name": "format",
        "in": "path",
        "description": "The form that the list comes in, whatever `Accept` says.",
        "schema": {"type": "string", "enum": list(FORMATS)},
        "example": "csv",
    }
    asked = [parameter_name(resource, row) for row in (*language.parameters(resource), *language.filters(resource))]
    of_record = [parameter_name(resource, row) for row in language.RECORD_PARAMETERS if row in language.PARAMETERS]
    refusals = ("invalid-query", "invalid-cursor", "too-many-included", "unavailable")

    def answers(view: Any, headers: Mapping[str, Any] = LIST_HEADERS | VARY) -> Any:
        """Document what a list answers with."""
        unchanged = {name: row for name, row in headers.items() if name in HEADERS or name in VARY}
        for row in FORMATS.values():
            if row.write:
                text = {"schema": {"type": "string"}, "content_type": row.media_type, "success": True}
                view = blp.alt_response(200, **text, description=f"A page of {name}, or all.", headers=headers)(view)
        view = blp.alt_response(304, description=UNCHANGED, headers=unchanged, success=True)(view)
        return blp.response(200, list_of(resource), description=f"A page of {name}, or all.", headers=headers)(view)

    @blp.route(f"/{name}", endpoint="list")
    class Collection(MethodView):
        @answers
        @documents(blp, *refusals, "not-acceptable")
        @blp.doc(operationId=f"list_{name}", summary=f"List {name}", parameters=[*asked, IF_NONE_MATCH])
        def get(self) -> Response:
            return _varied(list_records(resource, BY_MEDIA_TYPE[negotiate(*BY_MEDIA_TYPE)]))

    @blp.route(f"/{name}.<string:format>", endpoint="export", parameters=[suffix, IF_NONE_MATCH])
    class Export(MethodView):
        @partial(answers, headers=LIST_HEADERS)
        @documents(blp, *refusals, "not-found")
        @blp.doc(operationId=f"export_{name}", summary=f"List {name} in a form", parameters=asked)
        def get(self, format: str) -> Response:
            if format not in FORMATS:
                raise _unknown_format(resource, format)
            return list_records(resource, FORMATS[format])

    @blp.route(f"/{name}/search", endpoint="search")
    class Search(MethodView):
        @blp.response(200, list_of(resource), description=f"A page of {name}.", headers=NOT_KEPT | LINK | CONTENT_DISPOSITION)
        @documents(
            blp, *refusals, "not-acceptable", "invalid-json", "invalid-body", "content-too-large", "unsupported-media-type"
        )
        @blp.doc(
            operationId=f"search_{name}",
            summary=f"List {name} by an expression",
            parameters=asked,
            requestBody={"required": True, "content": {JSON: expression_of(resource)}},
        )
        def post(self) -> Response:
            """Take an expression as `filter` does, when it is too long for an address; `links.next` takes the same body."""
            negotiate(JSON)
            return list_records(resource, FORMATS["json"], read_body(JSON))

    @blp.route(f"/{name}/<record:id>", endpoint="record", parameters=[id_of(resource)])
    class Member(MethodView):
        @blp.response(200, record_of(resource), description=f"The {singular}.", headers=HEADERS)
        @blp.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
        @documents(
            *(blp, "invalid-query", "too-many-included", "record-not-found", "record-deleted", "history-trimmed"),
            *("method-not-allowed", "not-acceptable", "unavailable"),
        )
        @blp.doc(
            operationId=f"get_{singular}",
            summary=f"Read one {singular}",
            parameters=[*of_record, AS_OF, IF_NONE_MATCH],
        )
        def get(self, id: str) -> Response:
            return read_record(resource, id)

    return blp


def list_records(resource: Resource, format: Format, *expression: Any) -> Response:
    """Answer with a page of records or, in a streamed format, with all of them."""
    asked = parser.parse(resource, request.args.lists(), *expression)
    if format.write:
        return served(lambda database: _stream(database, asked, format), asked.min_version)
    return served(lambda database: _page(database, asked, keepable=not expression), asked.min_version)


def _page(database: Database, asked: language.Query, *, keepable: bool) -> Response:
    """Answer with a page of a list."""
    resource = asked.resource
    with database.reading() as session:
        version = head.state(session).version
        etag = f"{__version__}-{version}" if keepable else None
        if etag and (unchanged := conditional(etag)):
            return unchanged
        listed = lists.Listing(session, asked)
        number, relation = lists.total(listed)
        page = pages.page(listed, number)
        counted = {found.name: _facet(listed, found) for found in asked.facets}
        included = related(session, resource, page.ids, asked.include, page.beside)
    links = {"self": address(request.args), "next": page.cursor and address(request.args, cursor=page.cursor)}
    limit = asked.limit or language.DEFAULT_LIMIT
    envelope: dict[str, Any] = {
        "facets": counted,
        "page": {"limit": limit, "cursor": page.cursor, "total": number, "total_relation": relation},
        "links": links,
        "meta": {"version": version},
    }
    if asked.highlights:
        envelope["highlights"] = _highlights(asked, page)
    data = f"[{','.join(_shown(document, asked.fields) for document in page.documents)}]"
    response = Response(_body(data, included, envelope), content_type=JSON)
    response.headers["Link"] = link_header(links)
    response.headers["Content-Disposition"] = f'inline; filename="{resource.name}.json"'
    if etag is None:
        response.headers["Cache-Control"] = "no-store"
        return response
    return tagged(response, etag)


def _varied(response: Response) -> Response:
    response.headers["Vary"] = "Accept"
    return response


def _stream(database: Database, asked: language.Query, format: Format) -> Response:
    """Answer with a whole list, as it is written, from one state of the database."""
    refused = ErrorList()
    for name in sorted(set(request.args) & PAGED):
        detail = f"`{name}` is for pages; `.{format.name}` is the whole list."
        refused.add(name, "not-in-this-format", detail, allowed=["json"])
    refused.raise_any()
    with ExitStack() as stack:
        stack.enter_context(streaming())
        session = stack.enter_context(database.reading())
        etag = f"{__version__}-{head.state(session).version}-{format.name}"
        if unchanged := conditional(etag):
            return unchanged
        lines = stack.enter_context(closing(lists.stream(session, asked)))
        # Asked for now, so that what goes wrong at once is still a problem and not half an answer.
        first = list(itertools.islice(lines, 1))
        open_while_sent = stack.pop_all()
    assert format.write is not None
    members = asked.fields or asked.resource.members
    body = chunks(format.write(itertools.chain(first, lines), members, asked.fields is not None))
    response = Response(held(open_while_sent, body), content_type=format.content_type)
    # A body that nobody has begun to read is not closed as a generator.
    response.call_on_close(open_while_sent.close)
    response.headers["Link"] = link_header({"self": address(request.args)})
    response.headers["Content-Disposition"] = f'attachment; filename="{asked.resource.name}.{format.name}"'
    return tagged(response, etag)


def _shown(document: str, members: Sequence[str] | None) -> str:
    return document if members is None else select_members(document, members)


def _highlights(asked: language.Query, page: pages.Page) -> dict[str, Any]:
    if asked.search is None:
        return {}
    rows = zip(page.ids, page.documents, strict=True)
    return {id: words.highlights(asked.search, asked.resource, json.loads(document)) for id, document in rows}


def _facet(listed: lists.Listing, filter: language.Filter) -> dict[str, Any]:
    """Return a facet as it is answered: each value with the address of this list with only its records."""
    values, more = facets.facet(listed, filter)
    link = _applied(filter)
    return {
        "values": [{"value": row.value, "label": row.label, "count": row.count, "link": link(row.value)} for row in values],
        "more": more,
    }


def _applied(filter: language.Filter) -> Callable[[Any], str]:
    """Return what makes a value of a facet into that address; they differ in their last parameter only, or in what it says."""
    given = strict_json.load(request.args.get("filter", "{}"))
    prefixes = {re.split(r"__|\.", name)[0] for name in request.args}
    # Another related record than the one that is filtered by may have the value.
    joined = bool(filter.path) and language.is_many(filter.path[0]) and filter.path[0].prefix in prefixes
    start = address(request.args, without="cursor", **{"filter" if joined else filter.name: ""})

    def link(value: Any) -> str:
        if value is None:
            return address(request.args, without="cursor", **{f"{filter.name}__isnull": "true"})
        if joined:
            return start + quote_plus(json.dumps({**given, "and": [*given.get("and", []), {filter.name: value}]}), safe=SAFE)
        return start + quote_plus(escape(value) if isinstance(value, str) else json.dumps(value), safe=SAFE)

    return link


def read_record(resource: Resource, id: str) -> Response:
    """Answer with one record. Raises 404 and 410."""
    negotiate(JSON)
    asked = parser.parse_record(resource, request.args.lists())
    read = _read_present if asked.as_of is None else _read_past
    return served(lambda database: read(database, resource, id, asked), asked.min_version)


def _read_present(database: Database, resource: Resource, id: str, asked: language.Query) -> Response:
    """Answer with a record as it is."""
    with database.reading() as session:
        revision = _there(session, resource, id, history.newest(session, resource.name, id) if is_slug(id) else None)
        # What is included can change by itself.
        version = head.state(session).version if asked.include else revision.version
        etag = f"{__version__}-{version}"
        if unchanged := conditional(etag):
            return unchanged
        included = related(session, resource, [id], asked.include, {})
    body = _body(_shown(revision.document or "", asked.fields), included, {"meta": {"version": version}})
    return tagged(Response(body, content_type=JSON), etag)


def _read_past(database: Database, resource: Resource, id: str, asked: language.Query) -> Response:
    """Answer with a record as it was."""
    with database.reading() as session:
        version = version_of(session, asked.as_of or "")
        found = readable(lambda: history.revision_at(session, resource.name, id, version), "as_of")
        if found is None and history.revisions_of(session, resource.name, id, None, 1):
            detail = f"There was no {resource.singular} `{id}` yet at version {version}."
            raise ProblemError("record-not-found", detail, error_item("as_of", "unknown-id", detail))
        revision = _there(session, resource, id, found)
        etag = f"{__version__}-{revision.version}"
        if unchanged := conditional(etag):
            return unchanged
    body = _body(_shown(revision.document or "", asked.fields), {}, {"meta": {"version": revision.version}})
    return tagged(Response(body, content_type=JSON), etag)


def _there(session: Session, resource: Resource, id: str, revision: history.RevisionRow | None) -> history.RevisionRow:
    """Return a revision that has a document. Raises 404 and 410."""
    if revision is None:
        raise unknown_record(session, resource, id)
    if revision.op is Op.DELETE:
        raise ProblemError(
            "record-deleted",
            f"The {resource.singular} `{id}` was deleted in version {revision.version}.",
            deleted_at=instant(revision.changed_at),
            version=revision.version,
        )
    return revision


def _body(data: str, included: Mapping[str, Mapping[str, str]], rest: Mapping[str, Any]) -> str:
    """Join stored documents with the rest of an envelope."""
    nouns = (
        f'"{noun}":{{{",".join(f"{json.dumps(id)}:{document}" for id, document in documents.items())}}}'
        for noun, documents in included.items()
    )
    return f'{{"data":{data},"included":{{{",".join(nouns)}}},{json.dumps(rest, separators=(",", ":"))[1:]}'


def _unknown_format(resource: Resource, format: str) -> ProblemError:
    path = f"/{resource.name}.{shorten(format)}"
    detail = f"There is nothing at `{path}`."
    paths = [f"/{resource.name}.{name}" for name in FORMATS]
    return ProblemError(
        "not-found", detail, error_item("path", "unknown-path", detail, allowed=paths, suggestion=nearest(path, paths))
    )
