"""The lane to a primary that sentinels know: it asks them before each connection, so it follows a failover.

It trusts the first sentinel that answers, as the protocol for clients wants it; a server that says that it is no
primary is left again, and the next attempt begins with another sentinel.
"""

from asyncio import StreamWriter
from collections import deque
from typing import Any

from sidecar.domain.errors import StoreError, StoreUnavailable
from sidecar.store.address import Address, Node
from sidecar.store.commands import pack
from sidecar.store.dial import dial, inquire
from sidecar.store.server_lane import ServerLane


class SentinelLane(ServerLane):
    """A `Lane` to the current primary of `address.service`."""

    def __init__(self, address: Address, *, timeout_s: float = 1.0, connect_timeout_s: float = 5.0) -> None:
        super().__init__(address, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        self._sentinels = deque(address.nodes)

    async def _dial(self) -> StreamWriter:
        primary = await self._primary()
        try:
            return await dial(self._address.at(primary), self._connect_timeout_s)
        except StoreError:
            self._sentinels.rotate(-1)
            raise

    _question = pack("ROLE")

    def _check(self, answer: Any) -> None:
        if answer[0] != b"master":
            self._sentinels.rotate(-1)
            raise StoreUnavailable(f"The server that the sentinels of {self._address} name is no primary any more.")

    async def _primary(self) -> Node:
        """Where the first sentinel that knows it says that the primary is."""
        problem = ""
        for sentinel in tuple(self._sentinels):
            try:
                found = await inquire(
                    self._address.sentinel(sentinel),
                    self._connect_timeout_s,
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service,
                )  # fmt: skip
            except StoreUnavailable as error:
                problem = error.detail
            else:
                if found is not None:
                    return Node(found[0].decode(), int(found[1]))
                problem = f"The sentinel at {sentinel} knows no service {self._address.service!r}."
        raise StoreUnavailable(f"No sentinel of {self._address} names a primary. {problem}")
