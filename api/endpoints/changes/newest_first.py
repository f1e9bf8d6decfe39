"""Answers with the newest changes first, for people: each with a label and its author."""

from flask import Response, request
from sqlalchemy.orm import Session

from api.endpoints.changes.query import FeedQuery
from api.ledger import feed, head, history
from api.ledger.cursors import Position, proof_of_change
from api.ledger.head import DatasetState
from api.query import cursors
from api.query.labels import Hit, labels
from api.query.parts import hints_of
from api.web import envelopes, frames, positions, tags
from api.web.consistency import as_of_version, chain_of, reading, version_problems
from api.web.envelopes import ChangeRenderer
from api.web.negotiation import ATOM
from api.web.pages.changes import atom_feed, changes_in_words, changes_page
from api.web.responses import JSON, address, link_header, tagged


def read_newest(query: FeedQuery, render: ChangeRenderer, media_type: str) -> Response:
    """Answer with a page of the changes of a feed, the newest first."""
    with reading(query.min_version) as session:
        now = head.state(session)
        etag = tags.of_dataset(now, *frames.tag_parts(media_type))
        if unchanged := frames.unchanged(etag, media_type):
            return unchanged
        wanted, below = _feed(session, query, now)
        changes, chain = feed.newest(session, wanted, below, query.limit + 1), head.chain_at(session, wanted.until)
        more, changes = len(changes) > query.limit, changes[: query.limit]
        hints = hints_of(session, query.part, len(changes))
        names = labels(session, [Hit(change.row.kind, change.row.id, change.document or "{}") for change in changes])
        words = [] if media_type == JSON else changes_in_words(session, changes, names)
    cursor_of = feed.Page(wanted, wanted.until, len(changes)).cursors(chain)
    place = (changes[-1].row.version if changes else below, wanted.until, proof_of_change(chain))
    cursor = cursors.encode(_signature(query), place)
    if media_type != JSON:
        following = cursor if more else None
        return tagged(atom_feed(words) if media_type == ATOM else changes_page(words, following, now.version), etag)
    links = {"self": address(request.args), "next": address(request.args, cursor=cursor) if more else None}
    rows = (
        render(change.row, cursor_of(change.row.version), label=name, author=change.author)
        for change, name in zip(changes, names, strict=True)
    )
    body = "".join(envelopes.changes(rows, {"links": links, "cursor": cursor, "head": now.version, **hints}))
    response = Response(body, content_type=JSON)
    response.headers["Link"] = link_header(links)
    return tagged(response, etag)


def _signature(query: FeedQuery) -> str:
    return cursors.digest(["changes", query.part.kinds, query.since, query.history, query.as_of, query.part.mark])


def _feed(session: Session, query: FeedQuery, now: DatasetState) -> tuple[feed.Feed, int]:
    """Return the part of the ledger that the query reads, and the version below which its page begins.

    The pages of a feed show it as it was at the first of them. Raises 400 and 410, and AheadError.
    """
    since = positions.read(session, query.since, None, query.part).version
    until = now.version if query.as_of is None else as_of_version(session, query.as_of)
    below = until + 1
    if query.cursor is not None:
        below, until, proof = cursors.decode(query.cursor, _signature(query), (int, int, str))
        if not 1 <= below <= until + 1:
            raise positions.invalid_cursor("This API did not make the cursor.")
        chain = chain_of(session, until, "cursor")
        with version_problems(session, "cursor"):
            if proof != proof_of_change(chain):
                raise head.DivergedError(until)
    if query.as_of is not None:
        with version_problems(session, "as_of"):
            history.require_untrimmed(session, until)
    # With a target, the reader is not one that began with nothing and needs no deletions.
    return feed.Feed(Position(since, query.part.kinds, target=until), until, query.part, query.history), below
