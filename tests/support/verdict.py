"""What a cluster's clients were told, compared with what its primary has in the end."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.cluster import Cluster
from tests.support.crowd import Crowd, Json, Write
from tests.support.http import ask
from tests.support.mirrors import Key

REVISIONS = "select version, kind, id, document from revision"
CURRENT = "select kind, id, document from revision where superseded is null and op = 'upsert'"
# How many of the lost versions, and of the tags, are asked about.
ASKED = 12


@dataclass(frozen=True)
class Truth:
    """What the primary has: every revision by its version, and the current documents."""

    revisions: dict[int, tuple[str, str, Json | None]]
    current: dict[Key, Json]

    def has(self, version: int, seen: tuple[str, str, Json | None]) -> bool:
        """Return whether it has a version as someone saw it; the feed shows a record's last version only."""
        return self.revisions.get(version) == seen


def truth_of(cluster: Cluster) -> Truth:
    """Read everything from the primary by SQL."""
    with psycopg.connect(cluster.address()) as connection:
        revisions = connection.execute(REVISIONS).fetchall()
        current = connection.execute(CURRENT).fetchall()
    return Truth(
        {version: (kind, id, document and json.loads(document)) for version, kind, id, document in revisions},
        {(kind, id): json.loads(document) for kind, id, document in current},
    )


@dataclass
class Verdict:
    """The comparison."""

    cluster: Cluster
    crowd: Crowd
    truth: Truth

    def lost(self) -> list[Write]:
        """Return the acknowledged writes that the primary does not have."""
        return [row for row in self.crowd.acknowledged if not self.truth.has(row.version, ("cities", row.id, row.document))]

    def seen_and_lost(self) -> list[int]:
        """Return the versions that anyone saw and the primary does not have."""
        return sorted(version for version, seen in self.crowd.seen.items() if not self.truth.has(version, seen))

    def wrong(self) -> Iterator[str]:
        """Yield every wrong answer."""
        yield from self.crowd.wrong
        yield from self.false_alarms()
        lost = self.seen_and_lost()
        for version in random.sample(lost, min(ASKED, len(lost))):
            yield from self.untold(version)
        for write in self.lost()[-ASKED:]:
            yield from self.mistaken(write)
        yield from self.stale_tags()
        if self.crowd.repairs:
            yield f"the Python client repaired {self.crowd.repairs} buckets"
        yield from (f"the copy by {name} differs" for name, copy in self.crowd.copies.items() if copy != self.truth.current)

    def verified(self) -> int:
        """Return the number of copies that are complete and right."""
        return sum(copy == self.truth.current for copy in self.crowd.copies.values())

    def false_alarms(self) -> Iterator[str]:
        """Yield each version that was called lost, and is there."""
        for version in self.crowd.told & self.truth.revisions.keys():
            if self.truth.has(version, self.crowd.seen.get(version, ("", "", None))):
                yield f"version {version} was called lost"
        yield from (f"{id} was called missing" for id in self.crowd.gone if ("cities", id) in self.truth.current)

    def untold(self, version: int) -> Iterator[str]:
        """Yield each request at a lost version that is answered as if it were there."""
        paths = [
            f"/changes?since={version}",
            f"{LIST}&min_version={version}",
            f"/digest?at={version}",
            f"/cities/boston-ma?as_of={version}",
        ]
        if cursor := self.crowd.cursors.get(version):
            paths.append(f"/changes?cursor={cursor}")
        for place in (self.cluster.public, self.cluster.behind):
            for path in paths:
                status, name = self.told(f"{place}{path}")
                if (status, name) != (410, "cursor-diverged"):
                    yield f"{path} of a lost version got {status} {name}"

    def told(self, url: str) -> tuple[int, str]:
        """Return the status and the problem of an answer."""
        answer = ask(url)
        return answer.status, answer.json["type"].rpartition("/")[2] if answer.status >= 400 else ""

    def mistaken(self, write: Write) -> Iterator[str]:
        """Yield each request with the tag of a lost write that is answered as if that were there."""
        url = f"{self.cluster.public}/cities/{write.id}"
        if (status := ask(url, headers={"If-None-Match": write.tag}).status) == 304:
            yield f"the tag of the lost version {write.version} got {status}"
        headers = {"If-Match": write.tag, "Authorization": f"Bearer {self.crowd.secret}"}
        if (status := ask(url, "PATCH", {"summary": "Mistaken."}, headers).status) not in {404, 412}:
            yield f"a write on the lost version {write.version} got {status}"

    def stale_tags(self) -> Iterator[str]:
        """Yield each kept answer whose tag is called current although the answer is another."""
        kept = list(self.crowd.kept.items())
        for path, (tag, body) in random.sample(kept, min(ASKED, len(kept))):
            for place in (self.cluster.public, self.cluster.behind):
                if ask(f"{place}{path}", headers={"If-None-Match": tag}).status == 304 and ask(f"{place}{path}").body != body:
                    yield f"the tag {tag} of {path} is not that of its answer"


LIST = "/cities?limit=2"


def counted(statuses: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return statuses as JSON has them."""
    return {kind: {str(status): number for status, number in sorted(rows.items())} for kind, rows in statuses.items()}
