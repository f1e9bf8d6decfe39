"""Writers, readers and copies that use a cluster while it fails; each notes what it was told and what it was told wrong."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support.cluster import CHANCE, Cluster
from tests.support.copies import city
from tests.support.http import Answer, ask
from tests.support.mirrors import JAVASCRIPT, PYTHON, JavaScriptCopy, Key, PythonCopy, load
from tests.support.node import Node, NodeError

# What a client sends again: no answer, and the statuses of a proxy or a server without its database.
AGAIN = {0, 502, 503, 504}
WRITERS, READERS = 4, 2
# Seconds for the clients to end.
PATIENCE = 60
LIST = "/cities?limit=2&sort=-id"
Json = dict[str, Any]


class Write(NamedTuple):
    """A write as it was acknowledged."""

    at: float
    id: str
    version: int
    document: Json
    tag: str


@dataclass
class Crowd:
    """Clients of a cluster, and what they have seen."""

    cluster: Cluster
    secret: str
    name: str
    folder: Path
    acknowledged: list[Write] = field(default_factory=list)
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: {"writes": Counter(), "reads": Counter()})
    # Every document that anyone saw, by its version, and the cursors and tags that readers keep.
    seen: dict[int, tuple[str, str, Json | None]] = field(default_factory=dict)
    cursors: dict[int, str] = field(default_factory=dict)
    kept: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    # The versions that an answer called lost, and the ids of records that a writer was told do not exist.
    told: set[int] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    repairs: int = 0
    copies: dict[str, dict[Key, Json]] = field(default_factory=dict)
    has_ended: threading.Event = field(default_factory=threading.Event)
    # The version to which the copies have to come in the end.
    target: int = 0
    at_target: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Start all clients."""
        self.pool = ThreadPoolExecutor(WRITERS + READERS + 4)
        work: list[Callable[[], None]] = [lambda number=number: self.write(number) for number in range(WRITERS)]  # type: ignore[misc]
        self.writing = [self.pool.submit(job) for job in work]
        jobs = [
            *[self.read] * READERS,
            lambda: self.follow("cursor"),
            lambda: self.follow("since"),
            self.mirror,
            self.mirror_by_node,
        ]
        self.reading = [self.pool.submit(job) for job in jobs]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what still runs."""
        self.target = 0
        self.has_ended.set()
        self.at_target.set()
        self.pool.shutdown()

    def end_writes(self) -> None:
        """Stop the writers, each after its last answer."""
        self.has_ended.set()
        for future in self.writing:
            future.result(timeout=PATIENCE)

    def end_reads(self, version: int) -> None:
        """Let the copies come to a version, and stop."""
        self.target = version
        self.at_target.set()
        late = wait(self.reading, timeout=PATIENCE).not_done
        self.wrong += ["a copy did not come to the last version"] * len(late)
        self.target = 0
        for future in self.reading:
            future.result(timeout=PATIENCE)

    # --- one request

    def ask(self, kind: str, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Return the answer of the public address, and count its status."""
        try:
            answer = ask(
                f"{self.cluster.public}{path}", method, body, {name.replace("_", "-"): text for name, text in headers.items()}
            )
        except OSError:
            answer = Answer(0, {}, b"")
        self.statuses[kind][answer.status] += 1
        return answer

    def persist(self, kind: str, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Send a request until it has an answer of the API."""
        while (answer := self.ask(kind, path, method, body, **headers)).status in AGAIN:
            assert not self.at_target.is_set(), "the writers have ended"
            time.sleep(0.1)
        return answer

    def see(self, kind: str, id: str, version: int, document: Json | None) -> None:
        """Note a document; a version has one."""
        if self.seen.setdefault(version, (kind, id, document)) != (kind, id, document):
            self.wrong.append(f"version {version} is {kind}/{id} and {self.seen[version][:2]}, or has two documents")

    # --- writers

    def write(self, number: int) -> None:
        """Create cities and change them, each with a key of its own, and read each write."""
        id = ""
        for turn in itertools.count():
            if self.has_ended.is_set():
                return
            token = f"{self.name}-{number}-{turn}"
            if id:
                words: dict[str, Any] = {
                    "method": "PATCH",
                    "path": f"/cities/{id}",
                    "body": {"summary": f"{token}."},
                    "If_Match": "*",
                }
            else:
                words = {"method": "POST", "path": "/cities", "body": city(f"{token}-zz", summary=f"{token}.")}
            answer = self.persist("writes", **words, Authorization=f"Bearer {self.secret}", Idempotency_Key=token)
            if answer.status in {200, 201}:
                document = answer.json["data"]
                if document["summary"] != f"{token}.":
                    self.wrong.append(f"{token} was acknowledged as {document}")
                self.acknowledged.append(
                    Write(time.monotonic(), document["id"], document["version"], document, answer.headers["etag"])
                )
                self.see("cities", document["id"], document["version"], document)
                self.read_own(document)
                id = "" if id else document["id"]
            elif id and answer.status in {404, 412}:
                self.gone.add(id)
                id = ""
            else:
                self.wrong.append(f"{token} got {answer.status}: {answer.body[:300]!r}")
                id = ""

    def read_own(self, document: Json) -> None:
        """Read what was just written."""
        version = document["version"]
        answer = self.persist("reads", f"/cities/{document['id']}?min_version={version}")
        if answer.status == 410:
            self.told.add(version)
        elif answer.status != 200 or answer.json["data"] != document:
            self.wrong.append(f"version {version} was read as {answer.status}: {answer.body[:200]!r}")

    # --- readers

    def newest(self) -> int:
        """Return the version of the last acknowledged write, of which a reader can know; 0 if it was told that this is lost."""
        version = self.acknowledged[-1].version if self.acknowledged else 0
        return 0 if version in self.told else version

    def read(self) -> None:
        """Read lists and records by their tags, and lists that are at least as new as what was read and written before."""
        highest = 0
        while not self.has_ended.is_set():
            path = f"/cities/{CHANCE.choice(self.acknowledged[-20:]).id if self.acknowledged else 'boston-ma'}"
            tag, _ = self.kept.get(path, ("", b""))
            answer = self.ask("reads", path, **({"If_None_Match": tag} if tag else {}))
            if answer.status == 200:
                self.kept[path] = answer.headers["etag"], answer.body
                document = answer.json["data"]
                self.see("cities", document["id"], document["version"], document)
            highest = max(highest, self.newest())
            answer = self.ask("reads", f"{LIST}&min_version={highest}")
            if answer.status == 200:
                version = answer.json["meta"]["version"]
                if version < highest:
                    self.wrong.append(f"a list at {version} was the answer to min_version={highest}")
                highest = max(highest, version)
            elif answer.status == 410:
                self.told.add(highest)
                highest = 0
            time.sleep(0.02)

    def follow(self, by: str) -> None:
        """Keep a copy by the feed, with cursors or with bare versions, that has what was written before."""
        copy: dict[Key, Json] = {}
        place, version = "since=0", 0
        while version < self.target or not self.at_target.is_set():
            known = self.newest()
            answer = self.ask("reads", f"/changes?{place}&limit=1000&min_version={known}")
            if answer.status == 200:
                page = answer.json
                for row in page["data"]:
                    self.see(row["kind"], row["id"], row["version"], row.get("document"))
                    copy[row["kind"], row["id"]] = row.get("document")
                version = page["head"] if page["links"]["next"] is None else page["data"][-1]["version"]
                self.cursors[version] = page["cursor"]
                place = f"cursor={page['cursor']}" if by == "cursor" else f"since={version}"
            elif answer.status == 410 and answer.json["errors"][0]["parameter"] == "min_version":
                self.told.add(known)
            elif answer.status == 410:
                self.told.add(version)
                copy, place, version = {}, "since=0", 0
            time.sleep(0.1)
        self.copies[by] = {key: document for key, document in copy.items() if document is not None}

    # --- the clients of clients/

    def mirror(self) -> None:
        """Keep a copy by the Python client; its repairs are answers that were wrong."""
        client, copy = load(PYTHON), PythonCopy(self.folder / "copy.sqlite3")
        prove = client.verify

        def verify(*arguments: Any) -> None:
            self.repairs += prove(*arguments)

        client.verify = verify
        self.keep(lambda: client.mirror(self.cluster.public, copy.store, patience=1), OSError)
        self.copies["python"] = copy.records()

    def mirror_by_node(self) -> None:
        """Keep a copy by the JavaScript client."""
        with Node(JAVASCRIPT) as node:
            copy = JavaScriptCopy(node)
            self.keep(lambda: copy.mirror(self.cluster.public, patience=1), NodeError)
            self.copies["javascript"] = copy.records()

    def keep(self, go_on: Callable[[], int], failure: type[Exception]) -> None:
        """Bring a copy up to date again and again, until it is at the target."""
        version = 0
        while version < self.target or not self.at_target.is_set():
            try:
                version = go_on()
            except RuntimeError as error:
                self.wrong.append(str(error))
            except (failure, ValueError) as error:
                if "repaired" in str(error):
                    self.wrong.append(str(error))
            time.sleep(0.1)
