"""Waiting for commits: of all requests that wait in a process, one looks at the database and wakes the others."""

import threading
import time

from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from api.db.database import Database
from api.ledger import head
from api.ledger.head import DatasetState

# Between two looks for news: a commit is answered within a second, and time is left to answer it.
POLL_SECONDS = 0.25


class News:
    """Counts the changes of the dataset's state that somebody waited for."""

    def __init__(self, database: Database) -> None:
        """Look at nothing yet."""
        self.database = database
        self.count = 0
        self._state: DatasetState | None = None
        self._changed = threading.Condition()
        self._has_leader = False
        self.has_ended = False

    def is_over(self, deadline: float) -> bool:
        """Return whether nobody should wait any longer: after a deadline of `time.monotonic`, or when the server stops."""
        return self.has_ended or time.monotonic() >= deadline

    def end(self) -> None:
        """Wake all who wait, because the server stops."""
        with self._changed:
            self.has_ended = True
            self._changed.notify_all()

    def wait(self, count: int, deadline: float) -> None:
        """Return when ``self.count`` is no longer ``count``, or when the wait is over.

        Read ``count`` before you read the dataset: then no commit falls between your read and the wait.
        """
        with self._changed:
            while self.count == count and not self.is_over(deadline):
                remaining = max(0, deadline - time.monotonic())
                if self._has_leader:
                    self._changed.wait(remaining)
                else:
                    self._lead(min(POLL_SECONDS, remaining))

    def _lead(self, seconds: float) -> None:
        """Look at the database once, after some seconds; the lock is released meanwhile."""
        self._has_leader = True
        self._changed.release()
        try:
            time.sleep(seconds)
            state = self._look()
        finally:
            self._changed.acquire()
            self._has_leader = False
        if state != self._state:
            self._state = state
            self.count += 1
            self._changed.notify_all()
        else:
            # If the leader goes home now, this one takes over.
            self._changed.notify()

    def _look(self) -> DatasetState | None:
        """Return the state of the dataset; None if the database does not answer, which those who wait will see themselves."""
        try:
            with self.database.reading() as session:
                return head.state(session)
        except SQLAlchemyError:
            return None


def news(app: Flask = current_app) -> News:
    """Return the news of an application's database."""
    result: News = app.extensions["news"]
    return result
