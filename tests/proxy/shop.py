"""A proxy in this process, in front of a scripted upstream, with a real store behind it and one customer."""

from pathlib import Path
from types import TracebackType
from typing import Self

from sidecar.config.rules import load_rules
from sidecar.config.settings import Limits, Proxy, Settings, Store, Timeouts
from sidecar.config.settings import Upstream as UpstreamSection
from sidecar.domain.amounts import CREDITS
from sidecar.domain.blocks import Grant
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Balance
from sidecar.domain.tokens import Signer
from sidecar.proxy.server import ProxyServer
from sidecar.services.deferred import Deferred
from sidecar.services.holds import Holds
from sidecar.services.outage import Outage
from sidecar.services.polling import Polled, Polling
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.store.accounts import Accounts
from sidecar.store.customers import Customers
from sidecar.store.jobs import Jobs
from sidecar.store.journal import Journal
from sidecar.store.lane import Lane
from sidecar.store.ledger import Ledger
from sidecar.tasks import Tasks
from sidecar.telemetry import Metrics
from tests.support.rawhttp import fetch
from tests.support.until import until
from tests.support.upstream import Upstream

RULES = Path(__file__).parent / "rules.yaml"
GRANTED = 100_000_000


class Shop:
    """`bearer` identifies the customer; `settled` waits until nothing is held and gives the balance."""

    def __init__(
        self,
        lane: Lane,
        upstream: Upstream,
        *,
        rules: Path = RULES,
        granted: int = GRANTED,
        proxy: Proxy | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        hold_ttl_s: float = 60,
        **more: object,
    ) -> None:
        """`more` are settings of the section ``upstream``."""
        self.lane = lane
        self.granted = granted
        self.upstream = upstream
        self.settings = Settings(
            upstream=UpstreamSection(url=upstream.url, headers={"X-Api-Token": "of-the-upstream"}, **more),  # type: ignore[arg-type]  # Tests name real ones.
            proxy=proxy or Proxy(listen="127.0.0.1:0"),
            timeouts=timeouts or Timeouts(),
            limits=limits or Limits(),
            store=Store(timeout_s=5),
        )
        names = {"tenant": "default", "environment": "live"}
        self.ledger = Ledger(lane, **names)
        self.accounts = Accounts(lane, **names)
        self.customers = Customers(lane, tenant="default", environment="live")
        self.deferred = Deferred(self.ledger, Signer(lambda: b"k" * 32, **names))
        self.polling = Polling(Jobs(lane, **names), self.deferred, lambda: self.rules, self.fetch)
        self.metrics = Metrics()
        self.rules = load_rules([rules], {"credits": CREDITS})
        self.tasks = Tasks()
        self.queue = Queue(lane, self.ledger, waiting_max=100, account_max=50, tasks=self.tasks)
        self.holds = Holds(
            self.ledger,
            Pressure(Journal(lane, **names), max_entries=1_000_000),
            self.queue,
            Outage(lane, self.tasks),
            ttl_s=hold_ttl_s,
            timeout_s=5,
            tasks=self.tasks,
        )
        self.proxy = ProxyServer(
            settings=self.settings,
            rules=self.rules,
            holds=self.holds,
            customers=self.customers,
            deferred=self.deferred,
            polling=self.polling,
            metrics=self.metrics,
        )

    async def __aenter__(self) -> Self:
        customer, _ = await self.customers.create(external_id="alice", now_ms=1)
        self.customer_id = customer.customer_id
        _, secret = await self.customers.create_key(self.customer_id, name="k", now_ms=1)
        self.bearer = ("Authorization", f"Bearer {secret}")
        grant = Grant(block_id="blk_1", unit="credits", amount=self.granted, source="test")
        await self.accounts.grant(self.customer_id, grant, Once(key="once", fingerprint="f"))
        await self.proxy.start()
        self.tasks.start(self.holds.upkeep.run(), "upkeep of holds")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.proxy.drain(0 if error else 10)
        await self.proxy.close()
        await self.holds.settling.drain(5)
        await self.tasks.cancel()

    async def fetch(self, path: str) -> Polled | None:
        """What the upstream answers to a poll."""
        answer = await fetch(self.upstream.port, "GET", path)
        return Polled(answer.status, dict(answer.headers), answer.body)

    @property
    def port(self) -> int:
        return self.proxy.port

    async def balance(self) -> Balance:
        (balance,) = await self.accounts.balances(self.customer_id)
        return balance

    async def settled(self) -> Balance:
        """The balance once no request runs and nothing waits for the store."""
        await until(
            lambda: self.proxy._engine.running == 0 and self.holds.settling.pending == 0, "everything to settle"
        )
        balance = await self.balance()
        assert balance.held == 0
        assert balance.available + balance.spent == self.granted
        return balance
