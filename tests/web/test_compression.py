"""Compressed answers: which coding a client gets, and that one entity tag always names the same bytes."""

import gzip
import re
import sys

import brotli
import pytest
from flask.testing import FlaskClient

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODERS = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}


@pytest.mark.parametrize("coding", DECODERS)
@pytest.mark.parametrize("path", ["/cities", "/citations.csv"])
def test_one_tag_names_the_same_bytes(client: FlaskClient, path: str, coding: str) -> None:
    """Pages and streams decode to the plain body, have separate tags, and contain no time."""
    # Each is read to its end before the next one: one client may hold only some of the places for streams.
    plain, first, second = (
        client.get(path, headers={"Accept-Encoding": one}, buffered=True) for one in ("identity", coding, coding)
    )
    assert first.headers["Content-Encoding"] == coding
    assert DECODERS[coding](first.get_data()) == plain.get_data()
    assert first.headers["ETag"] == re.sub('"$', f':{coding}"', plain.headers["ETag"])
    assert (first.get_data(), first.headers["ETag"]) == (second.get_data(), second.headers["ETag"])
    # The header of gzip has a field for the time of compression; 0 means no time (RFC 1952, 2.3).
    assert coding != "gzip" or first.get_data()[4:8] == bytes(4)
    unchanged = client.get(path, headers={"Accept-Encoding": coding, "If-None-Match": first.headers["ETag"]})
    assert (unchanged.status_code, unchanged.get_data(), unchanged.headers["ETag"]) == (304, b"", first.headers["ETag"])


def test_what_is_not_compressed(client: FlaskClient) -> None:
    """A small body and a problem are sent uncompressed to every client."""
    for path in ("/cities?limit=1&fields=id", "/nowhere"):
        response = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert (response.headers.get("Content-Encoding"), response.is_json) == (None, True)
    small = client.get("/cities?limit=1&fields=id", headers={"Accept-Encoding": "gzip"}).headers["ETag"]
    unchanged = client.get("/cities?limit=1&fields=id", headers={"Accept-Encoding": "gzip", "If-None-Match": small})
    assert (unchanged.status_code, unchanged.headers["ETag"]) == (304, small)
