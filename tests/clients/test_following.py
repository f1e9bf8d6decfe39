"""A mirror that waits for changes has each as soon as it is committed."""

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from werkzeug import Request, Response

from tests.support.copies import write
from tests.support.mirrors import CLIENT, Copy, JavaScriptCopy, PythonCopy, is_equal, on_sqlite
from tests.support.watched import Answer, Watched

SEEN = """
const save = store.save.bind(store);
store.save = async (...given) => {
  await save(...given);
  if (store.records.get("cities")?.has("a-zz")) throw Object.assign(new Error("seen"), { answer: new Response() });
};
try {
  await client.mirror(given, store, { follow: true, patience: 1 });
} catch (error) {
  if (error.message !== "seen") throw error;
}
"""


class SeenError(Exception):
    """Ends what would go on for ever."""


def following(copy: Copy, url: str) -> Future[None]:
    """Follow until there is a certain city, in a thread that no failure has to wait for."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            follow(copy, url)
            future.set_result(None)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def follow(copy: Copy, url: str) -> None:
    """Follow until there is a certain city."""
    if isinstance(copy, JavaScriptCopy):
        copy.node.run(SEEN, url)
        return
    assert isinstance(copy, PythonCopy)

    class Store(CLIENT.SQLiteStore):  # type: ignore[misc]
        """Knows what it waits for."""

        def save(self, cursor: str, changes: Iterable[Any], clear: Any = ()) -> None:
            """Write changes."""
            super().save(cursor, changes, clear)
            if "a-zz" in dict(self.records("cities")):
                raise SeenError

    store = Store(copy.file)
    try:
        CLIENT.mirror(url, store, follow=True, patience=1)
    except SeenError:
        pass
    finally:
        store.db.close()


@on_sqlite
def test_follows(server: Watched, copy: Copy) -> None:
    """Who follows has a change long before their wait of 25 seconds is over."""
    ending = following(copy, server.address)
    server.wait(lambda urls: any("wait=25" in url for url in urls))
    write(server.curator, "a-zz")
    committed = time.monotonic()
    ending.result(20)
    assert time.monotonic() - committed < 12
    assert server.paths() == ["/snapshot", "/changes", "/digest", "/changes"]
    assert is_equal(server, copy)


@on_sqlite
def test_follows_without_a_place_to_wait(server: Watched, copy: Copy) -> None:
    """Who is refused a long poll, since too many wait, goes on without one, for as long as that lasts."""

    def fault(request: Request, answer: Answer) -> Response:
        return Response("Too many wait.", 503, {"Retry-After": "0"}) if request.args.get("wait") == "25" else answer()

    server.fault = fault
    ending = following(copy, server.address)
    server.wait(lambda urls: sum("wait=25" in url for url in urls) >= 10)
    write(server.curator, "a-zz")
    ending.result(20)
    assert is_equal(server, copy)
