"""The log: one line for each event, without control characters, traces, parameters of statements or values of rows."""

import json
import logging
import re
import threading
import time
import traceback
from typing import Any

from sqlalchemy.exc import DBAPIError

NAME = "api"
# What ends a line, moves the cursor or reorders text in a terminal: control and format characters, and Unicode's line ends.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
# PostgreSQL's class of errors whose messages quote values (data_exception), and the beginning of SQLite's that quote a search.
QUOTING_CLASS, QUOTING_MESSAGE = "22", "fts5:"
# Seconds in which a logger made by `sparing` repeats no warning.
PAUSE = 1.0


def escaped(text: str) -> str:
    """Return a text with its control characters as escapes, so that it stays on one line."""
    return UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def code_of(error: DBAPIError) -> str:
    """Return SQLite's name or PostgreSQL's code of an error; empty if it has none."""
    return str(getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or "")


def describe(error: BaseException) -> str:
    """Return the type and the message of an error; of a database's error only what quotes no values."""
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: {error}"
    code = code_of(error)
    message = getattr(getattr(error.orig, "diag", None), "message_primary", None) or str(error.orig)
    is_quoting = code.startswith(QUOTING_CLASS) or message.startswith(QUOTING_MESSAGE)
    return f"{type(error.orig).__name__} {code or 'without a code'}{'' if is_quoting else f': {message}'}"


def _explained(error: BaseException) -> str:
    """Return an error and its causes, each with the innermost function of ours that raised it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_globals.get("__name__", "").startswith(NAME)] or frames
    places = [f" in {frame.f_globals.get('__name__')}.{frame.f_code.co_name}:{frame.f_lineno}" for frame in ours[-1:]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    # SQLAlchemy's errors have the driver's as their cause, whose message quotes values.
    has_told = isinstance(error, DBAPIError)
    return describe(error) + "".join(places) + (f"; caused by {_explained(cause)}" if cause and not has_told else "")


class LineFormatter(logging.Formatter):
    """Writes an event as one line: time in UTC, level, logger, message and, after a failure, the errors without a trace."""

    converter = staticmethod(time.gmtime)
    default_time_format, default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1]:
            line += f": {_explained(record.exc_info[1])}"
        return escaped(line)


class JsonFormatter(LineFormatter):
    """Writes the same as an object of JSON in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1]:
            event["error"] = _explained(record.exc_info[1])
        return json.dumps(event)


FORMATTERS = {"text": LineFormatter, "json": JsonFormatter}
# The same for granian, as `logging.config.dictConfig` takes it. Standard output is for the access log.
HANDLERS = {"console": "generic", "access": "access"}
SERVER_LOGS = {
    name: {
        "formatters": {key: {"()": formatter} for key in HANDLERS.values()},
        "handlers": {
            key: {"formatter": form, "class": "logging.StreamHandler", "stream": "ext://sys.stderr"}
            for key, form in HANDLERS.items()
        },
    }
    for name, formatter in FORMATTERS.items()
}


class Sparing(logging.Filter):
    """Lets a warning pass at most once in `PAUSE` seconds, and then tells how many it has dropped. Errors pass always."""

    def __init__(self) -> None:
        """Begin without a warning."""
        super().__init__()
        self.lock = threading.Lock()
        # By the text of a warning without its arguments: when it passed, and since then the last dropped one and their number.
        self.passed: dict[str, float] = {}
        self.dropped: dict[str, tuple[logging.LogRecord, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log an event."""
        if record.levelno >= logging.ERROR:
            return True
        text, now = record.msg, time.monotonic()
        with self.lock:
            wait = self.passed.get(text, now - PAUSE) + PAUSE - now
            if wait > 0:
                _, count = self.dropped.get(text, (record, 0))
                self.dropped[text] = (record, count + 1)
                if not count:
                    # The process waits for this thread before it ends.
                    threading.Timer(wait, self._tell, [text]).start()
                return False
            self.passed[text] = now
            _, count = self.dropped.pop(text, (record, 0))
        _add_count(record, count)
        return True

    def _tell(self, text: str) -> None:
        """Log the last dropped warning of a text, unless another one has told of it since."""
        with self.lock:
            record, count = self.dropped.pop(text, (None, 0))
            if record is None:
                return
            self.passed[text] = time.monotonic()
        _add_count(record, count - 1)
        logging.getLogger(record.name).callHandlers(record)


def _add_count(record: logging.LogRecord, count: int) -> None:
    if count:
        record.msg, record.args = f"{record.getMessage()} ({count} more since the last line)", ()


def sparing(name: str) -> logging.Logger:
    """Return the logger of a module whose warnings can come with every request of an outage."""
    logger = logging.getLogger(name)
    if not any(isinstance(filter, Sparing) for filter in logger.filters):
        logger.addFilter(Sparing())
    return logger


def register(format: str = "text", level: str = "warning") -> None:
    """Write the log of the project to standard error, unless the process has set up logging itself."""
    logger: Any = logging.getLogger(NAME)
    if logger.hasHandlers() and not hasattr(logger, "ours"):
        return
    if not logger.hasHandlers():
        logger.ours = logging.StreamHandler()
        logger.addHandler(logger.ours)
    logger.ours.setFormatter(FORMATTERS[format]())
    logger.setLevel(level.upper())
