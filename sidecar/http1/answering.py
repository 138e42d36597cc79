"""The answer's way of an exchange: from the upstream to the client, or one of our own.

The last piece of an answer is kept back until `finish`, so that whoever has the whole answer also sees what was
settled for it; when the whole answer came in one piece, even its head is, so that `finish` can still add fields.

It does not know how an upstream is found, nor how long an answer may take: see `exchange`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.http1 import fields
from sidecar.http1.bodies import encode_chunk, encode_end
from sidecar.http1.engine import HIGH_WATER_BYTES
from sidecar.http1.errors import End, ProtocolError
from sidecar.http1.heads import ResponseHead
from sidecar.http1.sending import Sending, Through

if TYPE_CHECKING:
    from sidecar.http1.drains import Drain

SLOW_CLIENT = 2
"""Why an upstream is not read; the client's side says when it is read again."""

GONE = "The client closed the connection."

_EARLY = 1
_NO_NAMES: frozenset[bytes] = frozenset()


class Answering(Sending):
    """See the module; `Exchange` says what its fields begin with."""

    __slots__ = (
        "_drain",
        "_drops",
        "_early",
        "_early_size",
        "_extra",
        "_flush",
        "_frame",
        "_head_sent",
        "_interims",
        "_relaying",
        "_rewrites",
        "_stopped",
        "_tail",
        "_through",
        "_total_at_s",
        "_via",
        "broken",
        "response",
        "response_bytes",
        "response_done",
        "response_trailers",
    )

    response: ResponseHead | None
    response_bytes: int
    response_done: bool
    _total_at_s: float
    response_trailers: list[tuple[bytes, bytes]]
    broken: ProtocolError | None
    _drain: "Drain | None"
    _interims: int
    # What has arrived before `relay`, then what is kept back for `finish`.
    _early: list[bytes]
    _early_size: int
    _tail: list[bytes]
    _relaying: bool
    _stopped: bool
    _through: Through | None
    _flush: Callable[[], bytes] | None
    _rewrites: bool
    _drops: frozenset[bytes]
    _extra: bytes
    _via: bool
    _frame: bool
    _head_sent: bool

    # --- The handler's side -----------------------------------------------------------------------------------------

    def relay(
        self,
        drops: frozenset[bytes] = _NO_NAMES,
        extra: bytes = b"",
        through: Through | None = None,
        flush: Callable[[], bytes] | None = None,
        rewrites: bool = False,
        via: bool = True,
    ) -> End | None:
        """Begin to pass the answer on, all but its last piece; how it ended, or None: then await `ended`.

        `drops` are lower-case names of fields to leave out, `extra` whole header lines to add. `through` is shown
        each piece of the body once, in order, and returns what to send on; with `rewrites` it may change the length,
        and end the answer by `stop`.
        `flush` returns what `through` had kept back, when the body has ended.
        """
        response = self.response
        assert response is not None
        self._drops, self._extra, self._via = drops, extra, via
        has_body = response.length != 0
        # Where no body can be, nothing may be put into one.
        self._through, self._flush, self._rewrites = through, flush if has_body else None, rewrites
        self._frame = has_body and not self.head.http_1_0 and (response.length < 0 or rewrites) and not self.tunnels
        self._relaying = True
        early, self._early = b"".join(self._early), []
        self._pass_on(early, self.response_done)
        if self._upstream is not None and self._relaying:
            self._upstream.resume(_EARLY)
        return self.end

    def tunnel(
        self, drops: frozenset[bytes], extra: bytes, up: Through, down: Through, via: bool = True
    ) -> End | None:
        """As `relay`, for an answer that has gone over to another protocol.

        `up` and `down` are shown the bytes of each direction, and return what to send on; both may call what
        `through` may. It ends when either side closes its connection: `COMPLETE` when the upstream does.
        """
        assert self.tunnels
        self._up = up
        self._total_at_s = self._engine.now_s + self._limits.tunnel_s
        extra += b"Upgrade: %b\r\nConnection: Upgrade\r\n" % self.upgrade
        end = self.relay(drops, extra, down, via=via)
        early = self._client.early_bytes()
        self.request_bytes += len(early)
        self._body.insert(0, early)
        if self._relaying:
            self._say()
        return end

    def hold_up(self) -> None:
        """Keep what comes from now on, and the end of the answer too, until `go_on`; `through` may call it."""
        self._relaying = False
        if self._upstream is not None:
            self._upstream.pause(_EARLY)
        if self.tunnels:
            self._client.pause_reading_body()

    def go_on(self) -> None:
        """After `hold_up`: `through` is shown what has come meanwhile, even if that is nothing."""
        if self.end is None and not self._relaying:
            self._relaying = True
            early, self._early, self._early_size = b"".join(self._early), [], 0
            self._pass_on(early, self.response_done, again=True)
            if self._upstream is not None and self._relaying:
                self._upstream.resume(_EARLY)
            if self.tunnels and self._relaying:
                self._client.resume_reading_body()
                self._say()
            self._wake_soon()

    def stop(self) -> None:
        """For `through`: the answer ends in good order with what it and then `flush` return; the upstream is left."""
        self._stopped = True
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abandon()

    def finish(self, late: bytes = b"") -> None:
        """Send what was kept back. `late` are header lines; they are lost when the head has gone out already."""
        assert self.end is End.COMPLETE
        if not self.answered:
            self.answered = True
            keep_alive = self._may_keep_alive()
            if not self._head_sent:
                self._tail.insert(0, self._answer_head(late, keep_alive))
            self._client.write(b"".join(self._tail))
            self._client.exchange_done(keep_alive)

    def answer(self, status: int, reason: bytes, fields_: fields.Pairs, body: bytes) -> None:
        """Answer by ourselves. Does nothing for a client that has gone; cuts an answer that had begun."""
        if self.answered:
            return
        if self._head_sent:
            self.cut()
            return
        self.answered = True
        keep_alive = self._may_keep_alive()
        head = fields.local_head(status, reason, fields_, len(body), close=not keep_alive)
        self._client.write(head if self.head.method == b"HEAD" else head + body)
        self._client.exchange_done(keep_alive)

    def cut(self, last: bytes = b"") -> None:
        """End the client's connection so that it can see that the answer is not whole.

        `last` is what the other protocol of a tunnel has for that.
        """
        if not self.answered:
            self.answered = True
            self._client.write(last)
            # Without a length the end of the connection would look like the end of the body: reset it instead.
            delimited = (
                bool(last)
                or self._frame
                or (self.response is not None and self.response.length >= 0 and not self._rewrites)
            )
            self._client.hang_up(reset=self._head_sent and not delimited)

    # --- The connections' side --------------------------------------------------------------------------------------

    @property
    def tunnels(self) -> bool:
        """Whether the upstream has gone over to another protocol: from then on bytes pass both ways as they are."""
        return self.response is not None and self.response.status == 101

    def on_client_bytes(self, data: bytes) -> None:
        """What the client says in the other protocol."""
        self._since_s = self._engine.now_s
        self.request_bytes += len(data)
        self._body.append(data)
        if self._relaying and self._up is not None:
            self._say()
        else:
            self._client.pause_reading_body()

    def on_client_paused(self) -> None:
        """The client reads slower than the upstream writes."""
        if self._upstream is not None:
            self._upstream.pause(SLOW_CLIENT)
        self._since_s = self._engine.now_s

    def on_client_resumed(self) -> None:
        if self._upstream is not None:
            self._upstream.resume(SLOW_CLIENT)
        self._since_s = self._engine.now_s

    def on_interim(self, head: ResponseHead) -> None:
        """A 1xx answer: passed on to clients that can understand it (RFC 9110 §15.2)."""
        self._interims += 1
        if self._interims > 16:
            raise ProtocolError(502, "upstream_broken", "The upstream sent more than 16 interim answers.")
        if self.head.http_1_0 or (head.status == 100 and self._continued):
            return
        if head.status == 100:
            self._expects, self._continued = False, True
        self._client.write(
            fields.response_head(head, self._drops, chunked=False, sized=False, close=False, via=False, extra=b"")
        )

    def on_response_body(self, payload: bytes, done: bool, trailers: list[tuple[bytes, bytes]]) -> None:
        """The next piece of the answer's body."""
        if self.end is not None:
            return
        self.response_bytes += len(payload)
        if self._drain is not None:
            self._drain.bytes_left -= len(payload)
            if self._drain.bytes_left < 0 and not done:
                self._fail(End.CLIENT_GONE, GONE)
                return
        if done:
            self.response_done = True
            self.response_trailers = trailers
            self._upstream = None
        self._since_s = self._engine.now_s
        if self._relaying:
            self._pass_on(payload, done)
            return
        if payload:
            self._early.append(payload)
            self._early_size += len(payload)
            if self._early_size > HIGH_WATER_BYTES and self._upstream is not None:
                self._upstream.pause(_EARLY)

    # --- Inside -----------------------------------------------------------------------------------------------------

    def _say(self) -> None:
        """Send on what the client has said in the other protocol, even if that is nothing."""
        upstream, said = self._upstream, b"".join(self._body)
        self._body = []
        if upstream is not None and self._up is not None and self.end is None:
            upstream.write(self._up(said))

    def _pass_on(self, payload: bytes, done: bool, *, again: bool = False) -> None:
        if self._through is not None and (payload or again):
            payload = self._through(payload)
            done = (done or self._stopped) and self._relaying and self.end is None
        if done and self._flush is not None:
            payload += self._flush()
        if payload and self._frame:
            payload = encode_chunk(payload)
        if not done:
            if not self._head_sent:
                self._head_sent = True
                payload = self._answer_head(b"", self._may_keep_alive()) + payload
            if payload:
                self._client.write(payload)
            return
        if payload:
            self._tail.append(payload)
        if self._frame:
            trailers = [] if self._stopped else self.response_trailers
            if trailers and self.response is not None:
                trailers = fields.trailers_to_pass(trailers, self.response, self._drops)
            self._tail.append(encode_end(trailers))
        self.end = End.COMPLETE
        self._woken = True

    def _answer_head(self, late: bytes, keep_alive: bool) -> bytes:
        assert self.response is not None
        return fields.response_head(
            self.response,
            self._drops,
            self._frame,
            not self._rewrites or self.response.length == 0,
            not keep_alive and not self.tunnels,
            self._via,
            self._extra + late,
        )

    def _may_keep_alive(self) -> bool:
        """Whether the client's connection can carry another request after this answer."""
        if not self.head.keep_alive or self.head.http_1_0 or self._engine.leaving or self.broken or self._up:
            return False
        if self.request_done:
            return True
        # The rest of a body that nobody wants is read and dropped if it is short, and if it will come at all.
        return not self._expects and 0 < self.head.length - self.request_bytes <= HIGH_WATER_BYTES

    def _fail(self, end: End, detail: str) -> None:
        """The exchange ends, and not as it should."""
        raise NotImplementedError
