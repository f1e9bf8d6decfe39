"""A network and a server that fail, lie or cut their answers short."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from werkzeug import Request, Response

from tests.support.answers import Json
from tests.support.copies import undo, write
from tests.support.editions import SEEDED
from tests.support.mirrors import CLIENT, GAVE_UP, Copy, JavaScriptCopy, PythonCopy, is_equal, on_sqlite
from tests.support.node import Node, NodeError
from tests.support.processes import unused_port
from tests.support.watched import Answer, Watched, as_it_is


def unavailable(path: str, times: int, after: str | None = "0") -> Callable[[Request, Answer], Response]:
    """Return the fault of a server that can't answer a path so many times."""
    left = [None] * times
    headers = {} if after is None else {"Retry-After": after}

    def fault(request: Request, answer: Answer) -> Response:
        if request.path == path and left:
            left.pop()
            return Response("Not now.", 503, headers)
        return answer()

    return fault


@on_sqlite
def test_unavailable(seeds: Watched, copy: Copy) -> None:
    """A server that is unavailable is asked again `patience` times in a row, whatever it can't answer; then that is raised."""
    for path in ("/snapshot", "/changes", "/digest"):
        seeds.fault = unavailable(path, 1_000)
        with pytest.raises(GAVE_UP, match="503"):
            copy.mirror(seeds.address, patience=3)
        assert (path, seeds.paths().count(path)) == (path, 4)
    seeds.fault = unavailable("/digest", 3)
    assert copy.mirror(seeds.address, patience=3) == SEEDED
    assert is_equal(seeds, copy)


@on_sqlite
def test_comes_back_when_it_is_told_to(seeds: Watched, tmp_path: Path, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries is as much time as `Retry-After` says; a second where it says none, or a date."""
    pauses: list[float] = []
    monkeypatch.setattr(CLIENT, "time", SimpleNamespace(sleep=pauses.append))
    copy = PythonCopy(tmp_path / "copy.sqlite3")
    for after in ("7", None, "Mon, 02 Dec 2024 09:30:00 GMT"):
        seeds.fault = unavailable("/changes", 2, after)
        copy.mirror(seeds.address)
    assert pauses == [7, 7, 1, 1, 1, 1]
    copy.store.db.close()
    seeds.fault = unavailable("/changes", 1, "2")
    began = time.monotonic()
    JavaScriptCopy(node).mirror(seeds.address)
    assert time.monotonic() - began >= 2


@on_sqlite
@pytest.mark.parametrize(("path", "options", "status"), [("/nowhere", {}, "404"), ("", {"limit": 0}, "400")])
def test_what_will_not_get_better(seeds: Watched, copy: Copy, path: str, options: Json, status: str) -> None:
    """What another try can't change is raised at once."""
    with pytest.raises(GAVE_UP, match=status):
        copy.mirror(seeds.address + path, **options)
    assert seeds.paths() == ([f"{path}/snapshot"] if path else ["/snapshot", "/changes"])


def test_nobody_is_there(copy: Copy) -> None:
    """A server that does not answer at all is tried again, and then that is raised."""
    began = time.monotonic()
    with pytest.raises(GAVE_UP):
        copy.mirror(f"http://127.0.0.1:{unused_port()}", patience=1)
    assert time.monotonic() - began >= 1


def cut(data: bytes, request: Request) -> Iterator[bytes]:
    """Send the half of a body, and close the connection."""
    yield data[: len(data) // 2]
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    yield data[len(data) // 2 :]


def lines(data: bytes) -> bytes:
    """Return the first half of lines."""
    some = data.splitlines(keepends=True)
    return b"".join(some[: len(some) // 2])


GZIP = {"Content-Encoding": "gzip"}
TRUNCATED: dict[str, Callable[[Request, bytes], Response]] = {
    "connection closed": lambda request, data: Response(cut(data, request)),
    "connection closed, length known": lambda request, data: Response(
        cut(data, request), headers={"Content-Length": str(len(data))}
    ),
    "within a line": lambda _, data: Response(data[: len(data) // 2]),
    "after a line": lambda _, data: Response(lines(data)),
    "after the first line": lambda _, data: Response(data[: data.index(b"\n") + 1]),
    "empty": lambda _, __: Response(b""),
    "compressed, connection closed": lambda request, data: Response(cut(gzip.compress(data), request), headers=GZIP),
    "compressed, within": lambda _, data: Response(gzip.compress(data)[:-50], headers=GZIP),
    "compressed, after a line": lambda _, data: Response(gzip.compress(lines(data)), headers=GZIP),
}


def plain(response: Response) -> bytes:
    """Return the body without compression."""
    data = response.get_data()
    response.close()
    return gzip.decompress(data) if response.headers.get("Content-Encoding") == "gzip" else data


@on_sqlite
def test_truncated_snapshot(seeds: Watched, copy: Copy) -> None:
    """Of a snapshot that is cut, in whatever way, nothing is ever in the copy."""

    def fault(request: Request, answer: Answer) -> Response:
        return TRUNCATED[way](request, plain(answer())) if request.path == "/snapshot" else answer()

    seeds.fault = fault
    for way in TRUNCATED:
        with pytest.raises(GAVE_UP):
            copy.mirror(seeds.address, patience=0)
        assert (way, seeds.paths(), copy.cursor(), copy.records()) == (way, ["/snapshot"], None, {})
    seeds.fault = as_it_is
    copy.mirror(seeds.address)
    assert is_equal(seeds, copy)


@on_sqlite
def test_truncated_page(server: Watched, copy: Copy) -> None:
    """Of a page that is cut nothing is in the copy, and it is asked for again."""
    copy.mirror(server.address)
    before = copy.cursor()
    write(server.curator, "a-zz")
    server.fault = lambda request, answer: TRUNCATED[way](request, plain(answer()))
    for way in ("connection closed", "connection closed, length known", "within a line", "empty"):
        with pytest.raises(GAVE_UP):
            copy.mirror(server.address, patience=0)
        assert (way, copy.cursor(), len(copy.records())) == (way, before, SEEDED)
    server.fault = as_it_is
    copy.mirror(server.address)
    assert is_equal(server, copy)


@on_sqlite
def test_compressed(seeds: Watched, copy: Copy) -> None:
    """The snapshot comes compressed, and every other answer is read when something on the way has compressed it."""
    codings: dict[str, str | None] = {}

    def fault(request: Request, answer: Answer) -> Response:
        response = answer()
        codings[request.path] = response.headers.get("Content-Encoding")
        if request.path == "/snapshot":
            return response
        return Response(gzip.compress(plain(response)), content_type=response.content_type, headers=GZIP)

    seeds.fault = fault
    copy.mirror(seeds.address)
    assert (codings["/snapshot"], [*codings]) == ("gzip", ["/snapshot", "/changes", "/digest"])
    assert is_equal(seeds, copy)


def lie(response: Response, change: Callable[[Json], None]) -> Response:
    """Change a body."""
    body = json.loads(plain(response))
    change(body)
    return Response(json.dumps(body), content_type="application/json")


LIES: dict[str, Callable[[Json], None]] = {
    "root": lambda data: data.update(root="0" * 64),
    "hash": lambda data: data["nouns"]["cities"].update(root="0" * 64) or data.update(root="0" * 64),
    "noun": lambda data: data["nouns"].pop("cities") and data.update(root="0" * 64),
}


@on_sqlite
def test_a_server_that_lies(seeds: Watched, copy: Copy) -> None:
    """A digest that no copy can have ends in an error, at once and without an endless loop."""

    def fault(request: Request, answer: Answer) -> Response:
        return lie(answer(), lambda body: LIES[what](body["data"])) if request.path == "/digest" else answer()

    seeds.fault = fault
    for what in LIES:
        with pytest.raises((RuntimeError, NodeError), match="can't be repaired"):
            copy.mirror(seeds.address)
        assert (what, seeds.paths().count("/digest")) == (what, 1)


@on_sqlite
def test_lost_for_ever(seeds: Watched, copy: Copy) -> None:
    """A server that takes no cursor, not even the one that it has just given, ends in an error."""

    def fault(request: Request, answer: Answer) -> Response:
        return Response("Gone.", 410) if request.path == "/changes" else answer()

    seeds.fault = fault
    with pytest.raises(GAVE_UP, match="410"):
        copy.mirror(seeds.address, patience=2)
    assert seeds.paths() == ["/snapshot", "/changes"] * 4


@on_sqlite
def test_old_while_the_new_is_on_its_way(server: Watched, copy: Copy) -> None:
    """A copy that begins again keeps what it has until it has the new."""
    write(server.curator, "a-zz")
    copy.mirror(server.address)
    undo(server.database, SEEDED)
    server.fault = unavailable("/snapshot", 1_000)
    with pytest.raises(GAVE_UP, match="503"):
        copy.mirror(server.address, patience=1)
    assert (copy.cursor(), len(copy.records())) == (None, SEEDED + 1)
