"""The table of problem types. Each row has a page of its own, which `type` of a problem points to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.errors import MAX_QUERY_STRING, Item, ProblemName


@dataclass(frozen=True)
class ProblemType:
    """A row of the table.

    ``description`` says what a client should do about it. ``detail``, ``errors`` and ``members`` are those of the example;
    ``members`` are the ones that only this type has.
    """

    name: ProblemName
    status: int
    title: str
    description: str
    detail: str
    errors: tuple[Item, ...] = ()
    members: Mapping[str, Any] = field(default_factory=dict)


PROBLEMS: dict[str, ProblemType] = {
    row.name: row
    for row in (
        ProblemType(
            "invalid-query",
            400,
            "A query parameter is wrong",
            "A parameter is unknown, appears twice, or has an invalid value. Parameters are never ignored or adjusted: "
            "each item of `errors` says what would have worked.",
            "`limti` is not a parameter here.",
            (
                {
                    "parameter": "limti",
                    "code": "unknown-parameter",
                    "detail": "`limti` is not a parameter here; did you mean `limit`?",
                    "allowed": ["cursor", "limit"],
                    "suggestion": "limit",
                },
            ),
        ),
        ProblemType(
            "invalid-cursor",
            400,
            "The cursor belongs to another list",
            "A cursor continues only the list that it came from: the same path and parameters, apart from `limit`. Follow "
            "`links.next` unchanged, or start again without `cursor`. Cursors never expire.",
            "The cursor was not made by this list.",
            (
                {
                    "parameter": "cursor",
                    "code": "invalid-cursor",
                    "detail": "Take it from `links.next` or `page.cursor` of this list.",
                },
            ),
        ),
        ProblemType(
            "too-many-included",
            400,
            "Too many related records",
            "`include` adds at most 500 records of a noun to an answer. Request fewer records with `limit`, or request the "
            "related records at their own path with a filter.",
            "`include=citations` would add more than 500 citations to this page.",
            (
                {
                    "parameter": "include",
                    "code": "too-many-included",
                    "detail": "Ask for fewer initiatives with `limit`, or for the citations at `/citations`, filtered.",
                    "allowed": {"maximum": 500},
                },
            ),
        ),
        ProblemType(
            "invalid-json",
            400,
            "The body is not JSON",
            "The body must be JSON (RFC 8259) in UTF-8, without duplicate keys and without NaN.",
            "The body is not JSON: Expecting value at character 0.",
            (
                {
                    "pointer": "",
                    "code": "invalid-json",
                    "detail": "The body is not JSON: Expecting value at character 0.",
                },
            ),
        ),
        ProblemType(
            "bad-request",
            400,
            "The request is malformed",
            "The request is not valid HTTP, or one of its headers has an invalid value.",
            "The browser (or proxy) sent a request that this server could not understand.",
        ),
        ProblemType(
            "unauthorized",
            401,
            "This needs a key",
            "Writing needs an active API key in `Authorization: Bearer KEY`; reading needs none. The server's operator creates "
            "keys.",
            "This needs a key: send it as `Authorization: Bearer KEY`.",
            (
                {
                    "parameter": "Authorization",
                    "code": "unauthorized",
                    "detail": "This needs a key: send it as `Authorization: Bearer KEY`.",
                },
            ),
        ),
        ProblemType(
            "forbidden",
            403,
            "The key may not do this",
            "The key is active, but it lacks a scope that this request needs, which `allowed` names, or its proposal must be "
            "published by another key.",
            "The key `curator` has the scopes `write:cities`; this needs `write:awards`.",
            (
                {
                    "parameter": "Authorization",
                    "code": "missing-scope",
                    "detail": "The key `curator` has the scopes `write:cities`; this needs `write:awards`.",
                    "allowed": ["write:awards"],
                },
            ),
        ),
        ProblemType(
            "not-found",
            404,
            "There is no such path",
            "Nothing is at this path. `allowed` lists the paths that exist.",
            "There is nothing at `/citys`.",
            (
                {
                    "parameter": "path",
                    "code": "unknown-path",
                    "detail": "There is nothing at `/citys`; did you mean `/cities`?",
                    "allowed": ["/cities", "/awards"],
                    "suggestion": "/cities",
                },
            ),
        ),
        ProblemType(
            "record-not-found",
            404,
            "There is no such record",
            "No record with this id was ever published. The list of its noun has all records.",
            "There is no city `san-diego`.",
            (
                {
                    "parameter": "id",
                    "code": "unknown-id",
                    "detail": "There is no city `san-diego`; did you mean `san-diego-ca`?",
                    "allowed": ["san-diego-ca"],
                    "suggestion": "san-diego-ca",
                },
            ),
        ),
        ProblemType(
            "method-not-allowed",
            405,
            "The path does not have this method",
            "`Allow` and `allowed` list the methods that the path has.",
            "`/cities` does not have the method `DELETE`.",
            (
                {
                    "parameter": "method",
                    "code": "method-not-allowed",
                    "detail": "Use GET, HEAD or OPTIONS.",
                    "allowed": ["GET", "HEAD", "OPTIONS"],
                },
            ),
        ),
        ProblemType(
            "not-acceptable",
            406,
            "No acceptable media type",
            "`Accept` excludes every media type that this path can send.",
            "None of `image/png` can be served here.",
            (
                {
                    "parameter": "Accept",
                    "code": "not-acceptable",
                    "detail": "Use application/json, or leave the header out.",
                    "allowed": ["application/json"],
                },
            ),
        ),
        ProblemType(
            "record-deleted",
            410,
            "The record was deleted",
            "The record existed. `deleted_at` says when it was deleted, and `version` in which version of the dataset.",
            "The city `springfield-il` was deleted in version 1204.",
            members={"deleted_at": "2025-03-01T12:00:00.000Z", "version": 1204},
        ),
        ProblemType(
            "cursor-diverged",
            410,
            "The dataset never had that version",
            "The version or cursor comes from a history that this dataset does not have: it was restored from a backup, or "
            "lost commits in a failover. Discard your copy and start again at `restart`.",
            "The dataset, at version 603, never had the version that this `cursor` is from.",
            (
                {
                    "parameter": "cursor",
                    "code": "cursor-diverged",
                    "detail": "The dataset, at version 603, never had the version that this `cursor` is from.",
                },
            ),
            {"restart": "https://api.example.org/snapshot"},
        ),
        ProblemType(
            "history-trimmed",
            410,
            "That part of the history was trimmed",
            "The server no longer has the state of the dataset at that time. `version` is the first version that it has in "
            "full; it is null if the history of one record was erased, as privacy law can require. Trimming never removes "
            "current records or the list of changes, so a copy stays right: keep it, and follow `/changes` without "
            "`history=true`.",
            "The history before version 1204 was trimmed.",
            ({"parameter": "as_of", "code": "history-trimmed", "detail": "The history before version 1204 was trimmed."},),
            {"version": 1204},
        ),
        ProblemType(
            "digest-replaced",
            410,
            "The digest has another form",
            "The digest of a noun is a tree now, and no list of 256 buckets. Take the current clients, or compute the root of "
            "your copy as `docs/digest.md` explains. To find what differs, descend from `/digest/cities` with `prefix`.",
            "A noun has no 256 buckets any more: take the current clients, or descend from `/digest/cities`.",
        ),
        ProblemType(
            "conflict",
            409,
            "The change conflicts with another record",
            "The record exists already, repeats a value that must be unique, or is referred to by other records. `records` "
            "lists the other records: change or delete them first, or in the same changeset.",
            "The city `boston-ma` is referred to, as `categories`, in `/surveys` by `digital-cities-2024`.",
            (
                {
                    "parameter": "id",
                    "code": "in-use",
                    "detail": "The city `boston-ma` is referred to, as `categories`, in `/surveys` by `digital-cities-2024`.",
                    "records": [{"kind": "surveys", "id": "digital-cities-2024"}],
                },
            ),
        ),
        ProblemType(
            "precondition-failed",
            412,
            "The state is not the one that you expect",
            "A record is not in the state that `If-Match` or `if_match` names, or exists in spite of `If-None-Match`. "
            "`current` is the record as it is now, or null; `errors` names the members that differ from yours. Merge the two "
            "and send the request again. On a read, the answer is not the one that `If-Match` names.",
            "The city `san-diego-ca` is at version 620, which is not the state that you named.",
            (
                {
                    "parameter": "If-Match",
                    "code": "precondition-failed",
                    "detail": "The city `san-diego-ca` is at version 620, which is not the state that you named.",
                },
                {"pointer": "/summary", "code": "differs", "detail": "The current value of `summary` differs from yours."},
            ),
            {"current": {"id": "san-diego-ca", "name": "San Diego", "version": 620}},
        ),
        ProblemType(
            "request-timeout",
            408,
            "The body did not arrive in time",
            "The server waits for a body only for some seconds, so that slow clients leave room for others. Send it again.",
            "The body did not arrive within 20 seconds.",
        ),
        ProblemType(
            "content-too-large",
            413,
            "The body is too large",
            "The body of the request exceeds the limit. Send several smaller requests.",
            "The data value transmitted exceeds the capacity limit.",
        ),
        ProblemType(
            "uri-too-long",
            414,
            "The query string is too long",
            (
                f"A query string has at most {MAX_QUERY_STRING} bytes. `POST` to `/search` below a noun takes longer filters. "
                "For more than 64 KiB, the HTTP server answers 414 without a body."
            ),
            f"The query string has 102400 bytes; at most {MAX_QUERY_STRING} are allowed.",
        ),
        ProblemType(
            "unsupported-media-type",
            415,
            "The path does not take this media type",
            "`allowed` lists the values of `Content-Type` that the path takes.",
            "The server does not support the media type transmitted in the request.",
        ),
        ProblemType(
            "range-not-satisfiable",
            416,
            "The file ends before the range begins",
            "`Range` begins at the end of the file or behind it. `Content-Range` has the length of the file: if your copy has "
            "as many bytes and is of the same version, it is complete. Send `If-Range` with the `ETag` of your copy: then "
            "another version is sent as a whole.",
            "The file has 2048 bytes, so no range begins at byte 2048.",
            (
                {
                    "parameter": "Range",
                    "code": "range-not-satisfiable",
                    "detail": "The file has 2048 bytes, so no range begins at byte 2048.",
                    "allowed": {"maximum": 2047},
                },
            ),
        ),
        ProblemType(
            "invalid-body",
            422,
            "The body is invalid",
            "The body is JSON, but a member of it is unknown, missing or invalid. `pointer` (RFC 6901) says where, and "
            "`allowed` what would have worked.",
            "`stat` is not a filter here; did you mean `state`?",
            (
                {
                    "pointer": "/or/0/stat",
                    "code": "unknown-filter",
                    "detail": "`stat` is not a filter here; did you mean `state`?",
                    "allowed": ["name", "state"],
                    "suggestion": "state",
                },
            ),
        ),
        ProblemType(
            "idempotency-mismatch",
            422,
            "The Idempotency-Key was used for another request",
            "For 24 hours, an `Idempotency-Key` stands for one request, including every byte of its body. Use a new key for "
            "another request.",
            "This `Idempotency-Key` was used for another request, at 2025-01-31T12:00:00.000Z.",
            (
                {
                    "parameter": "Idempotency-Key",
                    "code": "idempotency-mismatch",
                    "detail": "This `Idempotency-Key` was used for another request, at 2025-01-31T12:00:00.000Z.",
                },
            ),
        ),
        ProblemType(
            "precondition-required",
            428,
            "Say which version you change",
            "To change a record that exists, say which version you know, so that you cannot overwrite a change that you have "
            "not seen. Send its `ETag` as `If-Match`, or `*` for any version; in a changeset, its `version` as `if_match`.",
            "The city `san-diego-ca` exists already: send the `ETag` that you read as `If-Match`.",
            (
                {
                    "parameter": "If-Match",
                    "code": "precondition-required",
                    "detail": "The city `san-diego-ca` exists already: send the `ETag` that you read as `If-Match`.",
                },
            ),
        ),
        ProblemType(
            "too-many-requests",
            429,
            "Too many requests",
            "You have exceeded the limit that `RateLimit-Policy` names. Wait for the number of seconds in `Retry-After`.",
            "The limit `writes` is 600 requests in 60 seconds; try again in 12.",
            (
                {
                    "parameter": "Authorization",
                    "code": "too-many-requests",
                    "detail": "The limit `writes` is 600 requests in 60 seconds; try again in 12.",
                    "allowed": {"maximum": 600, "seconds": 60},
                },
            ),
        ),
        ProblemType(
            "internal-error",
            500,
            "Internal error",
            "The server has a fault. Its log has the details under the `request_id`. Trying again may help.",
            "The server has a fault; its log has the details under the request_id.",
        ),
        ProblemType(
            "unavailable",
            503,
            "Temporarily unavailable",
            "The database is unreachable, busy, not migrated or behind its primary, or the server has reached its number of "
            "simultaneous streams, bodies or waiting requests. Try again after the number of seconds in `Retry-After`.",
            "The database cannot be reached.",
        ),
    )
}
BY_STATUS = {row.status: row for row in reversed(PROBLEMS.values())} | {400: PROBLEMS["bad-request"]}
