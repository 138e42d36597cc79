"""The lane to a Redis Cluster: one connection to each primary, each command to the one that has its keys.

What a node refused to execute is sent where the node says; nothing else is ever sent twice. The map of the cluster is
read again whenever it turns out to be wrong, or when a node is lost.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from sidecar.domain.errors import StoreError, StoreUnavailable
from sidecar.store.address import Address, Node
from sidecar.store.lane import Lane
from sidecar.store.pauses import Pauses
from sidecar.store.redirects import Journey
from sidecar.store.reply import Reply
from sidecar.store.server_lane import ServerLane, in_full
from sidecar.store.subscription import Subscription
from sidecar.store.topology import Topology, read_redirection, read_topology, slot_of, tag_of
from sidecar.store.wire import Redirect, Waiter
from sidecar.tasks import Tasks
from sidecar.telemetry import Histogram

T = TypeVar("T")

log = logging.getLogger("sidecar.store")

LEAVING_TIMEOUTS = 1.5
"""After so many timeouts whatever a node was sent has its outcome."""


class _NodeLane(ServerLane):
    """The connection to one node; `on_lost` is told when it breaks."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        round_trips: Histogram,
        redirect: Redirect,
        on_lost: Callable[[], object],
    ) -> None:
        super().__init__(
            address,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            round_trips=round_trips,
            redirect=redirect,
        )
        self._on_lost = on_lost

    def _check(self, answer: Any) -> None:
        if b"cluster_enabled:0" in answer:
            raise StoreUnavailable(
                f"The store at {self._address} is no node of a cluster: write its address as redis://…"
            )

    def _lost(self) -> None:
        self._on_lost()


class ClusterLane(Lane):
    """A `Lane` to the cluster that `address` names some nodes of.

    It is connected while any primary is: what the others have fails as on a broken connection. A command without a
    key of ours goes to any primary.
    """

    def __init__(self, address: Address, *, timeout_s: float = 1.0, connect_timeout_s: float = 5.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._topology = Topology()
        self._lanes: dict[Node, _NodeLane] = {}
        self._leaving: set[_NodeLane] = set()
        """Of nodes that are no primaries any more; what they were sent is still to be answered."""
        self._by_tag: dict[bytes, _NodeLane] = {}
        self._opening: defaultdict[Node, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stale = asyncio.Event()
        self._past = [0, 0, 0, 0]
        self._late_total = 0
        self._tasks = Tasks()
        self.round_trips = Histogram()

    async def open(self) -> None:
        try:
            await self._learn()
        except BaseException:
            await self.close()
            raise
        self._tasks.start(self._keep_learning(), "store cluster")
        if not self._settled():
            self._stale.set()

    async def close(self) -> None:
        await self._tasks.cancel()
        lanes = self._everyone()
        await asyncio.gather(*(lane.close() for lane in lanes))
        for lane in lanes:
            self._forget(lane)
        self._lanes.clear()
        self._leaving.clear()
        self._by_tag.clear()

    @property
    def connected(self) -> bool:
        return any(lane.connected for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        return sum(lane.waiting for lane in self._everyone())

    @property
    def commands_total(self) -> int:
        return self._past[0] + sum(lane.commands_total for lane in self._everyone())

    @property
    def flushes_total(self) -> int:
        return self._past[1] + sum(lane.flushes_total for lane in self._everyone())

    @property
    def timeouts_total(self) -> int:
        return self._past[2] + self._late_total + sum(lane.timeouts_total for lane in self._everyone())

    @property
    def reconnects_total(self) -> int:
        return self._past[3] + sum(lane.reconnects_total for lane in self._everyone())

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        return self._lane_for(tag_of(packed)).send(packed)

    def ask(self, packed: bytes, decode: Callable[[Any], T]) -> Reply[T]:
        tag = tag_of(packed)
        lane = self._by_tag.get(tag) or self._lane_for(tag)
        return lane.ask(packed, decode)

    @property
    def counts_listeners(self) -> bool:
        return False

    async def listen(self, channel: bytes, heard: Callable[[bytes], object]) -> Subscription:
        """At any node: each tells all others what is published."""
        return await self._lane_for(b"").listen(channel, heard)

    # Where commands go

    def _lane_for(self, tag: bytes) -> _NodeLane:
        """The lane to the node that serves `tag`; to any when that is empty."""
        lane = self._by_tag.get(tag)
        if lane is not None:
            return lane
        if not tag:
            lane = next((lane for lane in self._lanes.values() if lane.connected), None)
        elif (node := self._topology.primary_of(slot_of(tag))) is not None:
            lane = self._lanes.get(node)
        if lane is None:
            raise StoreUnavailable(f"There is no connection to the right node of the store at {self._address}.")
        if tag:
            self._by_tag[tag] = lane
        return lane

    def _redirected(self, node: Node, waiter: Waiter, packed: bytes, since: float, message: str) -> bool:
        """What `node` refused is sent on, if it is to be found elsewhere or later; see `Redirect`."""
        word = message.partition(" ")[0]
        if word in {"MOVED", "CLUSTERDOWN"}:
            self._stale.set()
        if word == "NOSCRIPT":
            return self._asked_in_full(node, waiter, packed)
        if word not in {"MOVED", "ASK", "TRYAGAIN"}:
            return False
        journey = waiter if isinstance(waiter, Journey) else self._journey(waiter, packed, since)
        if pause_s := journey.refused(word, message):
            asyncio.get_running_loop().call_later(pause_s, self._send_on, journey)
            return True
        target = read_redirection(message, node)
        lane = self._lanes.get(target)
        if lane is None or not lane.connected:
            self._tasks.start(self._send_to(target, journey, asking=word == "ASK"), "store redirection")
            return True
        if word == "MOVED" and (tag := tag_of(packed)):
            self._by_tag[tag] = lane
        journey.send(lane.wire(), asking=word == "ASK")
        return True

    def _asked_in_full(self, node: Node, waiter: Waiter, packed: bytes) -> bool:
        """Ask again with the script's text: the wire's own repetition would lack the asking."""
        lane, text = self._lanes.get(node), in_full(packed)
        if lane is None or text is None or not isinstance(waiter, Journey) or not waiter.asking:
            return False
        waiter.packed = text
        waiter.send(lane.wire(), asking=True)
        return True

    def _journey(self, waiter: Waiter, packed: bytes, since: float) -> Journey:
        return Journey(waiter, packed, since + self._timeout_s, self._late)

    def _late(self) -> None:
        self._late_total += 1

    def _send_on(self, journey: Journey) -> None:
        """By the map, as it is now."""
        try:
            journey.send(self._lane_for(tag_of(journey.packed)).wire(), asking=False)
        except StoreUnavailable as error:
            journey.set_exception(error)

    async def _send_to(self, node: Node, journey: Journey, *, asking: bool) -> None:
        """To a node that there is no connection to yet."""
        try:
            journey.send((await self._reach(node)).wire(), asking=asking)
        except (StoreError, asyncio.CancelledError) as error:
            journey.set_exception(StoreUnavailable(f"The store's node at {node} cannot be reached: {error}"))
            if isinstance(error, asyncio.CancelledError):
                raise

    # The map

    async def _keep_learning(self) -> None:
        pauses, said = Pauses(), ""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._learn()
            except StoreError as error:
                if error.detail != said:
                    log.warning("%s", error.detail)
                said = error.detail
            if self._settled():
                pauses.reset()
                said = ""
            else:
                self._stale.set()
            await asyncio.sleep(pauses.next_s())

    def _settled(self) -> bool:
        lanes = [self._lanes.get(node) for node in self._topology.primaries]
        return self._topology.complete and all(lane is not None and lane.connected for lane in lanes)

    async def _learn(self) -> None:
        """Read the map, connect to whoever is new on it, and let go of whoever is not on it."""
        topology = await self._read()
        await asyncio.gather(*map(self._reach, topology.primaries), return_exceptions=True)
        if not any(node in self._lanes for node in topology.primaries):
            raise StoreUnavailable(f"No primary of the cluster at {self._address} can be reached.")
        self._topology = topology
        self._by_tag.clear()
        for node in self._lanes.keys() - topology.primaries:
            lane = self._lanes.pop(node)
            self._leaving.add(lane)
            self._tasks.start(self._leave(lane), "store node leaves")

    async def _read(self) -> Topology:
        """The map as the first node that answers sees it."""
        problem = ""
        for node in self._known():
            try:
                lane = await self._reach(node)
                topology = read_topology(await lane.execute("CLUSTER", "SLOTS"), node)
            except StoreError as error:
                problem = error.detail
            else:
                if topology.primaries:
                    return topology
                problem = f"The node at {node} belongs to no cluster yet."
        raise StoreUnavailable(f"No node of the cluster at {self._address} can be asked for the others. {problem}")

    def _known(self) -> Iterable[Node]:
        """Whom to ask for the map, once each: first those we are connected to that owe us the fewest replies."""
        connected = [node for node, lane in self._lanes.items() if lane.connected]
        connected.sort(key=lambda node: (self._lanes[node].waiting, random.random()))  # noqa: S311 — guards nothing.
        return dict.fromkeys((*connected, *self._topology.nodes, *self._address.nodes))

    async def _reach(self, node: Node) -> _NodeLane:
        """The lane to `node`, opened when there is none yet; it may have lost its connection since."""
        async with self._opening[node]:
            if (lane := self._lanes.get(node)) is None:
                lane = _NodeLane(
                    self._address.at(node),
                    timeout_s=self._timeout_s,
                    connect_timeout_s=self._connect_timeout_s,
                    round_trips=self.round_trips,
                    redirect=partial(self._redirected, node),
                    on_lost=self._stale.set,
                )
                await lane.open()
                self._lanes[node] = lane
                if self._topology.primaries:  # Not those of the start.
                    self._past[3] += 1
            return lane

    async def _leave(self, lane: _NodeLane) -> None:
        await asyncio.sleep(LEAVING_TIMEOUTS * self._timeout_s)
        await lane.close()
        self._leaving.discard(lane)
        self._forget(lane)

    def _forget(self, lane: _NodeLane) -> None:
        totals = (lane.commands_total, lane.flushes_total, lane.timeouts_total, lane.reconnects_total)
        for index, count in enumerate(totals):
            self._past[index] += count

    def _everyone(self) -> list[_NodeLane]:
        return [*self._lanes.values(), *self._leaving]
