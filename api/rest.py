"""The verbs, written once: what a declared noun answers over HTTP."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import urlencode

from flask import Request, Response, current_app, request
from flask.views import MethodView
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy import select
from sqlalchemy.orm import Session
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MIMEAccept, MultiDict
from werkzeug.http import parse_accept_header

from api import __version__, query
from api.db import Database
from api.documents import SLUG, instant, is_slug
from api.ledger import CURRENT, Op, Revision, current
from api.problem_types import PROBLEMS
from api.problems import (
    ProblemError,
    base_url,
    mistake,
    nearest,
    shorten,
)
from api.resource import Resource

JSON = "application/json"
# Anyone may keep an answer, but asks each time whether it is still the latest: that costs one small query.
CACHE_CONTROL = "public, no-cache"
ALWAYS = ("internal-error", "uri-too-long")


def header(name: str, description: str, example: str) -> dict[str, Any]:
    """Return the description of one header of an answer."""
    return {name: {"description": description, "schema": {"type": "string"}, "example": example}}


REQUEST_ID = header("X-Request-Id", "Names this request in our log.", "0b6a4ac1b2c84a0e")
NOT_KEPT = header("Cache-Control", "It may not be kept.", "no-store") | REQUEST_ID
HEADERS = (
    header("ETag", "Version of this answer, for `If-None-Match`.", '"0.1.0-618"')
    | header("Cache-Control", "How long it may be kept.", CACHE_CONTROL)
    | REQUEST_ID
)
LINK = header("Link", "The same links as in `links` (RFC 8288).", '<https://api.example.org/cities?limit=2>; rel="self"')
VARY = header("Vary", "The answer depends on this header of the request.", "Accept")
RETRY_AFTER = header("Retry-After", "Seconds to wait before trying again.", "5")
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "`ETag` of the copy that you have: the answer is 304 when it is still the latest.",
    "schema": {"type": "string"},
    # No version of anything is 0: the interactive page sends this as it is, and gets the whole answer.
    "example": '"0.1.0-0"',
}


class StrictParser(FlaskParser):
    """Refuses what webargs lets pass: unknown query parameters, and a second value for one that takes one."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": None}  # noqa: RUF012 - webargs' interface
    DEFAULT_VALIDATION_STATUS = 400

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Load the query, each parameter at most once."""
        twice = [name for name, values in req.args.lists() if len(values) > 1]
        if twice:
            raise ValidationError(
                {name: [f"`{name}` takes one value, and is given {len(req.args.getlist(name))} times."] for name in twice}
            )
        return super().load_querystring(req, schema)

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:  # noqa: ARG002 - webargs' interface
        """Answer with everything that is wrong at once."""
        items = query.refusals(error, schema)
        raise ProblemError("invalid-query", " ".join(item["detail"] for item in items), *items)


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
        return view

    return decorate


def response_name(status: int) -> str:
    """Return the name under which the problems of one status are documented once."""
    return HTTPStatus(status).name


def negotiate(*offered: str) -> str:
    """Return the offered media type that `Accept` likes best. Raises a 406 when it likes none."""
    # What we send is UTF-8 anyhow, so a client that asks for just that is not refused for it.
    accepted = parse_accept_header(re.sub(r";\s*charset=[^;,]*", "", request.headers.get("Accept") or "*/*"), MIMEAccept)
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
    if not request.if_none_match.contains_weak(etag):
        return None
    return tagged(Response(status=304), etag)


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
    document = {
        "name": "id",
        "in": "path",
        "description": f"Id of the {singular}.",
        "schema": {"type": "string", "pattern": SLUG},
        "example": resource.schema().fields["id"].metadata["example"],
    }

    @blp.route(f"/{name}", endpoint="list", parameters=[IF_NONE_MATCH])
    class Collection(MethodView):
        @blp.arguments(query.ListArguments, location="query")
        @blp.response(200, _list_schema(resource), description=f"A page of {name}.", headers=HEADERS | LINK)
        @blp.alt_response(304, description="You have the latest version already.", headers=HEADERS, success=True)
        @documents(blp, "invalid-query", "invalid-cursor", "not-acceptable", "unavailable")
        @blp.doc(operationId=f"list_{name}", summary=f"List {name}")
        def get(self, arguments: Mapping[str, Any]) -> Response:
            return list_records(resource, arguments)

    @blp.route(f"/{name}/<string:id>", endpoint="record", parameters=[document, IF_NONE_MATCH])
    class Member(MethodView):
        @blp.arguments(query.NoArguments, location="query")
        @blp.response(200, _record_schema(resource), description=f"The {singular}.", headers=HEADERS)
        @blp.alt_response(304, description="You have the latest version already.", headers=HEADERS, success=True)
        @documents(blp, "invalid-query", "record-not-found", "record-deleted", "not-acceptable", "unavailable")
        @blp.doc(operationId=f"get_{singular}", summary=f"Read one {singular}")
        def get(self, _arguments: Mapping[str, Any], id: str) -> Response:
            return read_record(resource, id)

    return blp


def list_records(resource: Resource, arguments: Mapping[str, Any]) -> Response:
    """Answer with a page of records."""
    negotiate(JSON)
    with database().reading() as session:
        version = query.dataset_version(session)
        etag = f"{__version__}-{version}"
        if unchanged := conditional(etag):
            return unchanged
        page = query.page(session, resource, arguments)
    links = {"self": _address(request.args), "next": page.cursor and _address(request.args, cursor=page.cursor)}
    envelope = {
        "included": {},
        "facets": {},
        "page": {
            "limit": arguments["limit"],
            "cursor": page.cursor,
            "total": page.total,
            "total_relation": "eq" if page.total_is_exact else "gte",
        },
        "links": links,
        "meta": {"version": version},
    }
    response = tagged(Response(_body(f"[{','.join(page.documents)}]", envelope), content_type=JSON), etag)
    response.headers["Link"] = ", ".join(f'<{url}>; rel="{relation}"' for relation, url in links.items() if url)
    return response


def read_record(resource: Resource, id: str) -> Response:
    """Answer with one record. Raises 404 and 410."""
    negotiate(JSON)
    with database().reading() as session:
        revision = current(session, resource.name, [id]).get(id) if is_slug(id) else None
        if revision is None:
            raise _unknown(session, resource, id)
    if revision.op is Op.DELETE:
        raise ProblemError(
            "record-deleted",
            f"The {resource.singular} `{id}` was deleted in version {revision.version}.",
            deleted_at=instant(revision.changed_at),
            version=revision.version,
        )
    etag = f"{__version__}-{revision.version}"
    body = _body(revision.document or "", {"included": {}, "meta": {"version": revision.version}})
    return conditional(etag) or tagged(Response(body, content_type=JSON), etag)


def _body(data: str, rest: Mapping[str, Any]) -> str:
    """Join stored documents with the rest of an envelope."""
    return f'{{"data":{data},{json.dumps(rest, separators=(",", ":"))[1:]}'


def _address(arguments: MultiDict[str, str], **changed: str) -> str:
    """Return the absolute address of this path with these parameters."""
    asked = {**arguments.to_dict(), **changed}
    return base_url() + request.path + (f"?{urlencode(asked)}" if asked else "")


def _unknown(session: Session, resource: Resource, id: str) -> ProblemError:
    """Describe a record that isn't there, with the published id that was probably meant."""
    detail = f"There is no {resource.singular} `{shorten(id)}`."
    word = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in id.lower()).split())[:200]
    # Those that begin alike: a range of an index, whatever the size of the table.
    alike = (Revision.kind == resource.name, Revision.id >= word[:2], Revision.id < word[:2] + "~")
    near = select(Revision.id).where(*alike, *CURRENT).order_by(Revision.id).limit(500)
    candidates = session.scalars(near).all() if word else []
    suggestion = next((found for found in candidates if found.startswith(word)), None) or nearest(word, candidates)
    item = mistake("id", "unknown-id", f"{detail} `/{resource.name}` lists those that there are.", suggestion=suggestion)
    return ProblemError("record-not-found", detail, item)


class PageSchema(Schema):
    """Where a page stands in its list."""

    limit = fields.Integer(required=True, metadata={"description": "How many records the page has at most.", "example": 50})
    cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null on the last.", "example": "WyI4ZjE0ZTQ1ZiJd"},
    )
    total = fields.Integer(
        required=True, metadata={"description": "Records in the whole list, counted up to 10,000.", "example": 46}
    )
    total_relation = fields.String(
        required=True,
        validate=validate.OneOf(["eq", "gte"]),
        metadata={"description": "`eq`: `total` is exact; `gte`: there are that many or more.", "example": "eq"},
    )


class LinksSchema(Schema):
    """Addresses of this page and the next."""

    self = fields.String(
        required=True,
        metadata={"description": "This page.", "example": "https://api.example.org/cities?limit=2", "format": "uri"},
    )
    next = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The next page; null on the last.",
            "example": "https://api.example.org/cities?limit=2&cursor=WyI4ZjE0ZTQ1ZiJd",
            "format": "uri",
        },
    )


class MetaSchema(Schema):
    """About the answer."""

    version = fields.Integer(
        required=True,
        metadata={
            "description": "Of a list: the version that the dataset is at. Of a record: the version that last changed it.",
            "example": 618,
        },
    )


EMPTY = {
    "included": "Records that these refer to, by noun and id; empty until `include` can be asked for.",
    "facets": "Counts per value; empty until `facets` can be asked for.",
}


def _list_schema(resource: Resource) -> type[Schema]:
    members: dict[str, fields.Field[Any]] = {
        "data": fields.List(
            fields.Nested(resource.schema),
            required=True,
            metadata={"description": f"The {resource.name} of this page, in order."},
        ),
        "included": fields.Dict(required=True, metadata={"description": EMPTY["included"], "example": {}}),
        "facets": fields.Dict(required=True, metadata={"description": EMPTY["facets"], "example": {}}),
        "page": fields.Nested(PageSchema, required=True, metadata={"description": "Where this page stands in the list."}),
        "links": fields.Nested(LinksSchema, required=True, metadata={"description": "Addresses of this page and the next."}),
        "meta": fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."}),
    }
    return Schema.from_dict(members, name=f"{resource.singular.title()}List")


def _record_schema(resource: Resource) -> type[Schema]:
    members: dict[str, fields.Field[Any]] = {
        "data": fields.Nested(resource.schema, required=True, metadata={"description": f"The {resource.singular}."}),
        "included": fields.Dict(required=True, metadata={"description": EMPTY["included"], "example": {}}),
        "meta": fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."}),
    }
    return Schema.from_dict(members, name=f"{resource.singular.title()}Answer")
