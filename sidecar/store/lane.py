"""The way to the store: what every lane promises, whether one server, a sentinel's primary or a cluster is behind it.

A lane connects once and then stays connected by itself. It does not repeat a command whose effect is unknown: that is
for the caller, who knows the id that makes it safe. `lanes.make_lane` makes the one that an address asks for.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from sidecar.store.commands import pack
from sidecar.store.reply import Reply
from sidecar.store.subscription import Subscription
from sidecar.telemetry import Histogram

T = TypeVar("T")


class Lane(ABC):
    """`send` takes packed commands from any number of coroutines; all of one loop tick leave in one write per server.

    Commands fail with `StoreUnavailable` (not executed) or `StoreTimeout` (effect unknown), never later than
    about 1.1 × `timeout_s`; `StoreCorrupt` when a script met something that our scripts never write.
    """

    round_trips: Histogram
    """From queueing the first command of a batch to reading its reply."""

    @abstractmethod
    async def open(self) -> None:
        """Connect and load the scripts; `StoreUnavailable` when that fails. From then on it stays open by itself."""

    @abstractmethod
    async def close(self) -> None:
        """End the connections; what still waits for a reply fails as unknown."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether anything can be served now."""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Commands without a reply yet."""

    @property
    @abstractmethod
    def commands_total(self) -> int: ...

    @property
    @abstractmethod
    def flushes_total(self) -> int: ...

    @property
    @abstractmethod
    def timeouts_total(self) -> int: ...

    @property
    @abstractmethod
    def reconnects_total(self) -> int: ...

    @abstractmethod
    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Queue one packed command and return the future of its reply; `StoreUnavailable` while disconnected."""

    @abstractmethod
    def ask(self, packed: bytes, decode: Callable[[Any], T]) -> Reply[T]:
        """`send` for the commands of every request: without a future, and `decode` makes the result of the reply."""

    @property
    @abstractmethod
    def counts_listeners(self) -> bool:
        """Whether who publishes in a script learns how many listen: in a cluster, they may do so elsewhere."""

    @abstractmethod
    async def listen(self, channel: bytes, heard: Callable[[bytes], object]) -> Subscription:
        """Call `heard` with what scripts publish on `channel`, until the subscription is lost; StoreUnavailable."""

    def execute(self, *arguments: bytes | str | int) -> asyncio.Future[Any]:
        """`send` for a plain command."""
        return self.send(pack(*arguments))
