"""What pages need besides data: their style sheet and icon, and what crawlers read."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from functools import cache

from flask import Response
from markupsafe import escape
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import NotFound

from api.html.templates import HERE
from api.ledger import head
from api.ledger.models import BATCH, CURRENT, Revision
from api.resources import BY_NAME, RESOURCES
from api.schema.formats import chunks
from api.web import frames, tags
from api.web.consistency import reading
from api.web.places import streaming
from api.web.responses import conditional, tagged, whole_or_streamed
from api.web.urls import base_url

STATIC = {"docs.css": "text/css; charset=utf-8", "style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
# The addresses that a sitemap may have (sitemaps.org), and about those that a part of ours has.
MOST, PART = 50_000, 40_000
LISTS = ["/", *(f"/{noun.name}" for noun in RESOURCES)]
# The first bytes of the keys of all records of a noun.
BYTES = 256
EVERY = (0, BYTES)
XML, NAMESPACE = "application/xml", "http://www.sitemaps.org/schemas/sitemap/0.9"
ROBOTS = """User-agent: *
Allow: /*?cursor=
Disallow: /edit
Disallow: /*?
Sitemap: {}/sitemap.xml
"""


def static(name: str) -> Response:
    """Answer with a file of the pages. Raises a 404."""
    if name not in STATIC:
        raise NotFound
    return frames.stable(Response(_file(name), content_type=STATIC[name]))


@cache
def _file(name: str) -> bytes:
    return (HERE / "static" / name).read_bytes()


def robots() -> Response:
    """Answer with what crawlers may read: pages of lists without filters, since their combinations have no end."""
    return frames.stable(Response(ROBOTS.format(base_url()), content_type="text/plain; charset=utf-8"))


def sitemap() -> Response:
    """Answer with the address of every list and record, or, if there are too many, with the parts of the sitemap."""
    with ExitStack() as stack:
        session = stack.enter_context(reading())
        counts = {noun.name: head.records(session, noun.name) for noun in RESOURCES}
        if sum(counts.values()) + len(counts) + 1 > MOST:
            parts = [("lists", 0), *((noun, part) for noun, count in counts.items() for part in range(parts_of(count)))]
            return _xml(stack, session, "sitemapindex", [f"/sitemap-{noun}-{part}.xml" for noun, part in parts])
        return _xml(stack, session, "urlset", LISTS, *counts)


def sitemap_part(noun: str, part: int) -> Response:
    """Answer with the addresses of a part of a noun's records. Raises a 404."""
    with ExitStack() as stack:
        session = stack.enter_context(reading())
        if (noun, part) == ("lists", 0):
            return _xml(stack, session, "urlset", LISTS)
        if noun not in BY_NAME or part >= (parts := parts_of(head.records(session, noun))):
            raise NotFound
        bounds = (BYTES * part // parts, BYTES * (part + 1) // parts)
        return _xml(stack, session, "urlset", [], noun, bounds=bounds)


def parts_of(records: int) -> int:
    """Return the number of parts for a number of records; keys are spread evenly over their first bytes."""
    return min(-(-records // PART), BYTES)


def _xml(
    stack: ExitStack, session: Session, element: str, paths: Iterable[str], *nouns: str, bounds: tuple[int, int] = EVERY
) -> Response:
    stack.enter_context(streaming())
    etag = tags.of_dataset(head.state(session), "sitemap")
    if unchanged := conditional(etag):
        return unchanged
    lines = stack.enter_context(closing(_lines(session, element, paths, nouns, bounds)))
    return tagged(whole_or_streamed(stack, chunks(lines), XML), etag)


def _lines(
    session: Session, element: str, paths: Iterable[str], nouns: Sequence[str], bounds: tuple[int, int]
) -> Generator[str]:
    base, entry = escape(base_url()), "sitemap" if element == "sitemapindex" else "url"
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<{element} xmlns="{NAMESPACE}">\n'
    for path in paths:
        yield f"<{entry}><loc>{base}{path}</loc></{entry}>\n"
    for noun in nouns:
        chosen = (Revision.kind == noun, Revision.bucket >= bounds[0], Revision.bucket < bounds[1], *CURRENT)
        statement = select(Revision.id, Revision.changed_at).where(*chosen).order_by(Revision.bucket, Revision.id)
        with session.execute(statement.execution_options(yield_per=BATCH)) as rows:
            for id, changed_at in rows:
                yield f"<url><loc>{base}/{noun}/{id}</loc><lastmod>{changed_at.date()}</lastmod></url>\n"
    yield f"</{element}>\n"
