"""The table of problem types: each has a page that explains it, and an example."""

from dataclasses import dataclass

from api.errors import MAX_QUERY_STRING, Item


@dataclass(frozen=True)
class ProblemType:
    """A row of the table: a kind of problem, what a caller should do about it, and an example."""

    name: str
    status: int
    title: str
    description: str
    detail: str
    errors: tuple[Item, ...] = ()


PROBLEMS = {
    row.name: row
    for row in (
        ProblemType(
            "invalid-query",
            400,
            "A query parameter is wrong",
            "A parameter is unknown, is given twice, or holds a value that it can't take. Nothing is ignored or adjusted: "
            "`errors` says for each what would have worked.",
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
            "The cursor is not of this list",
            "A cursor continues the very list that gave it: same path, same parameters apart from `limit`. Follow `links.next` "
            "as it is, or start again without `cursor`. Cursors never expire.",
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
            "`include` adds at most 500 records of a noun to an answer. Ask for fewer records at once with `limit`, or for the "
            "related ones at their own path, filtered by what they are related to.",
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
            "The body is no JSON",
            "The body is not JSON as RFC 8259 has it, in UTF-8, with every key once and without NaN.",
            "The body is no JSON: Expecting value at character 0.",
            (
                {
                    "pointer": "",
                    "code": "invalid-json",
                    "detail": "The body is no JSON: Expecting value at character 0.",
                },
            ),
        ),
        ProblemType(
            "bad-request",
            400,
            "The request can't be understood",
            "The request is malformed as HTTP.",
            "The browser (or proxy) sent a request that this server could not understand.",
        ),
        ProblemType(
            "unauthorized",
            401,
            "This needs a key",
            "Changing anything needs a key that is known, not expired and not revoked, as `Authorization: Bearer KEY`; "
            "reading needs none. Whoever runs the server makes keys.",
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
            "The key may not do that",
            "The key is good, but has not the scope that this needs; `allowed` names what is missing.",
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
            "There is no such page",
            "The path is none of ours. `allowed` lists those that there are.",
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
            "No record with this id was ever published. The list shows those that there are.",
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
            "The method doesn't work here",
            "The path exists, but not with this method; `Allow` and `allowed` list those that work.",
            "`DELETE` does not work on `/cities`.",
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
            "We don't speak that media type",
            "`Accept` leaves out every media type that we could answer with.",
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
            "There was such a record. `deleted_at` and `version` say when it went and in which version of the dataset.",
            "The city `springfield-il` was deleted in version 1204.",
        ),
        ProblemType(
            "cursor-diverged",
            410,
            "This dataset has not been there",
            "The version, or the cursor, is not one that this dataset went through: it was restored, or it lost commits in a "
            "failover, and you have seen what is no more. Forget your copy and begin again where `restart` says.",
            "The dataset, at version 603, never was where this cursor is from.",
            (
                {
                    "parameter": "cursor",
                    "code": "cursor-diverged",
                    "detail": "The dataset, at version 603, never was where this cursor is from.",
                },
            ),
        ),
        ProblemType(
            "history-trimmed",
            410,
            "That past was cut",
            "What the dataset was then is not kept any more. `version` is the first version of which everything is; it is null "
            "where a single record's past was erased, as the law may ask for. What is current is never cut, nor are changes.",
            "The past below version 1204 was cut.",
            ({"parameter": "as_of", "code": "history-trimmed", "detail": "The past below version 1204 was cut."},),
        ),
        ProblemType(
            "conflict",
            409,
            "Another record is in the way",
            "The record is there already, has what must be another's alone, or is referred to by others. `records` says by "
            "which ones: change or delete those first, or in the same changeset.",
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
            "The record has changed",
            "The record is not, or no longer, what `If-Match`, `if_match` or `If-None-Match` says. `current` is what it says "
            "now, null if there is none; the errors name the members that are not what you sent. Read it, decide, send again.",
            "The city `san-diego-ca` has changed: it is at version 620.",
            (
                {
                    "parameter": "If-Match",
                    "code": "precondition-failed",
                    "detail": "The city `san-diego-ca` has changed: it is at version 620.",
                },
                {"pointer": "/summary", "code": "differs", "detail": "`summary` is another now than you sent."},
            ),
        ),
        ProblemType(
            "content-too-large",
            413,
            "The body is too large",
            "The request's body is larger than the limit; send it in pieces.",
            "The data value transmitted exceeds the capacity limit.",
        ),
        ProblemType(
            "uri-too-long",
            414,
            "The query string is too long",
            (
                f"A query string has at most {MAX_QUERY_STRING} bytes; `POST` to a noun with `/search` takes more. "
                "Above 64 KiB the server itself says so, without a body."
            ),
            f"The query string has 102400 bytes, {MAX_QUERY_STRING} at most are read.",
        ),
        ProblemType(
            "unsupported-media-type",
            415,
            "We don't read that media type",
            "The `Content-Type` of the body is none that this path takes.",
            "The server does not support the media type transmitted in the request.",
        ),
        ProblemType(
            "invalid-body",
            422,
            "The body says what can't be",
            "The body is JSON, but something in it is unknown or wrong. `pointer` (RFC 6901) says where, `allowed` what would "
            "have worked.",
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
            "Under one `Idempotency-Key` there is one request for 24 hours, to the last byte of its body. Take a new key for "
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
            "What is there is changed only by who says which version they know: send the `ETag` that you read as `If-Match`, "
            "or `*` for whatever there is; in a changeset, the `version` as `if_match`.",
            "The city `san-diego-ca` is there already: send the `ETag` that you read as `If-Match`.",
            (
                {
                    "parameter": "If-Match",
                    "code": "precondition-required",
                    "detail": "The city `san-diego-ca` is there already: send the `ETag` that you read as `If-Match`.",
                },
            ),
        ),
        ProblemType(
            "too-many-requests",
            429,
            "Too many requests",
            "You asked more often than the limit allows: `RateLimit-Policy` says which one that is. Wait for as many seconds "
            "as `Retry-After` says.",
            "The limit `writes` is 600 in 60 seconds; come back in 12.",
            (
                {
                    "parameter": "Authorization",
                    "code": "too-many-requests",
                    "detail": "The limit `writes` is 600 in 60 seconds; come back in 12.",
                    "allowed": {"maximum": 600, "seconds": 60},
                },
            ),
        ),
        ProblemType(
            "internal-error",
            500,
            "We made a mistake",
            "The fault is ours, and it is in our log under the `request_id`. Trying again may help.",
            "Something went wrong on our side; the log has it under the request_id.",
        ),
        ProblemType(
            "unavailable",
            503,
            "Not available at the moment",
            "The database is unreachable, busy, not migrated, or behind its primary, or as many lists are being streamed, or "
            "changes waited for, as can be at once. Try again after as many seconds as `Retry-After` says.",
            "The database cannot be reached.",
        ),
    )
}
BY_STATUS = {row.status: row for row in reversed(PROBLEMS.values())} | {400: PROBLEMS["bad-request"]}
