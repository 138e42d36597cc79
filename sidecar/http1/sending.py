"""The request's way of an exchange: its body, from the client to the upstream.

It does not know when a request may be sent, nor how long that may take. State is set by `Exchange`, which is this and
`answering` and all that holds them together: one object for one exchange, told in three chapters.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.http1 import fields
from sidecar.http1.bodies import encode_chunk, encode_end
from sidecar.http1.driver import Driven
from sidecar.http1.errors import End, Phase, ProtocolError
from sidecar.http1.heads import RequestHead
from sidecar.http1.pace import Pace

if TYPE_CHECKING:
    from sidecar.http1.client import ClientConnection
    from sidecar.http1.engine import Limits
    from sidecar.http1.upstream import UpstreamConnection

Through = Callable[[bytes], bytes]
Watch = Callable[[bytes, bool], str]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Sending(Driven):
    """See the module; `Exchange` says what its fields begin with."""

    __slots__ = (
        "_body",
        "_body_size",
        "_body_wanted",
        "_chunks_up",
        "_client",
        "_continued",
        "_drops_up",
        "_expects",
        "_kept",
        "_limits",
        "_pace",
        "_phase",
        "_replay",
        "_since_s",
        "_trailers_up",
        "_up",
        "_upstream",
        "_watch",
        "answered",
        "end",
        "head",
        "keeps_body",
        "peer",
        "request_bytes",
        "request_done",
        "upgrade",
    )

    head: RequestHead
    peer: bytes
    end: End | None
    answered: bool
    _client: "ClientConnection"
    _upstream: "UpstreamConnection | None"
    _limits: "Limits"
    _phase: Phase
    _since_s: float
    # What has arrived of the body and was not sent yet.
    _body: list[bytes]
    _body_size: int
    _body_wanted: int
    request_bytes: int
    request_done: bool
    _expects: bool
    _continued: bool
    _chunks_up: bool
    _drops_up: frozenset[bytes]
    _trailers_up: list[tuple[bytes, bytes]]
    _watch: Watch | None
    # The other protocol that was asked for, and what its bytes go through.
    upgrade: bytes
    _up: Through | None
    _pace: Pace | None
    # What was sent, for as long as it may be sent again.
    keeps_body: bool
    _kept: list[bytes] | None
    _replay: bytes | None

    async def read_body(self, max_bytes: int) -> bytes | None:
        """The whole request body; None when it is larger than `max_bytes` or did not arrive (then `end` is set).

        Whatever was read is still forwarded.
        """
        if self.head.length <= max_bytes and not self.request_done:
            self._body_wanted = max_bytes + 1
            self._client.resume_reading_body()
            self._say_continue()
            while self._body_fits(max_bytes) and self._wants_more():
                await self._event()
        return self.whole_body(max_bytes)

    def whole_body(self, max_bytes: int) -> bytes | None:
        """The request's body if all of it is here and it is not larger than `max_bytes`."""
        if not self.request_done or self._body_size > max_bytes:
            return None
        if len(self._body) > 1:
            self._body = [b"".join(self._body)]
        return self._body[0] if self._body else b""

    def watch(self, see: Watch) -> None:
        """Show `see` each piece of the request's body once, in order, and whether it is the last one.

        What has arrived is shown at once. When it answers with a sentence, the body is wrong: the exchange ends.
        """
        self._watch = see
        self._show(b"".join(self._body), self.request_done)

    def on_request_body(self, payload: bytes, done: bool, trailers: list[tuple[bytes, bytes]]) -> None:
        """The next piece of the request's body."""
        self.request_bytes += len(payload)
        self.request_done = done
        self._trailers_up = trailers
        self._expects = False
        if self.end is not None or self.answered:
            return
        if self.request_bytes > self._limits.body_max_bytes:
            detail = f"The request body is larger than {self._limits.body_max_bytes} bytes."
            self.on_client_broke(ProtocolError(413, "body_too_large", detail))
            return
        if self._watch is not None and not self._show(payload, done):
            return
        self._since_s = self._engine.now_s
        upstream = self._upstream
        if upstream is not None and self._phase is not Phase.CONNECT:
            upstream.write(self._framed_up(payload, upstream))
            return
        if payload:
            self._body.append(payload)
            self._body_size += len(payload)
        if done or self._body_size >= self._body_wanted:
            if not done:
                self._client.pause_reading_body()
            self._woken = True

    def on_upstream_paused(self) -> None:
        self._client.pause_reading_body()

    def on_upstream_resumed(self) -> None:
        self._client.resume_reading_body()

    def on_client_broke(self, error: ProtocolError) -> None:
        """The rest of the client's body cannot be read."""
        raise NotImplementedError

    # --- Inside -----------------------------------------------------------------------------------------------------

    def _framed_up(self, payload: bytes, upstream: "UpstreamConnection") -> bytes:
        if not self._chunks_up:
            return payload
        framed = encode_chunk(payload) if payload else b""
        if self.request_done:
            trailers = fields.trailers_to_pass(self._trailers_up, self.head, self._drops_up)
            if trailers:
                # aiohttp's parser (3.14) adds them to the head of the next request, which may be another customer's.
                upstream.use_up()
            framed += encode_end(trailers)
        return framed

    def _check_pace(self, now_s: float) -> None:
        """End a request whose body trickles; time in which we do not read it is not the client's."""
        least, received = self._limits.body_min_bytes_per_s, self.request_bytes
        if self._pace is None:
            self._pace = Pace(now_s, received)
        elif not self._client.reads_body:
            self._pace.restart(now_s, received)
        elif self._pace.too_slow(now_s, received, self._limits.body_window_s, least):
            detail = f"The request body came with less than {least:g} bytes a second."
            self.on_client_broke(ProtocolError(408, "request_timed_out", detail))

    def _show(self, payload: bytes, last: bool) -> bool:
        """Whether who watches the request's body finds nothing wrong with it."""
        detail = self._watch(payload, last) if self._watch is not None else ""
        if detail:
            self.on_client_broke(ProtocolError(400, "unreadable_request", detail))
        return not detail

    def _wants_more(self) -> bool:
        return not self.request_done and self.end is None

    def _body_fits(self, max_bytes: int) -> bool:
        return self._body_size <= max_bytes

    def _say_continue(self) -> None:
        if self._expects:
            self._expects, self._continued = False, True
            self._client.write(_CONTINUE)
