"""The addresses of the upstream: which one gets a request, and what follows when it fails there.

A request goes to the least busy address whose breaker lets it. One that no connection could be had for goes to the
next address, since nothing was sent; every other attempt is made again only where the rule says so (`Retry`), as long
as retries are few beside requests. The hold knows nothing of this: it is one, whatever the attempts.
"""

import asyncio
import logging
import math
import random
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec

from sidecar.domain.retries import CONNECT, RESET, TIMEOUT, Retry
from sidecar.http1.errors import End, Failure, Phase
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs, RequestPolicy
from sidecar.http1.heads import ResponseHead
from sidecar.http1.pool import Pool
from sidecar.services.breaker import Breaker

log = logging.getLogger("sidecar.upstreams")

PAUSE_FIRST_S = 0.025
PAUSE_MOST_S = 1.0
"""Between two attempts at one address; the second doubles the first."""
RETRIES_SAVED = 10.0
"""Retries that quiet times save up for a burst of failures."""


class Unavailable(Failure, frozen=True):
    """Every address is left alone for now, so nothing was sent."""

    retry_after_s: int


class Address(msgspec.Struct, frozen=True, eq=False):
    """One address: its connections, how requests are written for it, and whether it answers."""

    pool: Pool
    policy: RequestPolicy
    breaker: Breaker


class Upstreams:
    """Forwards exchanges. `statuses` are answers that count as failures of their address.

    `retry_ratio` is how many retries there may be for each request, over time.
    """

    def __init__(
        self, addresses: Sequence[Address], *, statuses: frozenset[int] = frozenset(), retry_ratio: float = 0.2
    ) -> None:
        assert addresses
        self.addresses = tuple(addresses)
        self.engine = addresses[0].pool.engine
        self._only = self.addresses[0] if len(addresses) == 1 else None
        self._statuses = statuses
        self._retry_ratio = retry_ratio
        self._retries_left = RETRIES_SAVED
        self._turn = 0
        self._probes: set[Exchange] = set()
        self.retries_total = 0
        for address in self.addresses:
            address.pool.failed = partial(self._learn_failure, address)

    @property
    def size(self) -> int:
        """Connections to all of them, those that are being opened included."""
        return sum(address.pool.size for address in self.addresses)

    @property
    def idle(self) -> int:
        return sum(address.pool.idle for address in self.addresses)

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection to one of them."""
        return sum(address.pool.waiting for address in self.addresses)

    def set_field(self, name: bytes, value: bytes) -> None:
        """From the next request on, `name`, which is set in requests already, has another value."""
        self.addresses = tuple(
            msgspec.structs.replace(address, policy=address.policy.with_field(name, value))
            for address in self.addresses
        )
        self._only = self.addresses[0] if len(self.addresses) == 1 else None

    def unavailable(self) -> Unavailable | None:
        """What to tell a request that no address would get now; None when one would."""
        if self.addresses[0].breaker.closed:
            return None
        now_s = self.engine.loop.time()
        if any(address.breaker.allows(now_s) for address in self.addresses):
            return None
        wait_s = min(address.breaker.opens_in_s(now_s) for address in self.addresses)
        detail = "The upstream has failed several times in a row and is left alone for a moment; nothing was sent."
        return Unavailable(End.UPSTREAM_FAILED, Phase.CONNECT, False, detail, max(1, math.ceil(wait_s)))

    def forward(
        self,
        exchange: Exchange,
        retry: Retry,
        drops: frozenset[bytes],
        extra: Pairs = (),
        body: bytes | None = None,
        interim_drops: frozenset[bytes] = frozenset(),
    ) -> Coroutine[Any, Any, ResponseHead | Failure]:
        """As `Exchange.forward`, to one address after the other; `Unavailable` when there is none to try."""
        only = self._only
        if only is not None and not retry.most and only.breaker.untroubled and not self._statuses:
            # Nearly all requests: one address, which answers, and nothing that would be tried again.
            return exchange.forward(only.pool, only.policy, drops, extra, body, interim_drops)
        return self._forward(exchange, retry, drops, extra, body, interim_drops)

    async def _forward(
        self,
        exchange: Exchange,
        retry: Retry,
        drops: frozenset[bytes],
        extra: Pairs,
        body: bytes | None,
        interim_drops: frozenset[bytes],
    ) -> ResponseHead | Failure:
        exchange.keeps_body = retry.most > 0
        tried: list[Address] = []
        self._retries_left = min(self._retries_left + self._retry_ratio, RETRIES_SAVED)
        while True:
            address = self._choose(tried)
            if address is None:
                return self.unavailable() or _NOBODY
            if address.breaker.begin():
                self._probes.add(exchange)
            try:
                answer = await exchange.forward(address.pool, address.policy, drops, extra, body, interim_drops)
                if not isinstance(answer, Failure):
                    self._learn_answer(address, exchange, answer)
            finally:
                if exchange in self._probes:
                    # It ended in a way that says nothing about the address.
                    self._probes.discard(exchange)
                    address.breaker.ended(probe=True)
            tried.append(address)
            if not self._may_try_again(exchange, answer, retry, tried):
                return answer
            await self._pause(tried)

    def _choose(self, tried: list[Address]) -> Address | None:
        """The least busy address, those that were not tried first; the turn goes round among equals."""
        now_s = self.engine.loop.time()
        if self._only is not None:
            return self._only if self._only.breaker.allows(now_s) else None
        self._turn += 1
        turned = (*self.addresses[self._turn % len(self.addresses) :], *self.addresses)[: len(self.addresses)]
        allowed = [address for address in turned if address.breaker.allows(now_s)]
        # One whose breaker is half-open comes first: without its probe it would never come back.
        return min(
            allowed, key=lambda address: (address in tried, address.breaker.closed, address.pool.busy), default=None
        )

    def _learn_answer(self, address: Address, exchange: Exchange, answer: ResponseHead) -> None:
        probe = exchange in self._probes
        self._probes.discard(exchange)
        if answer.status in self._statuses:
            self._note_failure(address, f"It answered {answer.status}.", probe=probe)
        elif address.breaker.succeeded(probe=probe):
            log.warning("the upstream %s answers again", address.pool.origin)

    def _learn_failure(self, address: Address, exchange: Exchange, failure: Failure) -> None:
        """Its pool tells of each exchange that failed; one that broke off in its body did answer."""
        if failure.phase in (Phase.CONNECT, Phase.HEAD) and not _was_crowded(failure, address.pool):
            probe = exchange in self._probes
            self._probes.discard(exchange)
            self._note_failure(address, failure.detail, probe=probe)

    def _note_failure(self, address: Address, why: str, *, probe: bool) -> None:
        if address.breaker.failed(self.engine.loop.time(), probe=probe):
            log.error("the upstream %s is left alone after failures in a row: %s", address.pool.origin, why)

    def _may_try_again(
        self, exchange: Exchange, answer: ResponseHead | Failure, retry: Retry, tried: list[Address]
    ) -> bool:
        """Whether the request shall and can be sent once more; then the exchange is ready for it."""
        if isinstance(answer, Failure) and answer.phase is Phase.CONNECT and len(tried) < len(self.addresses):
            # Nothing was sent, and another address may do.
            return answer.end in (End.UPSTREAM_FAILED, End.TIMED_OUT) and exchange.again()
        if len(tried) > retry.most or not _tells_to_retry(answer, retry) or self._retries_left < 1:
            return False
        if not exchange.again():
            return False
        self._retries_left -= 1
        self.retries_total += 1
        return True

    async def _pause(self, tried: list[Address]) -> None:
        """Give the only address a moment; another one needs none."""
        if len(tried) >= len(self.addresses):
            pause_s = min(PAUSE_FIRST_S * 2 ** (len(tried) - len(self.addresses)), PAUSE_MOST_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing.


_NOBODY = Unavailable(
    End.UPSTREAM_FAILED,
    Phase.CONNECT,
    False,
    "The upstream has failed, and whether it is back is being found out.",
    1,
)


def _was_crowded(failure: Failure, pool: Pool) -> bool:
    """Whether the time went by in the queue for a connection: the address may be well."""
    return failure.phase is Phase.CONNECT and failure.end is End.TIMED_OUT and pool.full


def _tells_to_retry(answer: ResponseHead | Failure, retry: Retry) -> bool:
    if isinstance(answer, Failure):
        if answer.phase is Phase.CONNECT:
            return CONNECT in retry.causes and answer.end in (End.UPSTREAM_FAILED, End.TIMED_OUT)
        cause = {End.UPSTREAM_FAILED: RESET, End.TIMED_OUT: TIMEOUT}.get(answer.end)
        return cause in retry.causes
    # Who says when to come back means it.
    return answer.status in retry.statuses and answer.get(b"retry-after") is None
