"""Processes whose store goes away, and customers of theirs, for the tests of whom they serve meanwhile."""

from pathlib import Path

from tests.e2e.house import CREDIT
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until_async
from tests.support.upstream import Upstream


def process(upstream: Upstream, store: StoreServer, folder: Path, **settings: str) -> Sidecar:
    folder.mkdir(exist_ok=True)
    named = {"store.timeout_s": "0.2", "spool.dir": str(folder / "spool"), "leases.share": "0.2"} | settings
    return Sidecar(
        "run", upstream=upstream.url, rules=["tests/e2e/bridging.yaml"], store=store.url, settings=named,
        data_dir=folder,
    )  # fmt: skip


async def metric(sidecar: Sidecar, name: str) -> float:
    page = (await fetch(sidecar.control_port, "GET", "/metrics")).body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))


async def served(sidecar: Sidecar, path: str, buyer: Buyer, count: int) -> int:
    """How many of so many requests, one after the other, are answered by the upstream; the others get 503."""
    statuses = [(await fetch(sidecar.proxy_port, "GET", path, buyer.bearer)).status for _ in range(count)]
    assert set(statuses) <= {200, 503}
    return statuses.count(200)


async def gone(sidecar: Sidecar, store: StoreServer) -> None:
    store.kill()

    async def noticed() -> bool:
        return await metric(sidecar, "sidecar_store_connected") == 0

    await until_async(noticed, "the process to notice")
    # Or nobody would send it requests any more.
    assert (await fetch(sidecar.control_port, "GET", "/readyz")).status == 200


async def spent(sidecar: Sidecar, buyer: Buyer, count: int) -> None:
    async def charged() -> bool:
        balance = await sidecar.control.balance(buyer)
        return (balance.spent, balance.held) == (count * CREDIT, 0)

    await until_async(charged, f"{count} to be spent, and nothing held")
