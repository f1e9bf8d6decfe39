"""Answers with the feed in commit order, which copies follow."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from api.endpoints.changes.query import FeedQuery
from api.ledger import feed, head, history
from api.ledger.head import DatasetState
from api.query.parts import hints_of
from api.schema.formats import chunks
from api.web import envelopes, positions, tags
from api.web.consistency import as_of_version, reading, version_problems
from api.web.envelopes import ChangeRenderer
from api.web.news import news
from api.web.places import CHANGES, streaming, waiting
from api.web.responses import JSON, address, conditional, link_header, streamed, tagged


def read_feed(query: FeedQuery, render: ChangeRenderer) -> Response:
    """Answer with a page of the feed; if it has no news yet, after waiting for some as long as the query allows.

    If too many requests wait already, or if the server stops, this one does not: a client that polls then comes again, as after
    a wait without news.
    """
    commits = news()
    with waiting(CHANGES) if query.wait else nullcontext() as may_wait:
        deadline = time.monotonic() + (query.wait if may_wait else 0)
        while True:
            count = commits.count
            if response := _read_page(query, render, news_only=not commits.is_over(deadline)):
                return response
            commits.wait(count, deadline)


def _read_page(query: FeedQuery, render: ChangeRenderer, *, news_only: bool) -> Response | None:
    """Return the answer with the next page; with ``news_only``, None if that would tell the client nothing new."""
    with ExitStack() as stack:
        session = stack.enter_context(reading(query.min_version))
        now = head.state(session)
        etag = tags.of_dataset(now)
        if unchanged := conditional(etag):
            return None if news_only else unchanged
        page = feed.page(session, _feed(session, query, now), query.limit)
        more = page.more or (query.as_of is None and page.feed.until < now.version)
        if news_only and not (page.rows or page.oversized or more):
            return None
        chain = head.chain_at(session, page.feed.until)
        members = {
            **_members(page, chain, now.version, more=more),
            **hints_of(session, page.feed.part, page.rows + page.oversized),
        }
        changes, cursor_of = stack.enter_context(closing(feed.changes(session, page))), page.cursors(chain)
        rows = (render(row, cursor_of(row.version)) for row in changes)
        response = _send(stack, page, envelopes.changes(rows, members))
    response.headers["Link"] = link_header(members["links"])
    return tagged(response, etag)


def _feed(session: Session, query: FeedQuery, now: DatasetState) -> feed.Feed:
    """Return the part of the ledger that the query reads. Raises 400 and 410, and AheadError."""
    since = positions.read(session, query.since, query.cursor, query.part)
    until = since.target or now.version
    if query.as_of is not None:
        until = max(as_of_version(session, query.as_of), since.version)
        if since.target not in {0, until} or since.compacted > until:
            raise positions.invalid_cursor(f"The cursor is on the way to version {since.known}: go on without `as_of`.")
        with version_problems(session, "as_of"):
            history.require_untrimmed(session, until)
    if query.history and since.version < now.trimmed:
        with version_problems(session, "history"):
            history.require_untrimmed(session, since.version)
    return feed.Feed(since, until, query.part, query.history)


def _members(page: feed.Page, chain: bytes, version: int, *, more: bool) -> dict[str, Any]:
    """Return the members of a page after its changes; ``chain`` is the hash at the end of its feed."""
    cursor = page.position.cursor(chain)
    following = address(request.args, without="since", cursor=cursor) if more else None
    links = {"self": address(request.args), "next": following}
    return {"links": links, "cursor": cursor, "head": version}


def _send(stack: ExitStack, page: feed.Page, body: Iterator[str]) -> Response:
    """Return the answer with a page; one with a commit that is longer than a page is streamed."""
    if page.oversized:
        stack.enter_context(streaming())
        return streamed(stack, chunks(body), JSON)
    return Response("".join(body), content_type=JSON)
