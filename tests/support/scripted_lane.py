"""A lane to a real store that fails as a test says: a command has its effect or not, and its reply comes or not."""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from sidecar.domain.errors import StoreTimeout, StoreUnavailable
from sidecar.store.lane import Lane
from sidecar.store.reply import Reply
from sidecar.store.subscription import Subscription

T = TypeVar("T")
Answer = Reply[Any] | asyncio.Future[Any]


class Fault(Enum):
    """What becomes of a command."""

    REFUSED = "it cannot be sent"
    LOST = "it has its effect, and no reply comes"
    NEVER = "it has no effect, and no reply comes"
    DEFECT = "sending it raises what nobody expects"


class Kept:
    """A command whose reply is kept back, or which itself is, `before` it has its effect; `asked`: it is there."""

    def __init__(self, *, before: bool = False) -> None:
        self.before = before
        self.asked = asyncio.Event()
        self._give: Callable[[], object] | None = None
        self._gone = False

    def keep(self, give: Callable[[], object]) -> None:
        self._give = give
        self.asked.set()
        if self._gone:
            self.go()

    @classmethod
    def gone(cls) -> "Kept":
        """One that keeps nothing back."""
        kept = cls()
        kept.go()
        return kept

    def go(self) -> None:
        """It goes on now, or when it is there; once."""
        self._gone = True
        give, self._give = self._give, None
        if give is not None:
            give()


class Says:
    """A command that has no effect, and this reply."""

    def __init__(self, *reply: bytes) -> None:
        self.reply = list(reply)


Doing = Fault | Kept | Says


class ScriptedLane(Lane):
    """`plan` is asked about each command by its number, from 1, and its bytes; None lets it pass."""

    def __init__(self, lane: Lane) -> None:
        self.real = lane
        self.round_trips = lane.round_trips
        self.plan: Callable[[int, bytes], Doing | None] = lambda _number, _packed: None
        self.asked_total = 0
        self.dead = False

    def at(self, what: bytes, fault: Doing) -> None:
        """The next command that has `what` in it fails so; those after it pass."""

        def plan(_number: int, packed: bytes) -> Doing | None:
            if what not in packed:
                return None
            self.plan = lambda _number, _packed: None
            return fault

        self.plan = plan

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if (fault := self._fault(packed)) is None:
            return self.real.send(packed)
        self._play(fault, packed, future)
        return future

    def ask(self, packed: bytes, decode: Callable[[Any], T]) -> Reply[T]:
        if (fault := self._fault(packed)) is None:
            return self.real.ask(packed, decode)
        reply = Reply(decode)
        self._play(fault, packed, reply)
        return reply

    def _fault(self, packed: bytes) -> Doing | None:
        self.asked_total += 1
        return Fault.REFUSED if self.dead else self.plan(self.asked_total, packed)

    def _play(self, fault: Doing, packed: bytes, answer: Answer) -> None:
        if fault is Fault.DEFECT:
            raise RuntimeError("a defect that a test has made")
        if isinstance(fault, Says):
            answer.set_result(fault.reply)
        elif fault is Fault.REFUSED:
            answer.set_exception(StoreUnavailable("There is no connection to the store."))
        elif fault is Fault.NEVER:
            answer.set_exception(StoreTimeout("The store did not answer."))
        elif isinstance(fault, Kept) and fault.before:
            fault.keep(lambda: self._play(Fault.REFUSED if self.dead else Kept.gone(), packed, answer))
        else:
            self._pass(packed, answer, fault)

    def _pass(self, packed: bytes, answer: Answer, fault: Doing) -> None:
        """Send it on; what becomes of its reply is `fault`."""
        real = self.real.ask(packed, lambda raw: raw)
        real.add_done_callback(lambda done: self._answered(fault, done, answer))

    def _answered(self, fault: Doing, done: Reply[Any], answer: Answer) -> None:
        def give() -> None:
            if not answer.done():
                if fault is Fault.LOST:
                    answer.set_exception(StoreTimeout("The store did not answer."))
                else:
                    answer.set_result(done.result())

        if isinstance(fault, Kept):
            fault.keep(give)
        else:
            give()

    # As the real one

    async def open(self) -> None:
        await self.real.open()

    async def close(self) -> None:
        await self.real.close()

    async def listen(self, channel: bytes, heard: Callable[[bytes], object]) -> Subscription:
        if self.dead:
            raise StoreUnavailable("There is no connection to the store.")
        return await self.real.listen(channel, heard)

    @property
    def connected(self) -> bool:
        return not self.dead and self.real.connected

    @property
    def waiting(self) -> int:
        return self.real.waiting

    @property
    def commands_total(self) -> int:
        return self.real.commands_total

    @property
    def flushes_total(self) -> int:
        return self.real.flushes_total

    @property
    def timeouts_total(self) -> int:
        return self.real.timeouts_total

    @property
    def reconnects_total(self) -> int:
        return self.real.reconnects_total

    @property
    def counts_listeners(self) -> bool:
        return self.real.counts_listeners
