"""How a stream is ended before its upstream ends it: by last events of the API's own dialect, which its clients know.

Clients of most APIs know an end for want of room (`length`, `max_tokens`); that is what they are told. That it was
for want of credit says a comment line, or a member that no client looks at: ``credit_exhausted``. For a stream whose
API nobody knows, the last event is an error that holds a problem document.
"""

from typing import Any, Protocol

import msgspec

from sidecar.domain.meters.events import data_of, events_in
from sidecar.domain.meters.frames import message
from sidecar.domain.price import Usage
from sidecar.domain.problems import problem

CODE = "credit_exhausted"
NOTE = b": %b\n" % CODE.encode()
"""A line that readers of event streams skip."""
DETAIL = "The credit was used up before the answer was complete; what was delivered is charged."


class Ending(Protocol):
    """The end of one stream. It is shown whole events as they go to the client, then asked once.

    `framing` is the name of the framing that it writes (see `body.Framing`).
    """

    @property
    def framing(self) -> str: ...

    def pass_on(self, events: bytes) -> None: ...

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:
        """The last events, instead of `refused` (empty if the time for it came while nothing did).

        `usage` is what the client is told that it used.
        """


class LatestEvents:
    """What most endings need to know: the latest events."""

    framing = "events"

    def __init__(self) -> None:
        self.latest = b""

    def pass_on(self, events: bytes) -> None:
        self.latest = events


class ErrorEvent(LatestEvents):
    """For events of an API that nobody knows."""

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        return error_event(reservation_id)


class ErrorLine(LatestEvents):
    """For lines of an API that nobody knows."""

    framing = "lines"

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        return b'{"error":%b}\n' % problem(CODE, DETAIL, reservation_id)


class ExceptionMessage(LatestEvents):
    """For AWS messages of an API that nobody knows."""

    framing = "frames"

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        return exception_message()


def exception_message() -> bytes:
    """An exception of Bedrock's that SDKs do not take for a reason to try again."""
    headers = {
        ":exception-type": "validationException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return message(headers, json({"message": DETAIL, "code": CODE}))


def error_event(reservation_id: str) -> bytes:
    return NOTE + event(b'{"error":%b}' % problem(CODE, DETAIL, reservation_id), "error")


def event(data: bytes, kind: str = "") -> bytes:
    """One event, with its type if it has one."""
    return (b"event: %b\n" % kind.encode() if kind else b"") + b"data: %b\n\n" % data


def json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def data_in(events: bytes) -> bytes:
    """The data of the last event that has any."""
    found = b""
    for each in events_in(events):
        found = data_of(each) or found
    return found


def tokens(usage: Usage) -> tuple[int, int]:
    """Input and output of all classes."""
    into = sum(int(read) for meter, read in usage.items() if "input" in meter and meter.endswith("tokens"))
    out = sum(int(read) for meter, read in usage.items() if "output" in meter and meter.endswith("tokens"))
    return into, out
