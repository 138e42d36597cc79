"""What a process does, and the parts that it has while it runs."""

from collections.abc import Callable
from enum import Flag, auto

from sidecar.config.settings import Injector, Settings
from sidecar.domain.errors import StoreUnavailable
from sidecar.domain.rules import RuleSet
from sidecar.domain.store_down import OnStoreDown
from sidecar.domain.tokens import KEY_BYTES, Signer
from sidecar.services.clock import timed
from sidecar.services.deferred import Deferred
from sidecar.services.outage import Outage
from sidecar.services.reloading import Reloading
from sidecar.services.spool import Spool
from sidecar.store.address import Address
from sidecar.store.customers import Customers
from sidecar.store.journal import Journal
from sidecar.store.lane import Lane
from sidecar.store.ledger import Ledger
from sidecar.store.once import OnceRecords
from sidecar.store.secrets import Secrets
from sidecar.store.shifted_lane import Shift
from sidecar.tasks import Tasks
from sidecar.telemetry import Metrics


class Role(Flag):
    """What a process does: `sidecar run` does it all."""

    PROXY = auto()
    CONTROL = auto()
    ALL = PROXY | CONTROL


class Realm:
    """What the store keeps of one tenant's environment, as a process works with it."""

    def __init__(
        self, lane: Lane, signing_key: str, *, tenant: str, environment: str, time: Shift | None = None
    ) -> None:
        self.tenant = tenant
        self.environment = environment
        names = {"tenant": tenant, "environment": environment}
        self.time = time or Shift()
        """What time it is there."""
        lane, self.clock = timed(lane, self.time, **names)
        self.lane = lane
        """The way to the store, by that time."""
        self.ledger = Ledger(lane, **names)
        self.journal = Journal(lane, **names)
        self.customers = Customers(lane, **names)
        self.once_records = OnceRecords(lane, **names)
        self.signer = Signer(self._key, **names)
        self.deferred = Deferred(self.ledger, self.signer, self.time.now_s)
        self._secrets = Secrets(lane, **names)
        self._given_key = signing_key.encode()
        self._shared_key = b""

    async def meet(self) -> None:
        """Learn what all processes share. Raises StoreError; then it can be tried again."""
        if self.clock is not None:
            await self.clock.look()
        if not self._given_key:
            self._shared_key = await self._secrets.shared("signing", KEY_BYTES)

    def keep_time(self, tasks: Tasks) -> None:
        """Follow the clock wherever others move it, if it can be moved."""
        if self.clock is not None:
            tasks.start(self.clock.run(), "clock")

    def _key(self) -> bytes:
        key = self._given_key or self._shared_key
        if not key:
            raise StoreUnavailable("What signs tokens is in the store, which has not been reached yet.")
        return key


class Sidecar:
    """One process's parts while it runs. Ports are the real ones, None for what this process does not serve."""

    def __init__(self, settings: Settings, reloading: Reloading, lane: Lane, address: Address, time: Shift) -> None:
        self.settings = settings
        self.reloading = reloading
        self.lane = lane
        self.store = str(address)
        """The store's address without its password."""
        self.realm = realm = Realm(
            lane, settings.tokens.key, tenant=settings.tenant, environment=settings.environment, time=time
        )
        self.ledger = realm.ledger
        self.journal = realm.journal
        self.customers = realm.customers
        self.once_records = realm.once_records
        self.signer = realm.signer
        self.deferred = realm.deferred
        self._met = False
        self.tasks = Tasks()
        self.outage = Outage(lane, self.tasks)
        self.spool: Spool | None = None
        """Of a process that proxies."""
        self.metrics = Metrics()
        self.proxy_port: int | None = None
        self.control_port: int | None = None
        self.admin_port: int | None = None
        self.admin_key = ""
        self.admin_key_made = False
        self.unready: str | None = "The process is starting."
        self.store_seen = False
        """Whether the store has been there since we started."""

    @property
    def rules(self) -> RuleSet:
        """Those in force now."""
        return self.reloading.rules

    async def meet_store(self) -> None:
        """Connect to the store, and learn what all processes share. Raises StoreError; then it can be tried again."""
        if not self._met:
            await self.lane.open()
            self._met = True
        await self.realm.meet()
        self.store_seen = True

    def not_ready(self) -> str | None:
        """Why this process cannot serve, in one sentence; None when it can."""
        if self.unready is not None:
            return self.unready
        if not (self.store_seen and self.lane.connected):
            away = f"There is no connection to the store at {self.store}"
        elif self.outage.open:
            away = f"The store at {self.store} does not answer"
        else:
            return None
        denies = all(rule.on_store_down.way is OnStoreDown.DENY for rule in self.rules.rules)
        if self.spool is None or denies or not self.store_seen:
            return f"{away}."
        if not self.spool.writable():
            return f"{away}, and charges cannot be kept on the disk: {self.spool.failing}."
        # What such rules are for is over when nobody sends us requests any more.
        return None


class Injecting:
    """An admission webhook while it serves. Ports are the real ones; `look` looks at its certificate at once."""

    def __init__(self, settings: Injector, look: Callable[[], None], port: int, metrics_port: int) -> None:
        self.settings = settings
        self.look = look
        self.port = port
        self.metrics_port = metrics_port
