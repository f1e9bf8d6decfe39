"""Deliveries in any order of events."""

import datetime as dt
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import text

from api.db.database import Database
from api.webhooks import outbound
from api.webhooks.subscriptions import Webhook, WebhookState
from tests.support.databases import head
from tests.support.lengths import examples
from tests.support.webhooks import ATTEMPTS, NOW, Killed, change, deliver, every, resume, subscribe


@dataclass(frozen=True)
class Step:
    """What happens next."""

    what: str
    outcome: int | BaseException = 204
    passed: dt.timedelta = dt.timedelta()
    other: int | BaseException = 204


OUTCOMES: list[int | BaseException] = [204, 500, 302, 410, OSError(), outbound.Refused("No."), Killed()]
PASSED = [
    dt.timedelta(seconds=1),
    dt.timedelta(seconds=6),
    dt.timedelta(minutes=3),
    dt.timedelta(hours=1),
    dt.timedelta(days=2),
]
STEPS = st.one_of(
    st.builds(Step, st.sampled_from(["change", "resume"])),
    st.builds(Step, st.just("wait"), passed=st.sampled_from(PASSED)),
    st.builds(Step, st.sampled_from(["deliver", "deliver a change"]), st.sampled_from(OUTCOMES)),
    # Another sender takes this one for dead, and sends the message as well.
    st.builds(Step, st.just("deliver late"), st.sampled_from(OUTCOMES), other=st.sampled_from(OUTCOMES)),
    # A failure and a day, until it is paused.
    st.builds(Step, st.just("fail"), st.sampled_from([500, OSError()])),
)


class Story:
    """One receiver, and all that may happen to it; checks after each step what must always hold."""

    def __init__(self, database: Database) -> None:
        """Begin with nothing to tell."""
        self.database, self.now = database, NOW
        with database.writing() as session:
            session.execute(text("delete from webhooks"))
        self.id = subscribe(database).id
        self.told = head(database)
        self.known = self.there().told
        self.pending: tuple[str, bytes] | None = None
        self.faults: list[str] = []

    def there(self) -> Webhook:
        """Return the receiver as it is now."""
        (webhook,) = every(self.database)
        return webhook

    def deliver(self, outcome: int | BaseException, meanwhile: Callable[[], object] = lambda: None) -> int:
        """Send what is due, and let this come of it."""

        def post(_url: str, body: bytes, headers: dict[str, str], **_: Any) -> int:
            version = json.loads(body)["data"]["version"]
            if self.pending not in {None, (headers["webhook-id"], body)}:
                self.faults.append("two messages at once")
            if version < self.told:
                self.faults.append("older than what was told")
            self.pending = headers["webhook-id"], body
            meanwhile()
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome == 204:
                self.told = version
            return outcome

        with suppress(Killed):
            return deliver(self.database, loopback=False, clock=lambda: self.now, post=post)
        return 0

    def late(self, other: int | BaseException) -> None:
        """Let another sender do the same when this one seems to be dead."""
        self.now += dt.timedelta(minutes=2)
        self.deliver(other)

    def do(self, step: Step) -> None:
        """Do one thing."""
        if step.what == "change":
            change(self.database)
        elif step.what == "resume":
            resume(self.database, self.id)
        elif step.what == "wait":
            self.now += step.passed
        elif step.what == "fail":
            self.deliver(step.outcome)
            self.now += dt.timedelta(days=2)
        else:
            happens: dict[str, Callable[[], object]] = {
                "deliver": lambda: None,
                "deliver a change": lambda: change(self.database),
                "deliver late": lambda: self.late(step.other),
            }
            self.deliver(step.outcome, happens[step.what])
        self.check()

    def check(self) -> None:
        """See what must always hold."""
        assert self.faults == []
        row = self.there()
        assert self.known <= row.told <= self.told <= head(self.database)
        self.known = row.told
        if row.message is None:
            self.pending = None
            assert row.due_at is None
            assert row.attempts == 0
        else:
            assert self.pending == (row.message, (row.message_body or "").encode())
        assert (row.due_at is None) == (row.message is None or row.state is WebhookState.PAUSED)
        assert row.attempts <= len(ATTEMPTS)

    def end(self) -> None:
        """Let the receiver be reachable at last: it is told of the newest version, once."""
        self.do(Step("resume"))
        for _ in range(2):
            self.do(Step("wait", passed=dt.timedelta(days=2)))
            self.do(Step("deliver"))
        assert self.told == self.there().told == head(self.database)
        self.do(Step("wait", passed=dt.timedelta(days=2)))
        assert self.deliver(204) == 0


def tell(database: Database, steps: list[Step]) -> None:
    """Tell a story to its end."""
    story = Story(database)
    for step in steps:
        story.do(step)
    story.end()


ANYTHING = given(steps=st.lists(STEPS, max_size=12))
FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@limits(max_examples=examples(25), deadline=None, suppress_health_check=FIXTURE)
@ANYTHING
def test_whatever_happens(database: Database, steps: list[Step]) -> None:
    """Whatever happens in whatever order, there is one message at a time, never an older one, and in the end the newest is told."""
    tell(database, steps)


@pytest.mark.slow
@limits(max_examples=150, deadline=None, suppress_health_check=FIXTURE)
@given(steps=st.lists(STEPS, max_size=40))
def test_whatever_happens_at_length(database: Database, steps: list[Step]) -> None:
    """The same, at length."""
    tell(database, steps)
