"""A process that serves without its store, the store that goes away, and the customer, for the tests of both ways."""

from pathlib import Path

from sidecar.domain.outcomes import Refused
from sidecar.domain.store_down import OnStoreDown, StoreDown
from sidecar.services.bridging import Asking
from sidecar.services.credit_leases import LeaseTerms
from sidecar.services.hold import Bridged, Hold
from sidecar.services.holds import Holds
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.services.spool import Spool
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.domain.test_tokens import signer
from tests.support.books import UNIT, Purse
from tests.support.store import StoreServer
from tests.support.until import until

TIMEOUT_S = 0.3
ALLOW = StoreDown(way=OnStoreDown.ALLOW, for_s=60)
LEASE = StoreDown(way=OnStoreDown.LEASE)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Process:
    """One process with a spool. Its requests are those of `purse`."""

    def __init__(self, lane: Lane, purse: Purse, folder: Path, policy: StoreDown, share: float = 0.5) -> None:
        self.lane = lane
        self.purse = purse.elsewhere(lane)
        self.policy = policy
        self.clock = Clock()
        self.tasks = Tasks()
        self.spool = Spool(folder, max_bytes=1_000_000, tasks=self.tasks, signer=signer())
        queue = Queue(lane, self.purse.ledger, waiting_max=10, account_max=5, tasks=self.tasks)
        self.holds = Holds(
            self.purse.ledger, Pressure(self.purse.journal, max_entries=10), queue, Outage(lane, self.tasks),
            ttl_s=60, timeout_s=TIMEOUT_S, tasks=self.tasks, spool=self.spool, lease_terms=LeaseTerms(share=share),
        )  # fmt: skip
        self.bridging = self.holds.bridging
        self.leases = self.bridging.leases
        self.bridging.allowances._now = self.bridging._switch._now = self.leases._now = self.clock

    async def take(
        self, amount: int = 100, purse: Purse | None = None, credential: str = "", feature: str = "", wait_ms: int = 0
    ) -> Hold | Refused:
        who = purse or self.purse
        asking = Asking(
            customer_id=who.customer_id, credential=credential or who.credential,
            unit=UNIT, feature=feature, rule="a-rule", rules_version="v1",
        )  # fmt: skip

        async def reserve() -> Hold | Refused:
            return await self.holds.take(
                *(asking.customer_id, asking.credential, UNIT, amount, feature, "a-rule"), wait_ms=wait_ms
            )

        return await self.bridging.take(asking, amount, self.policy, reserve)

    async def pay(self, charge: int, amount: int = 100, purse: Purse | None = None) -> None:
        hold = await self.take(amount, purse)
        assert isinstance(hold, Hold)
        await self.holds.commit(hold, charge, "units=1", "reported")

    async def known(self) -> None:
        """Its customer has been served by the store once, for nothing."""
        hold = await self.take(1)
        assert isinstance(hold, Hold)
        assert not isinstance(hold, Bridged)
        await self.holds.release(hold, "to be known")

    async def lease(self, amount: int = 100, purse: Purse | None = None, feature: str = "", count: int = 1) -> None:
        """A customer that asks for `amount`, and gives it back, gets a lease; there are `count` then."""
        hold = await self.take(amount, purse, feature=feature)
        assert isinstance(hold, Hold)
        await self.holds.release(hold, "to be known")
        await self.leases.look_after()
        assert self.leases.open == count

    async def bridged(self, amount: int = 100, purse: Purse | None = None) -> Bridged:
        hold = await self.take(amount, purse)
        assert isinstance(hold, Bridged)
        return hold

    async def end(self) -> None:
        await self.tasks.cancel()
        self.spool.close()


async def away(durable: StoreServer, lane: Lane) -> None:
    durable.kill()
    await until(lambda: not lane.connected, "the loss of the store")


async def back(durable: StoreServer, lane: Lane, *processes: Process) -> None:
    durable.start()
    await until(lambda: lane.connected, "the store")
    for process in processes:
        await until(lambda process=process: process.holds.settling.pending == 0, "the charges")  # type: ignore[misc]  # A default for the loop's sake.


async def books(purse: Purse) -> tuple[int, int, int, int]:
    balance = await purse.balance()
    return balance.available, balance.held, balance.spent, balance.owed
