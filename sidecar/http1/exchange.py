"""One request and its answer, between a client's connection and an upstream's.

To the coroutine that handles it, an exchange is a short story: perhaps `read_body`, then either `answer`, or
`forward`, `relay` and `finish`. Bytes never pass through that coroutine: connections call the `on_…` methods, which
write what they are given to the other side at once, and wake the coroutine only when a phase has ended.

How bytes get up is told in `sending`, how they get down in `answering`; here is what both belong to: its phases, its
connections, its limits of time, and its end. Nothing here raises for what clients and upstreams do: `end` and
`failure` say it, exactly once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.http1 import fields
from sidecar.http1.answering import GONE, SLOW_CLIENT, Answering
from sidecar.http1.engine import HIGH_WATER_BYTES
from sidecar.http1.errors import End, Failure, Phase, ProtocolError
from sidecar.http1.heads import CHUNKED, RequestHead, ResponseHead
from sidecar.http1.reasons import reason_of

if TYPE_CHECKING:
    from sidecar.http1.client import ClientConnection
    from sidecar.http1.pool import Pool
    from sidecar.http1.upstream import UpstreamConnection

_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_SELDOM_WITH_BODY = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_REPLAY_MAX_BYTES = 65_536
_NO_NAMES: frozenset[bytes] = frozenset()


class Exchange(Answering):
    """See the module. Lengths are bytes, instants are seconds of the loop's clock."""

    __slots__ = (
        "_pool",
        "drains",
        "failure",
        "party",
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
        self.end = None
        self.failure: Failure | None = None
        self.broken = None
        # The request's body: what has arrived and was not sent yet.
        self.request_done = body is not None
        self.request_bytes = self._body_size = len(body) if body else 0
        self._body = [body] if body else []
        self._body_wanted = HIGH_WATER_BYTES
        self._expects = head.expects_continue and body is None
        self._continued = self._chunks_up = False
        self._watch = None
        self._trailers_up = []
        self._drops_up = _NO_NAMES
        self._pace = None
        # Set by a handler: for whom it is (see `fair_queue`); whether it may call `again` for a request that was sent
        # already; whether it may want the whole answer although its client has
        # gone (see `drains`), which is asked when the client goes, and again when the head comes after that.
        self.party, self.keeps_body, self.upgrade, self._up = "", False, b"", None
        self.drains: Callable[[ResponseHead | None], bool] | None = None
        self._kept = None
        self._drain = None
        # The upstream.
        self._pool: Pool | None = None
        self._upstream = None
        self._replay = None
        self._interims = 0
        self.response = None
        self.response_bytes = 0
        self.response_done = False
        # The answer: what has arrived before `relay`, then what is kept back for `finish`.
        self._early = []
        self._early_size = 0
        self._relaying = False
        self._stopped = False
        self._through = None
        self._flush = None
        self._rewrites = False
        self._drops = _NO_NAMES
        self._extra = b""
        self._via = False
        self._frame = False
        self._head_sent = False
        self._tail = []
        # All that came; not all of them are passed on.
        self.response_trailers = []
        self.answered = False

    # --- The handler's side -----------------------------------------------------------------------------------------

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
        With `Upgrade` among `extra`, the upstream may go over to that protocol, if the client asks too (`tunnels`).
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

    async def ended(self) -> End:
        """Wait until the answer has ended, and say how."""
        while self.end is None:
            await self._event()
        return self.end

    # --- The client connection's side -------------------------------------------------------------------------------

    def on_client_gone(self) -> None:
        if self._outlives_client():
            self._drain = self._engine.drains.begin(self, self._engine.now_s)
        if self._drain is None:
            self._fail(End.CLIENT_GONE, GONE)
        elif self._upstream is not None:
            self._upstream.resume(SLOW_CLIENT)

    def _outlives_client(self) -> bool:
        under_way = self.end is None and self.request_done and self._phase in (Phase.HEAD, Phase.BODY)
        return under_way and self.drains is not None and self.drains(self.response)

    def on_client_broke(self, error: ProtocolError) -> None:
        """The rest of the client's body cannot be read; `failure.detail` and the error say why."""
        if self.end is None:
            self.broken = error
            self._fail(End.CLIENT_BROKE, error.detail)

    def check(self, now_s: float) -> None:
        """Called on each tick."""
        if not self.request_done and self.end is None:
            self._check_pace(now_s)
        if self._drain is not None and now_s >= self._drain.until_s:
            self._fail(End.CLIENT_GONE, GONE)
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

    def cut_off(self, detail: str = "The proxy is shutting down.") -> None:
        """End now, whatever phase it is in; a client can see that an answer that had begun is not whole.

        What `through` returns when it has called this is still sent.
        """
        self._fail(End.CUT, detail)

    # --- The upstream connection's side -----------------------------------------------------------------------------

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

    def on_response_head(self, head: ResponseHead) -> None:
        self._phase = Phase.BODY
        self._replay = None
        self._since_s = self._engine.now_s
        self.response = head
        self._woken = True
        if self._drain is not None and not self._outlives_client():
            self._fail(End.CLIENT_GONE, GONE)

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

    # --- Inside -----------------------------------------------------------------------------------------------------

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
        if head.named and head.upgrade:
            self.upgrade = dict(extra).get(b"Upgrade", b"")
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

    def _patience_s(self) -> float:
        """How long nothing may happen in this phase."""
        limits = self._limits
        if self._phase is Phase.CONNECT:
            return limits.connect_s
        if self.tunnels:
            return limits.tunnel_idle_s
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

    # --- When the handler ends --------------------------------------------------------------------------------------

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


_ITS_FAULT = frozenset({End.UPSTREAM_FAILED, End.TIMED_OUT})
_TIMED_OUT = {
    Phase.REQUEST: "The request was not sent in time.",
    Phase.CONNECT: "No connection to the upstream could be had in time.",
    Phase.HEAD: "The upstream did not begin to answer in time.",
    Phase.BODY: "The upstream did not finish its answer in time.",
}
