"""Flask-smorest with SQLAlchemy's ORM and marshmallow's `dump`, run by granian as the product is."""

from flask import Flask
from flask.views import MethodView
from flask_smorest import Api, Blueprint, abort
from marshmallow import Schema, fields, validate
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from bench.peers.tables import (
    KINDS,
    QUALIFIERS,
    ROLES,
    STATUSES,
    WHOLE,
    Initiative,
    by_city,
    connected,
    filtered,
    initiative_of,
    listed,
)

app = Flask(__name__)
app.config.update(API_TITLE="Initiatives", API_VERSION="1", OPENAPI_VERSION="3.1.0")
session: scoped_session[Session] = scoped_session(sessionmaker(connected()))
app.teardown_appcontext(lambda _error: session.remove())
blp = Blueprint("initiatives", __name__, url_prefix="/initiatives")

SLUG = validate.Regexp(r"^[a-z0-9]+(-[a-z0-9]+)*\Z")
EDTF = validate.Regexp(r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?\Z")


class CitySchema(Schema):
    """A city."""

    id = fields.String()
    name = fields.String()
    state = fields.String()
    country = fields.String()
    state_capital = fields.Boolean()
    summary = fields.String()


class PartnerSchema(Schema):
    """An organization that takes part."""

    organization = fields.String(required=True, validate=SLUG)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))


class MetricSchema(Schema):
    """A figure."""

    name = fields.String(required=True, validate=validate.Length(min=1))
    value = fields.Float(required=True)
    unit = fields.String(required=True, validate=validate.Length(min=1))
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    qualifier = fields.String(required=True, validate=validate.OneOf(QUALIFIERS))
    as_of = fields.String(load_default=None, allow_none=True, validate=EDTF)


class InitiativeCreateSchema(Schema):
    """An initiative in a request."""

    id = fields.String(required=True, validate=SLUG)
    city = fields.String(required=True, validate=SLUG)
    title = fields.String(required=True, validate=validate.Length(min=1))
    summary = fields.String(required=True, validate=validate.Length(min=1))
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    started = fields.String(load_default=None, allow_none=True, validate=EDTF)
    parent = fields.String(load_default=None, allow_none=True, validate=SLUG)
    awards = fields.List(fields.String(validate=SLUG), load_default=list)
    priorities = fields.List(fields.String(validate=SLUG), load_default=list)
    partners = fields.List(fields.Nested(PartnerSchema), load_default=list)
    metrics = fields.List(fields.Nested(MetricSchema), load_default=list)


class InitiativeSchema(InitiativeCreateSchema):
    """An initiative in a response."""

    city = fields.Nested(CitySchema)


class QuerySchema(Schema):
    """The query of a list."""

    priority = fields.String(load_default=None)
    search = fields.String(load_default=None)


class CityCountSchema(Schema):
    """The number of a city's initiatives."""

    value = fields.String()
    label = fields.String()
    count = fields.Integer()


def page(query, pagination_parameters):
    """Return a page of the matching initiatives, and set their total."""
    ids = filtered(**query).with_only_columns(Initiative.id).subquery()
    pagination_parameters.item_count = session.scalar(select(func.count()).select_from(ids))
    statement = listed(**query).offset(pagination_parameters.first_item).limit(pagination_parameters.page_size)
    return session.scalars(statement).all()


@blp.route("/")
class Initiatives(MethodView):
    """The list."""

    @blp.arguments(QuerySchema, location="query")
    @blp.response(200, InitiativeSchema(many=True))
    @blp.paginate(page=1, page_size=20, max_page_size=100)
    def get(self, query, pagination_parameters):
        """Return a page."""
        return page(query, pagination_parameters)

    @blp.arguments(InitiativeCreateSchema)
    @blp.response(201, InitiativeSchema)
    def post(self, content):
        """Create an initiative."""
        created = initiative_of(content)
        session.add(created)
        try:
            session.commit()
        except IntegrityError:
            abort(409, message="Initiative exists, or refers to a record that does not")
        return created


@blp.route("/polled")
class Polled(MethodView):
    """The list, with the ETag that smorest computes from the response."""

    @blp.etag
    @blp.arguments(QuerySchema, location="query")
    @blp.response(200, InitiativeSchema(many=True))
    @blp.paginate(page=1, page_size=20, max_page_size=100)
    def get(self, query, pagination_parameters):
        """Return a page, or a 304 if it has not changed."""
        return page(query, pagination_parameters)


@blp.route("/by-city")
@blp.arguments(QuerySchema(only=["priority"]), location="query")
@blp.response(200, CityCountSchema(many=True))
def count_by_city(query):
    """Return counts by city."""
    return session.execute(by_city(**query)).all()


@blp.route("/<id>")
class InitiativeById(MethodView):
    """One initiative."""

    @blp.response(200, InitiativeSchema)
    def get(self, id):
        """Return an initiative."""
        return session.get(Initiative, id, options=WHOLE) or abort(404)


Api(app).register_blueprint(blp)
