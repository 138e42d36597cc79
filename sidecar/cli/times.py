"""Times as people write them: an instant, a day, or how far it is from now. Read as argparse types."""

import argparse
import re
from datetime import UTC, datetime, timedelta

_SPAN = re.compile(r"(?P<count>[1-9]\d{0,4})(?P<unit>[smhdw])\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_WANTED = "such as 2027-01-31T12:00:00Z, 2027-01-31 or, where that makes sense, 30d (s, m, h, d, w)"


def instant(text: str) -> datetime:
    """A point in time; a day is its first instant, in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a time {_WANTED}; got {text!r}") from error
    if at.tzinfo is None and len(text) > len("2027-01-31"):
        raise argparse.ArgumentTypeError(f"must say its time zone, {_WANTED}; got {text!r}")
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def ahead(text: str) -> datetime | timedelta:
    """An instant, or how long after the start of what it is said of."""
    span = _SPAN.match(text)
    return timedelta(seconds=int(span["count"]) * _SECONDS[span["unit"]]) if span else instant(text)


def instant_of(end: datetime | timedelta) -> datetime:
    """What `ahead` has read, for what starts now."""
    return end if isinstance(end, datetime) else datetime.now(UTC) + end  # noqa: TID251  (the person's own clock is meant)


def span(text: str) -> timedelta:
    """How long, which may be no time at all."""
    found = timedelta(0) if text in {"0", "0s"} else ahead(text)
    if not isinstance(found, timedelta):
        raise argparse.ArgumentTypeError(f"must be a span such as 1h or 30d; got {text!r}")
    return found


def past(text: str) -> datetime:
    """An instant, which may be given as how long ago it was."""
    at = ahead(text)
    return at if isinstance(at, datetime) else datetime.now(UTC) - at  # noqa: TID251  (the person's own clock is meant)


def written(at: datetime) -> str:
    """As the control API reads it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def shown(at: str) -> str:
    """An instant of the control API, to the second, for people."""
    return f"{at[:19].replace('T', ' ')}Z"


def add_span(parser: argparse.ArgumentParser) -> None:
    """``--from`` and ``--to``."""
    parser.add_argument(
        "--from",
        dest="since",
        metavar="TIME",
        type=past,
        help="from then on: such as 2027-01-31, or 7d for seven days ago",
    )
    parser.add_argument("--to", dest="until", metavar="TIME", type=past, help="before then")


def span_of(args: argparse.Namespace) -> dict[str, str]:
    """What was given of them, as a query of the control API."""
    given = {"from": args.since, "to": args.until}
    return {name: written(at) for name, at in given.items() if at is not None}
