"""Lists as files: their length, and parts of them."""

import pytest
from flask.testing import FlaskClient

from tests.support.answers import brief
from tests.support.databases import SQLITE_FIRST

FILES = ["/cities.csv", "/citations.ndjson?subject_kind=awards", "/awards.csv?fields=id&rank=999"]


@SQLITE_FIRST
@pytest.mark.parametrize("path", FILES)
def test_a_short_file_has_its_length(client: FlaskClient, path: str) -> None:
    """A file has its length, for HEAD, too, and its parts make it up."""
    whole = client.get(path)
    assert (whole.status_code, whole.headers["Accept-Ranges"]) == (200, "bytes")
    assert client.head(path).content_length == whole.content_length == len(whole.data)
    parts = b""
    while len(parts) < len(whole.data):
        part = client.get(path, headers={"Range": f"bytes={len(parts)}-{len(parts) + 999}"})
        end = min(len(parts) + 1000, len(whole.data))
        assert (part.status_code, part.headers["Content-Range"], part.headers["ETag"], part.content_length) == (
            206,
            f"bytes {len(parts)}-{end - 1}/{len(whole.data)}",
            whole.headers["ETag"],
            end - len(parts),
        )
        parts += part.data
    assert parts == whole.data


@SQLITE_FIRST
@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}], ids=["plain", "gzip"])
def test_a_part_of_the_same_version(client: FlaskClient, headers: dict[str, str]) -> None:
    """`If-Range` with the tag of the plain file gets a part, which is never compressed, and another tag gets the whole file."""
    whole = client.get("/cities.csv")
    part = client.get("/cities.csv", headers={**headers, "Range": "bytes=-5", "If-Range": whole.headers["ETag"]})
    assert (part.status_code, part.data, part.headers.get("Content-Encoding")) == (206, whole.data[-5:], None)
    for tag in ('"other"', f"W/{whole.headers['ETag']}"):
        other = client.get("/cities.csv", headers={"Range": "bytes=-5", "If-Range": tag})
        assert (other.status_code, other.data) == (200, whole.data)
    assert client.head("/cities.csv", headers={"Range": "bytes=-5"}).status_code == 200


@SQLITE_FIRST
@pytest.mark.parametrize(
    "range", ["bytes=-1000000", "bytes=0-1,5-6", "bytes=1000000-,2000000-", "lines=0-9", "bytes=9-0", "bytes", "bytes=x-"]
)
def test_other_ranges_get_the_whole_file(client: FlaskClient, range: str) -> None:
    """A suffix longer than the file, several ranges, another unit and what is none are ignored, as RFC 9110 allows."""
    whole = client.get("/cities.csv")
    answer = client.get("/cities.csv", headers={"Range": range})
    assert (answer.status_code, answer.data, "Content-Range" in answer.headers) == (200, whole.data, False)


@SQLITE_FIRST
@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("more", [0, 1, 10**30])
def test_a_range_behind_the_end(client: FlaskClient, path: str, more: int) -> None:
    """A range that begins at the end of a file or behind it gets a 416 with the length, so a complete copy is known to be one."""
    whole = client.get(path)
    length = len(whole.data)
    answer = client.get(path, headers={"Range": f"bytes={length + more}-"})
    assert answer.headers["Content-Range"] == f"bytes */{length}"
    detail = f"The file has {length} bytes, so no range begins at byte {length + more}."
    item = {"parameter": "Range", "code": "range-not-satisfiable", "detail": detail, "allowed": {"maximum": length - 1}}
    assert brief(answer) == (416, "range-not-satisfiable", [item])
    # The control: the last byte is there, and so is the whole of another version.
    assert client.get(path, headers={"Range": f"bytes={length - 1}-"}).data == whole.data[-1:]
    assert client.get(path, headers={"Range": f"bytes={length}-", "If-Range": '"other"'}).data == whole.data


@SQLITE_FIRST
def test_a_range_of_an_empty_file(client: FlaskClient) -> None:
    """A file of no bytes has no range; it is still answered as a whole."""
    path = "/awards.ndjson?rank=999"
    answer = client.get(path, headers={"Range": "bytes=0-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */0")
    assert (client.get(path).status_code, client.get(path).data) == (200, b"")


def test_a_long_file_is_streamed(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a file that is longer than a server keeps has no length and no parts, and the same bytes."""
    whole = client.get("/citations.ndjson?sort=id")
    monkeypatch.setattr("api.web.responses.WHOLE", 2)
    streamed = client.get("/citations.ndjson?sort=-id", headers={"Range": "bytes=0-9"})
    assert streamed.status_code == 200
    assert {"Accept-Ranges", "Content-Length"}.isdisjoint(streamed.headers.keys())
    assert sorted(streamed.data.splitlines()) == sorted(whole.data.splitlines())
