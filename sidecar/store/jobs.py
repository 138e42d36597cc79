"""Jobs that somebody has to ask for, by when that is next: what a job is, only its bearer knows."""

from sidecar.store.keys import Keys
from sidecar.store.lane import Lane


class Jobs:
    """Those of one tenant's environment, in the partitions of their customers. Instants are Unix time in ms.

    Raises StoreUnavailable and StoreTimeout; everything may be repeated.
    """

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def put(self, customer_id: str, job: bytes, due_ms: int) -> None:
        """Ask for it then, whether or not it was to be asked for before."""
        await self._lane.execute("ZADD", self._key(customer_id), due_ms, job)

    async def drop(self, customer_id: str, job: bytes) -> None:
        """Never ask for it again."""
        await self._lane.execute("ZREM", self._key(customer_id), job)

    async def due(self, partition: int, now_ms: int, limit: int) -> list[bytes]:
        """Those that should have been asked for by now, the oldest first."""
        key = self._keys.jobs(partition)
        found: list[bytes] = await self._lane.execute("ZRANGEBYSCORE", key, 0, now_ms, "LIMIT", 0, limit)
        return found

    def _key(self, customer_id: str) -> bytes:
        return self._keys.jobs(self._keys.partition(customer_id))
