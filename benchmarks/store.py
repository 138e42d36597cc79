"""The store of the metered cases: a server of its own on a Unix socket, with customers who never run out."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from benchmarks import workload
from benchmarks.servers import Server
from sidecar.domain.amounts import CREDITS, MAX_AMOUNT
from sidecar.domain.blocks import Grant
from sidecar.domain.once import Once
from sidecar.store import bundled
from sidecar.store.accounts import Accounts
from sidecar.store.address import parse_address
from sidecar.store.customers import Customers
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from sidecar.store.open_holds import OpenHolds

SCRIPT_COMMANDS = ("cmdstat_eval", "cmdstat_evalsha", "cmdstat_fcall")
PAGE = 1_000
AMOUNT = MAX_AMOUNT // 2


class Store:
    """A running server with `workload.CUSTOMERS` customers; `callers` is a file with one proxy key of each."""

    def __init__(self, folder: Path, *, core: int, append_only: bool) -> None:
        self.folder = folder
        self.callers = folder / "callers"
        socket = folder / "store.sock"
        self.url = f"unix://{socket}"
        program = bundled.find_server()
        persistence = ["--appendonly", "yes", "--appendfsync", "everysec"] if append_only else ["--appendonly", "no"]
        command = [str(program), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
        self._server = Server("store", [*command, *persistence], socket, core=core, folder=folder)
        self._kept = "append-only file, fsync every second" if append_only else "in memory only"

    def __enter__(self) -> Self:
        self._server.__enter__()
        self.callers.write_text("\n".join(asyncio.run(_callers(self.url))) + "\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def description(self) -> str:
        """Which server, and what it keeps."""
        server = self._info("server")
        name = server.get("server_name", "redis")
        return f"{name} {server.get(f'{name}_version', server['redis_version'])}, {self._kept}, Unix socket"

    def script_calls(self) -> int:
        """Scripts run since the start, by whatever command."""
        statistics = self._info("commandstats")
        return sum(statistics[name]["calls"] for name in SCRIPT_COMMANDS if name in statistics)

    def open_holds(self) -> int:
        """Our proxies' holds that have not ended; the case on redis-py forgets those of clients that hang up."""
        return asyncio.run(_open_holds(self.url))

    def _info(self, section: str) -> dict[str, Any]:
        with redis.Redis.from_url(self.url) as client:
            found: dict[str, Any] = client.info(section)
            return found


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Lane]:
    lane = make_lane(parse_address(url), timeout_s=5.0, connect_timeout_s=5.0)
    await lane.open()
    try:
        yield lane
    finally:
        await lane.close()


async def _open_holds(url: str) -> int:
    async with _opened(url) as lane:
        open_holds = OpenHolds(lane, tenant="default", environment="live")
        count, cursor = 0, None
        while True:
            holds, cursor = await open_holds.page(customer_id=None, limit=PAGE, cursor=cursor)
            count += sum(hold.reservation_id.startswith("rsv_") for hold in holds)
            if cursor is None:
                return count


async def _callers(url: str) -> list[str]:
    """Make the customers, give each credit and a key, and return the keys."""
    async with _opened(url) as lane:
        return await asyncio.gather(*(_caller(lane, number) for number in range(workload.CUSTOMERS)))


async def _caller(lane: Lane, number: int) -> str:
    customers = Customers(lane, tenant="default", environment="live")
    accounts = Accounts(lane, tenant="default", environment="live")
    customer, _ = await customers.create(external_id=f"customer-{number}", now_ms=int(time.time() * 1000))
    grant = Grant(block_id=f"blk_{number}", unit=CREDITS.name, amount=AMOUNT, source="benchmark")
    await accounts.grant(customer.customer_id, grant, Once(key=f"grant-{number}", fingerprint="00"))
    _, secret = await customers.create_key(customer.customer_id, name="benchmark", now_ms=int(time.time() * 1000))
    return secret
