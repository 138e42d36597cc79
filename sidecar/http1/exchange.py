"""One request and its answer, between a client's connection and an upstream's.

To the coroutine that handles it, an exchange is a short story: perhaps `read_body`, then either `answer`, or
`forward`, `relay` and `finish`. Bytes never pass through that coroutine: connections call the `on_…` methods, which
write what they are given to the other side at once, and wake the coroutine only when a phase has ended.

The last piece of an answer is kept back until `finish`, so that whoever has the whole answer also sees what was
settled for it; when the whole answer came in one piece, even its head is, so that `finish` can still add fields.

Nothing here raises for what clients and upstreams do: `end` and `failure` say it, exactly once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.http1 import fields
from sidecar.http1.bodies import encode_chunk, encode_end
from sidecar.http1.driver import Driven
from sidecar.http1.engine import HIGH_WATER_BYTES
from sidecar.http1.errors import End, Failure, Phase, ProtocolError
from sidecar.http1.heads import CHUNKED, RequestHead, ResponseHead
from sidecar.http1.pace import Pace
from sidecar.http1.reasons import reason_of

if TYPE_CHECKING:
    from sidecar.http1.client import ClientConnection
    from sidecar.http1.drains import Drain
    from sidecar.http1.pool import Pool
    from sidecar.http1.upstream import UpstreamConnection

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_SELDOM_WITH_BODY = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_REPLAY_MAX_BYTES = 65_536
_NO_NAMES: frozenset[bytes] = frozenset()

Through = Callable[[bytes], bytes]
Watch = Callable[[bytes, bool], str]


class Exchange(Driven):
    """See the module. Lengths are bytes, instants are seconds of the loop's clock."""

    __slots__ = (
        "_body",
        "_body_size",
        "_body_wanted",
        "_chunks_up",
        "_client",
        "_continued",
        "_drain",
        "_drops",
        "_drops_up",
        "_early",
        "_early_size",
        "_expects",
        "_extra",
        "_flush",
        "_frame",
        "_head_sent",
        "_interims",
        "_kept",
        "_limits",
        "_pace",
        "_phase",
        "_pool",
        "_relaying",
        "_replay",
        "_rewrites",
        "_since_s",
        "_stopped",
        "_tail",
        "_through",
        "_total_at_s",
        "_trailers_up",
        "_upstream",
        "_via",
        "_watch",
        "answered",
        "broken",
        "drains",
        "end",
        "failure",
        "head",
        "keeps_body",
        "party",
        "peer",
        "request_bytes",
        "request_done",
        "response",
        "response_bytes",
        "response_done",
        "response_trailers",
        "started_s",
    )

    def __init__(self, client: "ClientConnection", head: RequestHead, body: bytes | None) -> None:
        """`body` is the whole body if it is here already (empty where there is none), else None."""
        engine = client.engine
        self._client = client
        super().__init__(engine)
        self._limits = engine.limits
        self.head = head
        self.peer = client.peer
        self.started_s = engine.loop.time()
        self._since_s = engine.now_s
        self._total_at_s = engine.now_s + engine.limits.total_s
        self._phase = Phase.REQUEST
        self.end: End | None = None
        self.failure: Failure | None = None
        self.broken: ProtocolError | None = None
        # The request's body: what has arrived and was not sent yet.
        self.request_done = body is not None
        self.request_bytes = self._body_size = len(body) if body else 0
        self._body: list[bytes] = [body] if body else []
        self._body_wanted = HIGH_WATER_BYTES
        self._expects = head.expects_continue and body is None
        self._continued = self._chunks_up = False
        self._watch: Watch | None = None
        self._trailers_up: list[tuple[bytes, bytes]] = []
        self._drops_up = _NO_NAMES
        self._pace: Pace | None = None
        # Set by a handler: for whom it is (see `fair_queue`); whether it may call `again` for a request that was sent
        # already; whether it may want the whole answer although its client has gone (see `drains`), which is asked
        # when the client goes, and again when the head comes after that.
        self.party, self.keeps_body = "", False
        self.drains: Callable[[ResponseHead | None], bool] | None = None
        self._kept: list[bytes] | None = None
        self._drain: Drain | None = None
        # The upstream.
        self._pool: Pool | None = None
        self._upstream: UpstreamConnection | None = None
        self._replay: bytes | None = None
        self._interims = 0
        self.response: ResponseHead | None = None
        self.response_bytes = 0
        self.response_done = False
        # The answer: what has arrived before `relay`, then what is kept back for `finish`.
        self._early: list[bytes] = []
        self._early_size = 0
        self._relaying = False
        self._stopped = False
        self._through: Through | None = None
        self._flush: Callable[[], bytes] | None = None
        self._rewrites = False
        self._drops = _NO_NAMES
        self._extra = b""
        self._via = False
        self._frame = False
        self._head_sent = False
        self._tail: list[bytes] = []
        # All that came; not all of them are passed on.
        self.response_trailers: list[tuple[bytes, bytes]] = []
        self.answered = False

    # --- The handler's side -------------------------------------------------------------------------------------

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

    async def forward(
        self,
        pool: "Pool",
        policy: fields.RequestPolicy,
        drops: frozenset[bytes],
        extra: fields.Pairs = (),
        body: bytes | None = None,
        interim_drops: frozenset[bytes] = _NO_NAMES,
    ) -> ResponseHead | Failure:
        """Send the request on and wait for the head of the answer.

        `interim_drops` are lower-case names of fields to leave out of 1xx answers.
        `body` replaces a request body that has wholly arrived. A request that went out on a connection which the
        upstream had already given up is sent once more on a new one, if it is idempotent (RFC 9110 §9.2.2).
        """
        if body is not None:
            assert self.request_done
            self._body, self._body_size = [body], len(body)
        self._pool, self._drops = pool, interim_drops
        if self.end is None:
            self._phase = Phase.CONNECT
            self._since_s = self._engine.now_s
            self._upstream = pool.take(self)
        while self.end is None and self._needs_connection(pool):
            await self._event()
        if self._upstream is not None:
            self._dispatch(policy, drops, extra)
        while self.response is None and self.end is None:
            await self._event()
        if self.failure is None:
            assert self.response is not None
            return self.response
        return self.failure

    def again(self) -> bool:
        """Forget an attempt that failed, or an answer that shall not be passed on, so that `forward` can follow anew.

        False, and nothing has changed, when that cannot be: the client has gone or sees an answer already, the time
        is over, or the request cannot be sent again, since its body was not kept (see `keeps_body`; one that had not
        wholly arrived, or is larger than 64 KiB, is not).
        """
        sent = self._phase in (Phase.HEAD, Phase.BODY)
        whole = self._kept is not None if sent else self.request_done or self._body_size == self.request_bytes
        if (
            not whole
            or self.end not in (None, End.UPSTREAM_FAILED, End.TIMED_OUT)
            or (self.end is None and self.response is None)
            or self._relaying
            or self.answered
            or self._client.gone
            or self._engine.loop.time() >= self._total_at_s
        ):
            return False
        if self._upstream is not None:
            upstream, self._upstream = self._upstream, None
            upstream.abandon()
        if self._kept is not None:
            self._body, self._body_size = self._kept, sum(map(len, self._kept))
        self.end = self.failure = self.response = self._kept = self._replay = None
        self._phase = Phase.REQUEST
        self._since_s = self._engine.now_s
        self.response_bytes, self.response_done = 0, False
        self._early, self._early_size = [], 0
        return True

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
        self._frame = has_body and not self.head.http_1_0 and (response.length < 0 or rewrites)
        self._relaying = True
        early, self._early = b"".join(self._early), []
        self._pass_on(early, self.response_done)
        if self._upstream is not None and self._relaying:
            self._upstream.resume(_EARLY)
        return self.end

    def hold_up(self) -> None:
        """Keep what comes from now on, and the end of the answer too, until `go_on`; `through` may call it."""
        self._relaying = False
        if self._upstream is not None:
            self._upstream.pause(_EARLY)

    def go_on(self) -> None:
        """After `hold_up`: `through` is shown what has come meanwhile, even if that is nothing."""
        if self.end is None and not self._relaying:
            self._relaying = True
            early, self._early, self._early_size = b"".join(self._early), [], 0
            self._pass_on(early, self.response_done, again=True)
            if self._upstream is not None and self._relaying:
                self._upstream.resume(_EARLY)
            self._wake_soon()

    def stop(self) -> None:
        """For `through`: the answer ends in good order with what it and then `flush` return; the upstream is left."""
        self._stopped = True
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abandon()

    async def ended(self) -> End:
        """Wait until the answer has ended, and say how."""
        while self.end is None:
            await self._event()
        return self.end

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

    def cut(self) -> None:
        """End the client's connection so that it can see that the answer is not whole."""
        if not self.answered:
            self.answered = True
            # Without a length the end of the connection would look like the end of the body: reset it instead.
            delimited = self._frame or (
                self.response is not None and self.response.length >= 0 and not self._rewrites
            )
            self._client.hang_up(reset=self._head_sent and not delimited)

    # --- The client connection's side ---------------------------------------------------------------------------

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

    def on_client_gone(self) -> None:
        if self._outlives_client():
            self._drain = self._engine.drains.begin(self, self._engine.now_s)
        if self._drain is None:
            self._fail(End.CLIENT_GONE, _GONE)
        elif self._upstream is not None:
            self._upstream.resume(_SLOW_CLIENT)

    def _outlives_client(self) -> bool:
        under_way = self.end is None and self.request_done and self._phase in (Phase.HEAD, Phase.BODY)
        return under_way and self.drains is not None and self.drains(self.response)

    def on_client_broke(self, error: ProtocolError) -> None:
        """The rest of the client's body cannot be read; `failure.detail` and the error say why."""
        if self.end is None:
            self.broken = error
            self._fail(End.CLIENT_BROKE, error.detail)

    def on_client_paused(self) -> None:
        """The client reads slower than the upstream writes."""
        if self._upstream is not None:
            self._upstream.pause(_SLOW_CLIENT)
        self._since_s = self._engine.now_s

    def on_client_resumed(self) -> None:
        if self._upstream is not None:
            self._upstream.resume(_SLOW_CLIENT)
        self._since_s = self._engine.now_s

    def check(self, now_s: float) -> None:
        """Called on each tick."""
        if not self.request_done and self.end is None:
            self._check_pace(now_s)
        if self._drain is not None and now_s >= self._drain.until_s:
            self._fail(End.CLIENT_GONE, _GONE)
        in_time = self._parked is not None or now_s < self._since_s + self._patience_s()
        if self.end is not None or (in_time and now_s < self._total_at_s):
            return
        waits_for_body = self._phase is Phase.REQUEST or (self._phase is Phase.HEAD and self._client.reads_body)
        if waits_for_body and not self.request_done:
            self.on_client_broke(ProtocolError(408, "request_timed_out", "The request body did not arrive in time."))
        elif self._client.paused:
            self._fail(End.CLIENT_GONE, "The client did not read the answer in time.")
        else:
            self._fail(End.TIMED_OUT, _TIMED_OUT[self._phase])

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

    def cut_off(self, detail: str = "The proxy is shutting down.") -> None:
        """End now, whatever phase it is in; a client can see that an answer that had begun is not whole.

        What `through` returns when it has called this is still sent.
        """
        self._fail(End.CUT, detail)

    # --- The upstream connection's side -------------------------------------------------------------------------

    def on_connected(self, connection: "UpstreamConnection") -> bool:
        """A connection for this exchange; False when it is no longer wanted."""
        if self.end is not None or self._upstream is not None:
            return False
        self._upstream = connection
        self._wake_soon()
        return True

    def on_connect_failed(self, detail: str, *, timed_out: bool) -> None:
        self._fail(End.TIMED_OUT if timed_out else End.UPSTREAM_FAILED, detail)

    def on_shed(self, detail: str) -> None:
        self._fail(End.SHED, detail)

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

    def on_response_head(self, head: ResponseHead) -> None:
        self._phase = Phase.BODY
        self._replay = None
        self._since_s = self._engine.now_s
        self.response = head
        self._woken = True
        if self._drain is not None and not self._outlives_client():
            self._fail(End.CLIENT_GONE, _GONE)

    def on_response_body(self, payload: bytes, done: bool, trailers: list[tuple[bytes, bytes]]) -> None:
        """The next piece of the answer's body."""
        if self.end is not None:
            return
        self.response_bytes += len(payload)
        if self._drain is not None:
            self._drain.bytes_left -= len(payload)
            if self._drain.bytes_left < 0 and not done:
                self._fail(End.CLIENT_GONE, _GONE)
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

    def on_upstream_lost(self, detail: str, *, reused: bool, answered: bool) -> None:
        """The upstream's connection ended before the answer did, or its bytes make no sense."""
        self._upstream = None
        if reused and not answered and self._replay is not None and self.end is None and self._pool is not None:
            data, self._replay = self._replay, None
            self._pool.connect_again(self, data)
            return
        self._fail(End.UPSTREAM_FAILED, detail)

    def on_replayed(self, connection: "UpstreamConnection", data: bytes) -> None:
        if self.end is None:
            self._upstream = connection
            connection.send(self, data)

    def on_upstream_paused(self) -> None:
        self._client.pause_reading_body()

    def on_upstream_resumed(self) -> None:
        self._client.resume_reading_body()

    # --- Inside -------------------------------------------------------------------------------------------------

    def _needs_connection(self, pool: "Pool") -> bool:
        """One that closed between being handed out and being used is replaced: nothing was sent on it."""
        if self._upstream is not None and self._upstream.closed:
            self._upstream = pool.take(self)
        return self._upstream is None

    def _dispatch(self, policy: fields.RequestPolicy, drops: frozenset[bytes], extra: fields.Pairs) -> None:
        """Write the head and what there is of the body in one send."""
        upstream, head = self._upstream, self.head
        assert upstream is not None
        if not self.request_done or self._trailers_up:
            length = head.length
        elif head.length or head.declared >= 0:
            length = self._body_size
        else:
            length = fields.NO_BODY
        self._chunks_up = length == CHUNKED
        self._drops_up = drops
        if length not in (0, fields.NO_BODY) and head.method in _SELDOM_WITH_BODY:
            # A server that does not look for a body here takes it for the next request, perhaps another customer's.
            upstream.use_up()
        if self._expects:
            extra = (*extra, (b"Expect", b"100-continue"))
        data = [fields.request_head(head, policy, drops, length, self.peer, extra)]
        body, self._body, self._body_size = self._body, [], 0
        if self.keeps_body and self.request_done and sum(map(len, body)) <= _REPLAY_MAX_BYTES:
            self._kept = body
        if self._chunks_up:
            data.append(self._framed_up(b"".join(body), upstream))
        else:
            data += body
        self._phase = Phase.HEAD
        message = b"".join(data)
        if self.request_done and head.method in _IDEMPOTENT and len(message) <= _REPLAY_MAX_BYTES:
            self._replay = message
        self._since_s = self._engine.now_s
        if not self.request_done:
            # Before anything is written: an upstream that is full pauses it again.
            self._client.resume_reading_body()
        upstream.send(self, message)

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
            not keep_alive,
            self._via,
            self._extra + late,
        )

    def _may_keep_alive(self) -> bool:
        """Whether the client's connection can carry another request after this answer."""
        if not self.head.keep_alive or self.head.http_1_0 or self._engine.draining or self.broken:
            return False
        if self.request_done:
            return True
        # The rest of a body that nobody wants is read and dropped if it is short, and if it will come at all.
        return not self._expects and 0 < self.head.length - self.request_bytes <= HIGH_WATER_BYTES

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

    def _patience_s(self) -> float:
        """How long nothing may happen in this phase."""
        limits = self._limits
        if self._phase is Phase.CONNECT:
            return limits.connect_s
        if self._client.paused or not self.request_done:
            return limits.client_idle_s
        if self._phase is Phase.HEAD:
            return limits.head_s
        return limits.idle_s if self._phase is Phase.BODY else limits.total_s

    def _fail(self, end: End, detail: str) -> None:
        if self.end is None:
            dispatched = self._phase in (Phase.HEAD, Phase.BODY)
            self.failure = failure = Failure(end, self._phase, dispatched, detail)
            upstream, self._upstream = self._upstream, None
            if upstream is not None:
                if dispatched:
                    upstream.abandon()
                else:
                    upstream.give_back()
            elif self._phase is Phase.CONNECT and self._pool is not None:
                self._pool.give_up(self)
            self.end = end
            self._wake_soon()
            self._leave_parked()
            if self._pool is not None and self._pool.failed is not None and end in _ITS_FAULT:
                self._pool.failed(self, failure)

    # --- When the handler ends ----------------------------------------------------------------------------------

    def _story_failed(self) -> None:
        self._fail(End.CUT, "The proxy failed.")
        if self._engine.failed is not None:
            self._engine.failed(self)
        error = ProtocolError(500, "internal", "The proxy failed while it handled this request; its log says why.")
        pairs, body = self._engine.refuse(error)
        self.answer(error.status, reason_of(error.status), pairs, body)

    def _story_ended(self) -> None:
        if self._drain is not None:
            self._engine.drains.running.discard(self)
        if not self.answered and not self._client.gone:
            self.cut()
        self._engine.story_ended()


_EARLY, _SLOW_CLIENT = 1, 2
_ITS_FAULT = frozenset({End.UPSTREAM_FAILED, End.TIMED_OUT})
_GONE = "The client closed the connection."
_TIMED_OUT = {
    Phase.REQUEST: "The request took too long.",
    Phase.CONNECT: "No connection to the upstream could be had in time.",
    Phase.HEAD: "The upstream did not begin to answer in time.",
    Phase.BODY: "The upstream did not finish its answer in time.",
}
