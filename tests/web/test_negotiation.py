"""Media types and codings that are preferred: as browsers, libraries and Java ask for them."""

import pytest
from flask.testing import FlaskClient

from api.web.negotiation import accepts_coding, preferred_coding, preferred_types

JSON, CSV, NDJSON, HTML = "application/json", "text/csv", "application/x-ndjson", "text/html"
ATOM = "application/atom+xml"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8"
SAFARI = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JAVA_8 = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"
JAVA_21 = "text/html, image/gif, image/jpeg, */*; q=0.2"
AXIOS, ANYTHING = "application/json, text/plain, */*", "*/*"


@pytest.mark.parametrize("accept", [CHROME, FIREFOX, SAFARI])
def test_browsers(client: FlaskClient, accept: str) -> None:
    """A browser gets a page if the path has one, and otherwise JSON."""
    pages = (
        "/",
        "/problems",
        "/docs",
        "/cities",
        "/cities/boston-ma",
        "/cities/boston-ma/history",
        "/search?q=boston",
        "/nowhere",
    )
    for path, media_type in (*((path, HTML) for path in pages), ("/digest", JSON), ("/enums", JSON)):
        assert (path, client.get(path, headers={"Accept": accept}).mimetype) == (path, media_type)


@pytest.mark.parametrize("accept", [JAVA_8, JAVA_21, AXIOS, ANYTHING, ""])
def test_programs(client: FlaskClient, accept: str) -> None:
    """Java, axios, fetch and curl get JSON wherever there is JSON."""
    for path in ("/", "/problems", "/cities", "/cities/boston-ma", "/search?q=boston", "/changes", "/digest", "/openapi.json"):
        assert (path, client.get(path, headers={"Accept": accept}).mimetype) == (path, JSON)
    for path, media_type in (("/docs", HTML), ("/snapshot", NDJSON)):
        assert client.get(path, headers={"Accept": accept}, buffered=True).mimetype == media_type


@pytest.mark.parametrize(
    ("accept", "types"),
    [
        ("", (JSON, CSV, NDJSON, HTML, ATOM)),
        (" , ", (JSON, CSV, NDJSON, HTML, ATOM)),
        ("*", (JSON, CSV, NDJSON, HTML, ATOM)),
        (JAVA_8, (JSON, CSV, NDJSON, HTML, ATOM)),
        ("text/html, *; q=.2", (HTML, JSON, CSV, NDJSON, ATOM)),
        ("text/*", (CSV, HTML)),
        ("text/csv, */*", (CSV, JSON, NDJSON, HTML, ATOM)),
        ("text/csv;q=.5, application/json;q=.4", (CSV, JSON)),
        ("text/csv;q=0.5,application/json;Q=1.", (JSON, CSV)),
        ("TEXT/CSV; charset=utf-8; header=present ; q = 0.5", (CSV,)),
        ('application/json;note="a, b; c";q=1', (JSON,)),
        ("application/json;q=0, */*", (CSV, NDJSON, HTML, ATOM)),
        ("application/json;q=x", (JSON, CSV, NDJSON, HTML, ATOM)),
        ("image/png", ()),
        ("text/csv;q=0", ()),
    ],
)
def test_which_types(accept: str, types: tuple[str, ...]) -> None:
    """The types that a header allows are ordered by weight, then by specificity, then by our preference."""
    assert preferred_types(accept) == types


def test_only_the_beginning_is_read() -> None:
    """An item behind the first 1,000 characters of a header has no effect; the control: one before them has."""
    for padding, is_read in ((" " * 900, True), (" " * 1_000, False), ("a/b;" + " " * 1_000, False)):
        assert (CSV in preferred_types(f"image/png,{padding},text/csv")) == is_read
        assert (preferred_coding(f"identity;q=0.5,{padding},gzip") == "gzip") == is_read
        assert accepts_coding(f"identity,{padding},gzip", "gzip") == is_read


@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip;q=0", None),
        ("gzip; q=0", None),
        ("gzip;q=0, *;q=0.1", "zstd"),
        ("br;q=0.4, gzip;q=0.5", "gzip"),
        ("br;q=.4, gzip;q=.5", "gzip"),
        ("identity;q=.5, gzip;q=.4", None),
        ("br; q=0.4, gzip; q=0.5", "gzip"),
        ("identity;q=0.5, gzip;q=0.4", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("*", "zstd"),
        ("*;q=0", None),
        ("gzip, *;q=0", "gzip"),
        ("deflate", None),
    ],
)
def test_which_coding(accept_encoding: str, coding: str | None) -> None:
    """A client gets the coding that it prefers, ours among equals, and never one that it refuses."""
    assert preferred_coding(accept_encoding) == coding
