"""Sessions in another protocol, paid for while they last: holds grow, and when credit ends they do.

Both directions are shown to the meter. A WebSocket is passed on by whole frames: one by which it would cost more than
is held waits until more is held, and all behind it, in both directions; or it never passes, and is not charged, and
the client is told in a close frame. Another protocol just breaks off between two pieces.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from sidecar.domain.conversation import Conversation
from sidecar.domain.metering import Bill, Charge
from sidecar.domain.meters.websocket import GOING_AWAY, FrameEnds, Goodbye, close_frame
from sidecar.domain.price import Usage, usage_text
from sidecar.domain.progress import Progress
from sidecar.domain.rules import WEBSOCKET
from sidecar.domain.usage_words import less
from sidecar.http1.errors import End
from sidecar.http1.exchange import Exchange
from sidecar.proxy.exits import EXHAUSTED
from sidecar.proxy.terms import Terms
from sidecar.services.hold import Bridged, Hold
from sidecar.services.steps import Steps
from sidecar.services.upkeep import Upkeep
from sidecar.telemetry import Metrics

_NOTHING: Usage = {}
_LEAVES = {End.CUT: "the proxy is shutting down", End.TIMED_OUT: "nothing came for too long, or it lasted too long"}


def pass_on(exchange: Exchange, drops: frozenset[bytes], *, via: bool) -> End | None:
    """As `Exchange.relay`, for an answer or a session that nobody meters."""
    return exchange.tunnel(drops, b"", bytes, bytes, via) if exchange.tunnels else exchange.relay(drops, via=via)


class Metered:
    """A session without a bound: only what it cost is told, when it has ended."""

    def __init__(self, exchange: Exchange, terms: Terms, bill: Bill) -> None:
        self._exchange = exchange
        self._terms = terms
        self._conversation = Conversation(bill)
        self._loop = asyncio.get_running_loop()

    async def pass_on(self, extra: bytes, *, via: bool) -> Charge:
        """Pass both directions on until it ends, hang up, and say what it cost; `extra` are header lines to add."""
        exchange = self._exchange
        end = exchange.tunnel(self._terms.drops_down, extra, self.up, self.down, via) or await exchange.ended()
        if end is End.COMPLETE:
            exchange.finish()
        else:
            exchange.cut(self.goodbye(end))
        return self.charge()

    def up(self, data: bytes) -> bytes:
        """What the client says."""
        self._conversation.up(data)
        return data

    def down(self, data: bytes) -> bytes:
        """What the upstream says."""
        self._conversation.down(data)
        return data

    def goodbye(self, end: End) -> bytes:  # noqa: ARG002 - a face
        """What the client is told that is cut off."""
        return b""

    def charge(self) -> Charge:
        """What it cost."""
        exchange = self._exchange
        return self._conversation.finish(exchange.request_bytes, exchange.response_bytes, self._duration_ms())

    def _duration_ms(self) -> int:
        return round((self._loop.time() - self._exchange.started_s) * 1000)


class _Side:
    """One direction: what has not passed yet; the first of it may have been `seen` by the meter already."""

    __slots__ = ("_ends", "between", "queue", "see", "seen")

    def __init__(self, see: Callable[[bytes], None], ends: FrameEnds | None) -> None:
        self.see = see
        self.queue: deque[tuple[bytes, bool]] = deque()
        self.seen = False
        self.between = True
        """Whether what has passed ends with a frame."""
        self._ends = ends

    def add(self, data: bytes) -> None:
        if data:
            self.queue.extend(self._ends.cut(data) if self._ends is not None else [(data, False)])

    def take(self) -> bytes:
        """The first piece may pass."""
        piece, self.between = self.queue.popleft()
        self.seen = False
        return piece


class Session(Metered):
    """And with a hold that grows; `cuts`: it ends with what is held."""

    def __init__(
        self,
        exchange: Exchange,
        terms: Terms,
        bill: Bill,
        hold: Hold,
        upkeep: Upkeep,
        metrics: Metrics,
        *,
        step_s: float,
    ) -> None:
        """Every `step_s` what was used is charged; with 0, only when it ends."""
        super().__init__(exchange, terms, bill)
        self._hold = hold
        self._upkeep = upkeep
        self._most = bill.tariff.max_charge
        self._grows = terms.rule.on_exhausted is not None
        self._cuts = terms.cuts
        self._metrics, self._rule, self._unit = metrics, terms.rule.name, terms.unit.name
        # What its end says to limits, or counts over a period, is said once.
        self._step_s = 0.0 if terms.limits_read_usage or bill.counters or isinstance(hold, Bridged) else step_s
        self._step_at = self._loop.time() + step_s
        self.steps: Steps | None = None
        self._charged, self._told = 0, _NOTHING
        self._first = hold.held
        self._frames = terms.rule.upgrade == WEBSOCKET
        self._up = _Side(self._conversation.up, FrameEnds() if self._frames else None)
        self._down = _Side(self._conversation.down, FrameEnds() if self._frames else None)
        self._busy = self._resting = self._held_up = False
        self._wanted = 0
        self._due = self._conversation.so_far()
        self._charge: Charge | None = None

    async def pass_on(self, extra: bytes, *, via: bool) -> Charge:
        if self._grows or self._step_s:
            self._upkeep.watch(self._hold, self.tick)
        return await super().pass_on(extra, via=via)

    def up(self, data: bytes) -> bytes:
        return self._pass(self._up, data)

    def down(self, data: bytes) -> bytes:
        return self._pass(self._down, data)

    def goodbye(self, end: End) -> bytes:
        if not self._frames or not self._down.between:
            return b""
        if self._charge is not None:
            return Goodbye().last(b"", {}, self._hold.reservation_id)
        return close_frame(GOING_AWAY, _LEAVES[end]) if end in _LEAVES else b""

    def charge(self) -> Charge:
        charge, steps = self._charge or super().charge(), self.steps
        if steps is None or charge.release:
            return charge
        left, usage = max(charge.amount - steps.promised, 0), less(charge.usage, self._told)
        return msgspec.structs.replace(charge, amount=left, usage=usage)

    def tick(self) -> None:
        """Time has passed: what there was not enough for may fit by now, and time may be what costs."""
        self._resting = False
        if self._exchange.end is None and self._charge is None and not self._held_up:
            progress = self._so_far()
            if self._lacks(progress) and not self._busy:
                self._end(progress)
            elif self._step_s and self._loop.time() >= self._step_at and not self._busy:
                self._step(progress)

    def _pass(self, side: _Side, data: bytes) -> bytes:
        side.add(data)
        passed = []
        while side.queue and not self._held_up and self._charge is None:
            if not side.seen:
                told = self._conversation.told
                before = self._so_far() if self._cuts else None
                side.see(side.queue[0][0])
                side.seen = True
                progress = self._so_far()
                # What the upstream reports, it has done already.
                self._due = progress if before is None or self._conversation.told != told else before
                if self._lacks(progress):
                    self._wait_or_end()
                    break
            passed.append(side.take())
        return b"".join(passed)

    def _lacks(self, progress: Progress) -> bool:
        """Grow if need be; whether it costs more than is held, and that matters."""
        charged, held = self._steps_charged, self._hold.held
        cost, most = progress.cost - charged, self._most - charged
        may_grow = self._grows and not (self._busy or self._resting) and held < most
        if may_grow and cost > 0 and 2 * cost >= held:
            self._busy = True
            self._wanted = min(2 * max(held, cost, self._first), most)
            self._upkeep.grow(self._hold, self._wanted, self._grown)
        return self._cuts and cost > held

    def _wait_or_end(self) -> None:
        if self._busy:
            self._held_up = True
            self._exchange.hold_up()
        else:
            self._end(self._due)

    def _grown(self) -> None:
        self._resting = self._hold.held < self._wanted
        self._look_again()

    @property
    def _steps_charged(self) -> int:
        return self.steps.charged if self.steps is not None else 0

    def _step(self, progress: Progress) -> None:
        """Charge what was used since the last step, or try that one again."""
        if self.steps is None:
            self.steps = Steps(self._hold)
        steps, self._step_at = self.steps, self._loop.time() + self._step_s
        if steps.pending is None:
            cost = min(progress.cost - steps.charged, self._hold.held)
            if cost <= 0:
                return
            whole, bill = progress.usage, progress.bill
            source = progress.charge(self._most).source
            steps.begin(cost, less(usage_text(whole, bill.chosen_by), self._told), source)
            self._told = whole
        self._busy = True
        self._upkeep.step(steps, self._stepped)

    def count_steps(self) -> None:
        """Count what steps have charged since; the last of them may be charged at the end only."""
        charged, self._charged = self._steps_charged - self._charged, self._steps_charged
        self._metrics.charged[self._unit] += charged

    def _stepped(self) -> None:
        self.count_steps()
        self._look_again()

    def _look_again(self) -> None:
        """The store has answered, or not: what waits may pass, or never will."""
        self._busy = False
        if self._exchange.end is not None or self._charge is not None:
            return
        waited, self._held_up = self._held_up, False
        progress = self._so_far()
        if self._lacks(progress):
            self._due = self._due if waited else progress
            self._wait_or_end()
        elif waited:
            self._exchange.go_on()

    def _end(self, progress: Progress) -> None:
        """What was paid for still passes, so this is not the moment to hang up."""
        charge = progress.charge(self._most)
        self._charge = msgspec.structs.replace(charge, usage=charge.usage + EXHAUSTED)
        self._metrics.cut[self._rule] += 1
        self._loop.call_soon(self._exchange.cut_off, "The credit of the session ended.")

    def _so_far(self) -> Progress:
        return self._conversation.so_far(self._duration_ms())
