"""Answers that are paid for while they stream: holds grow, and when there is no more credit an answer may be cut.

Both stand in for the meter of an answer, and show it all that passes. What was used so far is not worked out for each
piece, but when the answer could have come to where something has to be done: so many bytes before, nothing can.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from sidecar.domain.fields import Trailers
from sidecar.domain.metering import Charge, End, Meter, OnUnknown
from sidecar.domain.meters.body import Framing, ending_of, framing_of
from sidecar.domain.meters.events import Unfollowable
from sidecar.domain.progress import Progress
from sidecar.domain.quotes import Quote
from sidecar.http1.exchange import Exchange
from sidecar.http1.heads import ResponseHead
from sidecar.proxy.admission import Admitted
from sidecar.proxy.exits import EXHAUSTED
from sidecar.proxy.terms import Terms
from sidecar.services.hold import Hold
from sidecar.services.upkeep import Upkeep

AHEAD_BYTES = 16_384
"""So far it is looked ahead at most."""
OPENING_BYTES, LEEWAY_BYTES = 40, 8
"""So much of what stands before a text is looked for, so far from where it stood: ids of events may grow."""
NEAR_BYTES = 8
"""Where little more text than this may be too much, each event is looked at."""


class Growing:
    """The hold is doubled in the background when half of it is used; what it cannot cover is owed in the end."""

    def __init__(
        self, exchange: Exchange, meter: Meter, quote: Quote, hold: Hold, upkeep: Upkeep, paid: int = 0
    ) -> None:
        self._exchange = exchange
        self._meter = meter
        self._feed = meter.feed
        self._hold = hold
        self._paid = paid
        self._most = quote.tariff.max_charge
        self._upkeep = upkeep
        self._now = asyncio.get_running_loop().time
        self._room = -1
        reader, meters = quote.tariff.meters.reader, quote.tariff.meters
        self._plain = reader.plain_text if reader is not None and not meters.response_bytes else None
        # What stands right before and behind the text of most events, and where it is looked for.
        self._opening = self._behind_text = b""
        self._from = self._to = self._around = 0
        self._told = 0
        self._looked: Progress | None = None
        self._growing = False
        self._resting = False
        upkeep.watch(hold, self.tick)

    def feed(self, data: bytes) -> bytes:
        passed = self._feed(data)
        self._room -= self._weigh(data)
        if self._room < 0 or self._meter.told != self._told:
            self._learn(data)
            self._look()
        return passed

    def flush(self) -> bytes:
        return self._meter.flush()

    def finish(
        self, end: End, request_bytes: int, response_bytes: int, duration_ms: int, trailers: Trailers = ()
    ) -> Charge:
        return self._meter.finish(end, request_bytes, response_bytes, duration_ms, trailers)

    def tick(self) -> None:
        """Time has passed: what there was not enough for may fit by now, and time may be what costs."""
        if self._exchange.end is None:
            self._resting = False
            self._look()

    def _look(self) -> Progress:
        """Where the answer is; grow if need be, and find out how long nothing has to be done."""
        progress = self._so_far()
        self._told, self._looked = self._meter.told, progress
        held, cost = self._covered, progress.cost
        if cost and self._may_grow and 2 * cost >= held:
            self._growing = True
            self._wanted = min(2 * max(held, cost), self._most)
            self._upkeep.grow(self._hold, self._wanted - self._paid, self._grown)
        limit = held // 2 if self._may_grow else self._bound
        self._room = _room(progress, cost, limit)
        return progress

    def _learn(self, event: bytes) -> None:
        if self._plain is not None and (not self._opening or event.find(self._opening, self._from, self._to) < 0):
            around = self._plain.around(event)
            if around is not None:
                before, self._behind_text = around
                self._opening = before[-OPENING_BYTES:]
                self._around = len(self._opening) + len(self._behind_text)
                self._from = max(len(before) - OPENING_BYTES - LEEWAY_BYTES, 0)
                self._to = len(before) + LEEWAY_BYTES

    def _weigh(self, data: bytes) -> int:
        """How much of a piece may be text, at most."""
        size = len(data)
        if self._opening:
            at = data.find(self._opening, self._from, self._to)
            if at >= 0:
                size -= at + len(self._opening)
                if data.endswith(self._behind_text):
                    size = max(size - len(self._behind_text), 0)
        return size

    @property
    def _covered(self) -> int:
        """What the answer may cost: what is held, and what was paid for it before."""
        return self._hold.held + self._paid

    @property
    def _may_grow(self) -> bool:
        return not (self._growing or self._resting) and self._covered < self._most

    @property
    def _bound(self) -> int:
        """What the answer must not cost more than; nothing happens at a cost that is owed."""
        return self._most

    def _so_far(self) -> Progress:
        return self._meter.so_far(round((self._now() - self._exchange.started_s) * 1000))

    def _grown(self) -> None:
        self._growing = False
        self._resting = self._covered < self._wanted
        self._room = -1


class Cutting(Growing):
    """And exactly before the answer would cost more than is held, it ends, with what its API has for an end.

    So events are passed on whole: the first half of one that is not paid for could not be taken back.
    """

    def __init__(
        self,
        exchange: Exchange,
        meter: Meter,
        quote: Quote,
        hold: Hold,
        upkeep: Upkeep,
        paid: int = 0,
        *,
        framing: Framing | None,
        on_cut: Callable[[], None],
    ) -> None:
        """`framing`: how whole events are found; without, it is cut between any two pieces, and just breaks off."""
        super().__init__(exchange, meter, quote, hold, upkeep, paid)
        self._on_cut = on_cut
        self._buffer = framing.open() if framing is not None else None
        self._ends = framing.ends if framing is not None else (b"",)
        # Without estimates, only events that report usage cost anything, and any of them may.
        self._estimates = framing is None or quote.tariff.estimate is not None
        # Of an answer in a coding nobody knows how much text is in a piece.
        self._coded = framing is None and quote.tariff.meters.reader is not None
        self._ending = ending_of(quote.tariff.meters.reader, framing) if framing is not None else None
        self._at_once = self._estimates and not self._coded
        self.rewrites = self._ending is not None
        self._estimable = quote.tariff.on_unknown is OnUnknown.CHARGE_ESTIMATE
        self._pending = self._buffer.pending if self._buffer is not None else bytearray()
        self._usual = b""
        self._queue: deque[bytes] = deque()
        # An event that the meter has seen and the client has not, what the meter made of it, where it was before.
        self._event = b""
        self._next: bytes | None = None
        self._before: Progress | None = None
        self._held_up = self._over = False
        self._charge: Charge | None = None
        self._last = b""

    def feed(self, data: bytes) -> bytes:
        if self._charge is not None:
            return b""
        opening = self._opening
        at = data.find(opening, self._from, self._to) if opening else -1
        usual = at >= 0 and data.endswith(self._behind_text)
        weight = len(data) - at - self._around if usual else self._weigh(data)
        at_once = self._next is None and weight <= self._room and self._at_once and not self._queue
        if at_once and not self._pending and (usual or data.endswith(self._ends)):
            passed = self._feed(data)
            self._room -= weight
            if self._meter.told == self._told:
                if usual:
                    # One of many: what it says beside its text, the others say too.
                    self._usual = passed
                else:
                    self._show(passed)
                return passed
            self._event, self._next, self._before = data, passed, None
        else:
            self._take_apart(data)
        return self._deliver()

    def flush(self) -> bytes:
        if self._charge is not None:
            return self._last
        rest = self._buffer.rest() if self._buffer is not None else b""
        return (self._feed(rest) if rest else b"") + self._meter.flush()

    def finish(
        self, end: End, request_bytes: int, response_bytes: int, duration_ms: int, trailers: Trailers = ()
    ) -> Charge:
        if self._charge is not None:
            return self._charge
        if end is not End.COMPLETE and self._next is not None and self._before is not None and self._estimable:
            # The client has not got what the meter saw last.
            return self._before.charge(self._most)
        return super().finish(end, request_bytes, response_bytes, duration_ms, trailers)

    def tick(self) -> None:
        super().tick()
        self._end_by_time()

    @property
    def _bound(self) -> int:
        return self._covered

    def _grown(self) -> None:
        super()._grown()
        if self._held_up:
            self._held_up = False
            self._exchange.go_on()
        else:
            self._end_by_time()

    def _end_by_time(self) -> None:
        """Nothing has come, and still it may cost too much by now."""
        if self._exchange.end is None and not (self._held_up or self._growing):
            progress = self._so_far()
            if progress.cost > self._covered and not progress.final:
                self._over = True
                self._exchange.hold_up()
                self._exchange.go_on()

    def _take_apart(self, data: bytes) -> None:
        if self._buffer is None:
            self._queue.append(data)
            return
        try:
            self._queue.extend(self._buffer.add(data))
        except Unfollowable:
            # Whatever this is, it has no events, and no end that anybody would understand.
            self._queue.append(self._buffer.rest())
            self._buffer = self._ending = None
            self._pending = bytearray()
            self._ends = (b"",)

    def _deliver(self) -> bytes:
        """All that is paid for of what waits."""
        shown: list[bytes] = []
        while not self._over and (self._next is not None or self._queue):
            if self._next is None and self._pass_unseen(shown):
                continue
            progress = self._look()
            if progress.cost > self._covered and not progress.final:
                self._over = not self._growing
                break
            assert self._next is not None
            self._show(self._next)
            shown.append(self._next)
            self._next = None
        if self._over:
            self._end()
        elif self._next is not None:
            self._held_up = True
            self._exchange.hold_up()
        return b"".join(shown)

    def _pass_unseen(self, shown: list[bytes]) -> bool:
        """Show the meter the next event; True when it surely may pass, and has."""
        event = self._queue.popleft()
        weight = self._weigh(event)
        surely = weight <= self._room and not self._coded
        self._before = None if surely else self._so_far()
        if surely and not self._estimates:
            self._before = self._looked
        passed = self._feed(event)
        self._room -= weight
        if surely and self._meter.told == self._told:
            self._show(passed)
            shown.append(passed)
            return True
        self._event, self._next = event, passed
        self._learn(event)
        return False

    def _show(self, events: bytes) -> None:
        if self._ending is not None:
            for each in (self._usual, events):
                if each:
                    self._ending.pass_on(each)
            self._usual = b""

    def _end(self) -> None:
        progress = self._before if self._next is not None and self._before is not None else self._so_far()
        charge = progress.charge(self._covered)
        self._charge = msgspec.structs.replace(charge, usage=charge.usage + EXHAUSTED)
        self._on_cut()
        if self._ending is None:
            self._exchange.cut_off("The credit of the request ended.")
            return
        self._show(b"")
        refused = self._event if self._next is not None else b""
        self._last = self._ending.last(refused, progress.usage, self._hold.reservation_id)
        self._exchange.stop()


def _room(progress: Progress, cost: int, limit: int) -> int:
    """How many bytes of text may come until the answer can have come to `limit`; -1: it may have with any."""
    far = progress.at_most(AHEAD_BYTES)
    if far <= limit:
        return AHEAD_BYTES
    # Where prices are even the first guess is right, but for what is rounded.
    ahead = AHEAD_BYTES * (limit - cost) // max(far - cost, 1) - NEAR_BYTES
    while ahead >= NEAR_BYTES:
        if progress.at_most(ahead) <= limit:
            return ahead
        ahead = ahead * 3 // 4
    return -1


def metered(
    exchange: Exchange, terms: Terms, admitted: Admitted, answer: ResponseHead, upkeep: Upkeep, cuts: Counter[str]
) -> tuple[Meter | Growing, bool]:
    """What meters this answer, and whether what it passes on may be of another length. `cuts` are counted by rule.

    An answer in JSON is never cut: what it costs stands at its end, and until then nobody can say.
    """
    quote, hold, rule = admitted.quote, admitted.hold, terms.rule
    meter = quote.meter(answer.status, answer)
    if rule.on_exhausted is None or answer.status not in quote.tariff.charge_on:
        return meter, quote.plain_answer
    framing = framing_of(answer.get(b"content-type", b""))
    # What a repetition cost before is charged already, and not held again.
    paid = (admitted.claim.charged or 0) if admitted.claim is not None else 0
    if not terms.cuts or (framing is None and quote.tariff.meters.reader is not None):
        return Growing(exchange, meter, quote, hold, upkeep, paid), quote.plain_answer
    if answer.get(b"content-encoding", b"identity").strip().lower() not in {b"", b"identity"}:
        framing = None

    def on_cut() -> None:
        cuts[rule.name] += 1

    cutting = Cutting(exchange, meter, quote, hold, upkeep, paid, framing=framing, on_cut=on_cut)
    return cutting, quote.plain_answer or cutting.rewrites
