"""Logging is set up here and nowhere else: one line for each record, on stderr, as text or as JSON."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

from sidecar.config.settings import Log


def set_up(settings: Log) -> None:
    """Send all records from `settings.level` up to stderr, replacing what was set up before.

    Access lines are INFO; `settings.access` alone decides about them.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if settings.format == "json" else _Text())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    for library in ("alembic", "sqlalchemy"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("sidecar.access").setLevel(logging.INFO if settings.access else logging.WARNING)


class _Text(logging.Formatter):
    """``2026-11-22T19:30:00.123Z warning sidecar.store: …``, and a traceback below it if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  (logging's name)
        del datefmt
        return _instant(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        # What came from outside must not begin a line of its own; a traceback, which follows, may.
        record.levelname = record.levelname.lower()
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    time: str
    level: str
    logger: str
    message: str
    error: str = ""


class _Json(logging.Formatter):
    """``{"time": …, "level": …, "logger": …, "message": …}``, with a traceback as ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        line = _Line(
            time=_instant(record),
            level=record.levelname.lower(),
            logger=record.name,
            message=record.getMessage(),
            error=self.formatException(record.exc_info) if record.exc_info else "",
        )
        return msgspec.json.encode(line).decode()


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
