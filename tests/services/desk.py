"""One customer with 1,000 base units and the service that takes its holds."""

from sidecar.domain.outcomes import Refused, Settled
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.books import UNIT, Purse

TIMEOUT_S = 0.2


class Desk:
    """One customer with 1,000 base units, the service, and a view of the books that needs no lane of ours."""

    def __init__(self, lane: Lane, purse: Purse, *, ttl_s: float = 60.0) -> None:
        self.lane = lane
        self.purse = purse
        self.tasks = Tasks()
        self.pressure = Pressure(purse.journal, max_entries=10)
        self.queue = Queue(lane, purse.ledger, waiting_max=10, account_max=5, tasks=self.tasks)
        self.holds = Holds(
            purse.ledger,
            self.pressure,
            self.queue,
            Outage(lane, self.tasks),
            ttl_s=ttl_s,
            timeout_s=TIMEOUT_S,
            tasks=self.tasks,
        )

    async def take(self, amount: int = 300) -> Hold:
        hold = await self.try_to_take(amount)
        assert isinstance(hold, Hold)
        return hold

    async def try_to_take(self, amount: int = 300) -> Hold | Refused:
        return await self.holds.take(
            self.purse.customer_id, self.purse.credential, UNIT, amount, feature="chat", rule="a-rule"
        )

    async def commit(self, hold: Hold, charge: int = 120) -> Settled | None:
        return await self.holds.commit(hold, charge, "input_tokens=1", "reported")

    async def books(self) -> tuple[int, int, int]:
        balance = await self.purse.balance()
        return balance.available, balance.held, balance.spent
