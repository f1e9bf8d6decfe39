"""The verbs, written once: what a declared noun answers over HTTP."""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import quote_plus, urlencode

from flask import Request, Response, current_app, request
from flask.views import MethodView
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import RAISE, Schema, ValidationError
from sqlalchemy.orm import Session
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MIMEAccept, MultiDict
from werkzeug.http import parse_accept_header
from werkzeug.routing import BaseConverter

from api import __version__, dataset, facets, hits, pages, parsing, past, query, search, statements
from api.answers import list_of, record_of
from api.cache import CACHE_CONTROL
from api.codings import matching
from api.db import Database
from api.documents import RESERVED, SLUG, instant, is_slug
from api.formats import BY_MEDIA_TYPE, FORMATS, Format, chunks
from api.formats import select as select_members
from api.ledger import Op
from api.operators import MAX_VALUES, escape
from api.problem_types import PROBLEMS
from api.problems import (
    ProblemError,
    Refusals,
    base_url,
    mistake,
    nearest,
    shorten,
)
from api.related import related
from api.resource import Resource
from api.resources import RESOURCES
from api.versions import readable, served, version_of

JSON = "application/json"
UNCHANGED = "You have the latest version already."
ALWAYS = ("internal-error", "uri-too-long")


def header(name: str, description: str, example: str) -> dict[str, Any]:
    """Return the description of one header of an answer."""
    return {name: {"description": description, "schema": {"type": "string"}, "example": example}}


VARIES = "The answer depends on these headers of the request."
REQUEST_ID = header("X-Request-Id", "Names this request in our log.", "0b6a4ac1b2c84a0e")
ENCODED = header("Content-Encoding", "How the body is compressed, if it is: as `Accept-Encoding` likes it.", "zstd")
NOT_KEPT = header("Cache-Control", "It may not be kept.", "no-store") | REQUEST_ID
HEADERS = (
    header("ETag", "Version of this answer, for `If-None-Match`.", '"0.1.0-618"')
    | header("Cache-Control", "How long it may be kept.", CACHE_CONTROL)
    | header("Vary", VARIES, "Accept-Encoding")
    | ENCODED
    | header("Age", "Seconds since this answer was computed; it is checked to be the latest when it is sent.", "0")
    | header("Server-Timing", "Whether the answer was there already, and what computing it took.", "cache;desc=hit")
    | REQUEST_ID
)
LINK = header(
    "Link",
    "The same links as in `links` (RFC 8288); of more than 4,000 characters, only `next`.",
    '<https://api.example.org/cities?limit=2>; rel="self"',
)
CONTENT_DISPOSITION = header("Content-Disposition", "Names the file.", 'inline; filename="cities.json"')
VARY = header("Vary", VARIES, "Accept, Accept-Encoding")
LIST_HEADERS = HEADERS | LINK | CONTENT_DISPOSITION
# A header of more bytes would not pass every proxy; `links` in the body always has both.
MAX_LINK = 4_000
# What need not be escaped in the parameters of an address, and is read more easily as it is.
SAFE = ",:/"
# Parameters of pages, which a stream of all records has no place for.
PAGED = {"cursor", "count", "include", "facets", "highlights"}
ALLOW = header("Allow", "The methods that work here.", "OPTIONS, POST")
CHALLENGE = header("WWW-Authenticate", "How to authenticate (RFC 6750).", 'Bearer realm="digital-cities"')
RATE_LIMIT = header(
    "RateLimit-Policy", "The limit that counted this request: how many, in how many seconds.", '"writes";q=600;w=60'
) | header("RateLimit", "How many are left, and in how many seconds there are more.", '"writes";r=599;t=60')
REPLAYED = header("Idempotent-Replayed", "The answer is that of an earlier request under this key.", "true")
# What only the answers to writes have, and not all of those.
COUNTED = RATE_LIMIT | REPLAYED
RETRY_AFTER = header("Retry-After", "Seconds to wait before trying again.", "5")
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "`ETag` of the copy that you have: the answer is 304 when it is still the latest.",
    "schema": {"type": "string"},
    # No version of anything is 0: the interactive page sends this as it is, and gets the whole answer.
    "example": '"0.1.0-0"',
}


class RecordConverter(BaseConverter):
    """An id in a path."""

    regex = f"(?!{RESERVED}$)[^/]+"


class NoArguments(Schema):
    """The parameters of a path that has none."""

    class Meta:
        """An unknown parameter is an error, never ignored."""

        unknown = RAISE


class StrictParser(FlaskParser):
    """Refuses what webargs lets pass: unknown query parameters."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": None}  # noqa: RUF012 - webargs' interface
    DEFAULT_VALIDATION_STATUS = 400

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:  # noqa: ARG002 - webargs' interface
        """Answer with everything that is wrong at once."""
        wrong = Refusals()
        messages: dict[str, dict[str, list[str]]] = error.normalized_messages()  # type: ignore[no-untyped-call]
        for name in messages["query"]:
            wrong.unknown(name, schema.load_fields)
        wrong.raise_any()
        raise error


class Blueprint(SmorestBlueprint):
    """A blueprint that is strict about its arguments."""

    ARGUMENTS_PARSER = StrictParser()


def database() -> Database:
    """Return the application's database."""
    found: Database = current_app.extensions["database"]
    return found


def documents(blp: Blueprint, *names: str) -> Any:
    """Return a decorator that documents the problems a view can answer with, besides those of every view."""

    def decorate(view: Any) -> Any:
        for status in sorted({PROBLEMS[name].status for name in (*names, *ALWAYS)}):
            view = blp.alt_response(status, response_name(status))(view)
        # flask-smorest takes a docstring's first line for the summary, which we give in fewer words.
        return blp.doc(description=view.__doc__)(view) if view.__doc__ else view

    return decorate


def response_name(status: int) -> str:
    """Return the name under which the problems of one status are documented once."""
    return HTTPStatus(status).name


def negotiate(*offered: str) -> str:
    """Return the offered media type that `Accept` likes best. Raises a 406 when it likes none."""
    # What we send is UTF-8 anyhow, so a client that asks for just that is not refused for it.
    accepted = parse_accept_header(
        re.sub(r";\s*(charset|header)=[^;,]*", "", request.headers.get("Accept") or "*/*"), MIMEAccept
    )
    best = accepted.best_match(offered)
    if best is None:
        accept = shorten(request.headers["Accept"])
        item = mistake(
            "Accept", "not-acceptable", f"Use {' or '.join(offered)}, or leave the header out.", allowed=list(offered)
        )
        raise ProblemError("not-acceptable", f"None of `{accept}` can be served here.", item)
    return best


def conditional(etag: str) -> Response | None:
    """Return the 304 for a caller who has this version already, else None."""
    # What is unchanged is what the caller has, compressed or not.
    own = matching(request.if_none_match, etag)
    return tagged(Response(status=304), own) if own else None


def tagged(response: Response, etag: str) -> Response:
    """Say which version an answer is, and how it may be kept."""
    response.set_etag(etag)
    response.headers["Cache-Control"] = CACHE_CONTROL
    if response.status_code == 304:  # noqa: PLR2004 - nothing is described where nothing is sent
        response.headers.pop("Content-Type", None)
    return response


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
    asked = [parameter_name(resource, row) for row in (*query.parameters(resource), *query.filters(resource))]
    of_record = [parameter_name(resource, row) for row in query.RECORD_PARAMETERS if row in query.PARAMETERS]
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


def id_of(resource: Resource) -> dict[str, Any]:
    """Return the parameter of a path that holds the id of a record."""
    return {
        "name": "id",
        "in": "path",
        "description": f"Id of the {resource.singular}.",
        "schema": {"type": "string", "pattern": SLUG, "not": {"const": RESERVED}},
        "example": resource.fields["id"].example,
    }


def parameter_name(resource: Resource, name: str) -> str:
    """Return the name under which the OpenAPI document holds a parameter of a noun."""
    return f"{resource.name}.{name}"


def parameter_components(resource: Resource) -> dict[str, dict[str, Any]]:
    """Return the parameters of a noun as OpenAPI has them, by that name."""
    found = {name: parameter_component(row, resource) for name, row in query.parameters(resource).items()}
    expression = expression_of(resource)
    # A text with JSON in it, rather than a parameter with `content`: generators of clients leave that out.
    found["filter"] = {
        "description": query.PARAMETERS["filter"].description,
        "schema": {"type": "string", "contentMediaType": JSON, "contentSchema": expression["schema"]},
        "example": json.dumps(expression["example"]),
    }
    for name, filter in query.filters(resource).items():
        example = filter.example
        found[name] = {
            "description": f"{filter.description}: {filter.operator.description}.",
            **_schema(filter.schema, many=filter.operator.many, most=MAX_VALUES),
            "example": [example] if filter.operator.many else example,
        }
    return {parameter_name(resource, name): {"name": name, **row} for name, row in found.items()}


def parameter_component(row: query.Parameter, resource: Resource = RESOURCES[0]) -> dict[str, Any]:
    """Return what OpenAPI says of a parameter, but for its name."""
    one = {**row.schema, **({"enum": list(row.choices(resource))} if row.choices else {})}
    found = {"description": row.description, **_schema(one, many=row.many, most=row.most)}
    if row.example:
        text = row.example(resource)
        found["example"] = text.split(",") if row.many else text if one["type"] == "string" else json.loads(text)
    return found


def _schema(one: Mapping[str, Any], *, many: bool, most: int) -> dict[str, Any]:
    """Return what OpenAPI says of a parameter with one value, or with a list of them by comma."""
    if not many:
        return {"schema": dict(one)}
    return {"schema": {"type": "array", "items": dict(one), "minItems": 1, "maxItems": most}, "style": "form", "explode": False}


AS_OF = {"name": "as_of", "in": "query", **parameter_component(query.AS_OF)}


def expression_of(resource: Resource) -> dict[str, Any]:
    """Return the schema and an example of what `filter` takes."""
    names = [*parsing.CONNECTIVES, *query.filters(resource)]
    schema = {"type": "object", "minProperties": 1, "propertyNames": {"enum": names}}
    ids = resource.fields["id"].example
    return {"schema": schema, "example": {"or": [{"id": [ids]}, {"not": {"version__gt": 0}}]}}


def read_body(*media_types: str, exact: bool = False) -> Any:
    """Return the JSON of the request's body; of NDJSON, a list of its lines. Raises 400, 413 and 415."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype not in media_types or charset != "utf-8" or request.content_encoding:
        detail = f"The body is `{'` or `'.join(media_types)}`, in UTF-8 and not compressed."
        item = mistake("Content-Type", "unsupported-media-type", detail, allowed=list(media_types))
        raise ProblemError("unsupported-media-type", detail, item)
    body, lines = request.get_data(), request.mimetype == FORMATS["ndjson"].media_type
    found = []
    for number, line in enumerate(body.split(b"\n") if lines else [body]):
        try:
            if line.strip() or not lines:
                found.append(parsing.load(line, exact=exact))
        except ValueError as error:
            detail = f"{f'Line {number + 1}' if lines else 'The body'} is no JSON: {error}."
            pointer = f"/{number}" if lines else ""
            raise ProblemError("invalid-json", detail, mistake("", "invalid-json", detail, pointer=pointer)) from None
    return found if lines else found[0]


def list_records(resource: Resource, format: Format, *expression: Any) -> Response:
    """Answer with a page of records or, in a streamed format, with all of them."""
    asked = parsing.parse(resource, request.args.lists(), *expression)
    if format.write:
        return served(lambda database: _stream(database, asked, format), asked.min_version)
    return served(lambda database: _page(database, asked, keepable=not expression), asked.min_version)


def _page(database: Database, asked: query.Query, *, keepable: bool) -> Response:
    """Answer with a page of a list."""
    resource = asked.resource
    with database.reading() as session:
        version = dataset.dataset_version(session)
        etag = f"{__version__}-{version}" if keepable else None
        if etag and (unchanged := conditional(etag)):
            return unchanged
        listed = statements.Listing(session, asked)
        number, relation = statements.total(listed)
        page = pages.page(listed, number)
        counted = {found.name: _facet(listed, found) for found in asked.facets}
        included = related(session, resource, page.ids, asked.include, page.beside)
    links = {"self": address(request.args), "next": page.cursor and address(request.args, cursor=page.cursor)}
    limit = asked.limit or query.DEFAULT_LIMIT
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


def _stream(database: Database, asked: query.Query, format: Format) -> Response:
    """Answer with a whole list, as it is written, from one state of the database."""
    refused = Refusals()
    for name in sorted(set(request.args) & PAGED):
        detail = f"`{name}` is for pages; `.{format.name}` is the whole list."
        refused.refuse(name, "not-in-this-format", detail, allowed=["json"])
    refused.raise_any()
    with ExitStack() as stack:
        stack.enter_context(streaming())
        session = stack.enter_context(database.reading())
        etag = f"{__version__}-{dataset.dataset_version(session)}-{format.name}"
        if unchanged := conditional(etag):
            return unchanged
        lines = stack.enter_context(closing(statements.stream(session, asked)))
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


def held(resources: ExitStack, body: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a body, and let go of what it is read from with its last piece."""
    with resources:
        yield from body


@contextmanager
def streaming() -> Iterator[None]:
    """Hold one of the places for streams: slow readers may not take every thread. Raises a 503 when there is none."""
    places = current_app.extensions["streams"]
    if not places.acquire(blocking=False):
        raise ProblemError("unavailable", "As many lists are being streamed as can be at once.")
    try:
        yield
    finally:
        places.release()


def _shown(document: str, members: Sequence[str] | None) -> str:
    return document if members is None else select_members(document, members)


def _highlights(asked: query.Query, page: pages.Page) -> dict[str, Any]:
    if asked.search is None:
        return {}
    rows = zip(page.ids, page.documents, strict=True)
    return {id: search.highlights(asked.search, asked.resource, json.loads(document)) for id, document in rows}


def _facet(listed: statements.Listing, filter: query.Filter) -> dict[str, Any]:
    """Return a facet as it is answered: each value with the address of this list with only its records."""
    values, more = facets.facet(listed, filter)
    link = _applied(filter)
    return {
        "values": [{"value": row.value, "label": row.label, "count": row.count, "link": link(row.value)} for row in values],
        "more": more,
    }


def _applied(filter: query.Filter) -> Callable[[Any], str]:
    """Return what makes a value of a facet into that address; they differ in their last parameter only, or in what it says."""
    given = parsing.load(request.args.get("filter", "{}"))
    prefixes = {re.split(r"__|\.", name)[0] for name in request.args}
    # Another related record than the one that is filtered by may have the value.
    joined = bool(filter.path) and query.is_many(filter.path[0]) and filter.path[0].prefix in prefixes
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
    asked = parsing.parse_record(resource, request.args.lists())
    read = _read_present if asked.as_of is None else _read_past
    return served(lambda database: read(database, resource, id, asked), asked.min_version)


def _read_present(database: Database, resource: Resource, id: str, asked: query.Query) -> Response:
    """Answer with a record as it is."""
    with database.reading() as session:
        revision = _there(session, resource, id, past.newest(session, resource.name, id) if is_slug(id) else None)
        # What is included can change by itself.
        version = dataset.dataset_version(session) if asked.include else revision.version
        etag = f"{__version__}-{version}"
        if unchanged := conditional(etag):
            return unchanged
        included = related(session, resource, [id], asked.include, {})
    body = _body(_shown(revision.document or "", asked.fields), included, {"meta": {"version": version}})
    return tagged(Response(body, content_type=JSON), etag)


def _read_past(database: Database, resource: Resource, id: str, asked: query.Query) -> Response:
    """Answer with a record as it was."""
    with database.reading() as session:
        version = version_of(session, asked.as_of or "")
        found = readable(lambda: past.revision_at(session, resource.name, id, version), "as_of")
        if found is None and past.history(session, resource.name, id, None, 1):
            detail = f"There was no {resource.singular} `{id}` yet at version {version}."
            raise ProblemError("record-not-found", detail, mistake("as_of", "unknown-id", detail))
        revision = _there(session, resource, id, found)
        etag = f"{__version__}-{revision.version}"
        if unchanged := conditional(etag):
            return unchanged
    body = _body(_shown(revision.document or "", asked.fields), {}, {"meta": {"version": revision.version}})
    return tagged(Response(body, content_type=JSON), etag)


def _there(session: Session, resource: Resource, id: str, revision: past.Change | None) -> past.Change:
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


def link_header(links: Mapping[str, str | None]) -> str:
    """Return the header that says what `links` does (RFC 8288)."""
    header = ", ".join(f'<{url}>; rel="{relation}"' for relation, url in links.items() if url)
    return header if len(header) <= MAX_LINK else ", ".join(f'<{url}>; rel="next"' for url in [links.get("next")] if url)


def address(arguments: MultiDict[str, str], *, without: str = "", **changed: str) -> str:
    """Return the absolute address of this path with these parameters."""
    asked = [(name, values) for name, values in arguments.lists() if name not in {without, *changed}]
    text = urlencode([*asked, *((name, [value]) for name, value in changed.items())], doseq=True, safe=SAFE)
    return base_url() + request.path + (f"?{text}" if text else "")


def unknown_record(session: Session, resource: Resource, id: str) -> ProblemError:
    """Describe a record that isn't there, with the published id that was probably meant."""
    detail = f"There is no {resource.singular} `{shorten(id)}`."
    suggestion = hits.near_id(session, resource.name, id)
    item = mistake("id", "unknown-id", f"{detail} `/{resource.name}` lists those that there are.", suggestion=suggestion)
    return ProblemError("record-not-found", detail, item)


def _unknown_format(resource: Resource, format: str) -> ProblemError:
    path = f"/{resource.name}.{shorten(format)}"
    detail = f"There is nothing at `{path}`."
    paths = [f"/{resource.name}.{name}" for name in FORMATS]
    return ProblemError(
        "not-found", detail, mistake("path", "unknown-path", detail, allowed=paths, suggestion=nearest(path, paths))
    )
