"""A command on its way through a cluster: it stands in for whoever waits for the reply, and bounds the journey.

It knows whether the command is with a node now, and so whether its effect is unknown when the time is up. That time,
the command's own, also bounds how often it is sent on: pauses between the attempts grow.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from sidecar.domain.errors import StoreError, StoreTimeout, StoreUnavailable
from sidecar.store.pauses import Pauses
from sidecar.store.wire import Waiter, Wire

AT_ONCE = 2
"""So many moves are followed at once; then the nodes disagree, and only time helps."""
PAUSE_FIRST_S = 0.005
PAUSE_MOST_S = 0.1


class Journey:
    """Takes the place of `waiter` from the first redirection on, until `deadline` on the loop's clock.

    `on_late` is told when it ended there without a reply.
    """

    def __init__(self, waiter: Waiter, packed: bytes, deadline: float, on_late: Callable[[], object]) -> None:
        self._waiter = waiter
        self._on_late = on_late
        self.packed = packed
        self.asking = False
        """Whether the last node was asked to serve a slot that is only on its way to it."""
        self._sent = False
        self._moves = 0
        self._why = ""
        self._pauses = Pauses(PAUSE_FIRST_S, PAUSE_MOST_S)
        self._end = asyncio.get_running_loop().call_at(deadline, self._expire)

    def refused(self, word: str, why: str) -> float:
        """A node has not executed it: `word` is MOVED, ASK or TRYAGAIN. How long to wait before it is sent on, in s.

        0 is for at once, to where the node says; after a pause the way begins anew.
        """
        self._sent = False
        self._why = why
        self._moves += word == "MOVED"
        if word == "TRYAGAIN" or (word == "MOVED" and self._moves > AT_ONCE):
            return self._pauses.next_s()
        return 0.0

    def send(self, wire: Wire, *, asking: bool) -> None:
        """Put it on the wire to a node."""
        if self.done():
            return
        self.asking = asking
        try:
            (wire.put_asking if asking else wire.put)(self.packed, self)
        except StoreError as error:
            self.set_exception(error)
        else:
            self._sent = True

    # For the wire

    def done(self) -> bool:
        return self._waiter.done()

    def set_result(self, result: Any, /) -> None:
        self._end.cancel()
        self._waiter.set_result(result)

    def set_exception(self, error: BaseException, /) -> None:
        self._end.cancel()
        if not self.done():
            self._waiter.set_exception(error)

    def _expire(self) -> None:
        if self.done():
            return
        if self._sent:
            self._on_late()
            self.set_exception(StoreTimeout(f"The store did not answer in time after a redirection: {self._why}"))
        else:
            self.set_exception(StoreUnavailable(f"The store cannot serve us now: {self._why}"))
