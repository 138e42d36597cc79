"""How a message or an exchange can fail. `code` is a stable word; the text is for people."""

from enum import StrEnum

import msgspec


class ProtocolError(Exception):
    """A message that breaks HTTP or one of our limits; `status` is what a client that sent it is told."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class Phase(StrEnum):
    """Where an exchange is, and where it failed."""

    REQUEST = "request"
    """Before the upstream is wanted: the request's body is read, or the handler is busy."""
    CONNECT = "connect"
    HEAD = "head"
    BODY = "body"


class Failure(msgspec.Struct, frozen=True):
    """Why there is no answer. `dispatched`: a byte of the request may have reached the upstream."""

    end: "End"
    phase: Phase
    dispatched: bool
    detail: str


class End(StrEnum):
    """How an exchange ended, told exactly once."""

    COMPLETE = "complete"
    CLIENT_GONE = "client_gone"
    CLIENT_BROKE = "client_broke"
    """The client's body broke HTTP or a limit after forwarding had begun."""
    UPSTREAM_FAILED = "upstream_failed"
    TIMED_OUT = "timed_out"
    CUT = "cut"
    """We ended it, at shutdown."""
    SHED = "shed"
    """We have too much to do already; nothing was sent."""
