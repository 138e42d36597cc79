"""What the ledger costs the store: server time of a reserve with its commit, and how many pairs a second it does.

    python -m benchmarks.ledger [--pairs 40000] [--append-only] [--server /usr/bin/redis-server]

The commands are those that a proxy sends, in pipelines of 100, written ahead of time so that sending costs little.
Script time is what the server counts for its scripts; CPU time is the whole server process, parsing and sockets too.
"""

import argparse
import asyncio
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import hiredis
import msgspec
import redis

from benchmarks import machine
from benchmarks.servers import Server
from sidecar.domain.blocks import Grant
from sidecar.domain.once import Once
from sidecar.store import bundled
from sidecar.store.accounts import Accounts
from sidecar.store.address import parse_address
from sidecar.store.customers import Customers
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from sidecar.store.ledger import Ledger

NAMES = {"tenant": "default", "environment": "live"}
PIPELINE = 100
TTL_MS = 660_000
DAY_MS = 86_400_000
LOAD_CORE, STORE_CORE = 0, 1


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """`open_holds` of the first customer are there all the time."""

    name: str
    customers: int = 1
    blocks: int = 10
    open_holds: int = 0


CASES = (
    Case(name="1 account, 1 block", blocks=1),
    Case(name="1 account, 10 blocks"),
    Case(name="1 account, 256 blocks", blocks=256),
    Case(name="1 account, 10 blocks, 20,000 open holds", open_holds=20_000),
    Case(name="10,000 accounts, 1 block", customers=10_000, blocks=1),
)


class _Recorder:
    """Stands for the connection, and keeps what would be sent."""

    def __init__(self) -> None:
        self.packed: list[bytes] = []

    def ask(self, packed: bytes, _decode: object) -> None:
        self.packed.append(packed)


def commands(customers: Sequence[str], first: int, count: int) -> tuple[list[bytes], list[bytes]]:
    """`count` reserves and their commits, packed, of one customer after the other."""
    reserves, commits = _Recorder(), _Recorder()
    reserving, committing = (Ledger(cast("Lane", each), **NAMES) for each in (reserves, commits))
    for number in range(first, first + count):
        customer = number % len(customers)
        hold = reserving.hold(
            customers[customer],
            f"rsv_0123456789abcdef_{number:x}",
            (("credits", 5_000),),
            TTL_MS,
            "chat",
            "completions",
        )
        reserving.reserve(hold, f"external:{customer}")
        committing.commit(hold, 1_200, "input_tokens=12 output_tokens=15", "reported")
    return reserves.packed, commits.packed


async def make_customers(url: str, case: Case) -> list[str]:
    """Customers with their blocks, which expire one after the other from tomorrow on."""
    lane = make_lane(parse_address(url), timeout_s=30.0)
    await lane.open()
    customers, accounts = Customers(lane, **NAMES), Accounts(lane, **NAMES)
    now_ms = round(time.time() * 1000)

    async def make(number: int) -> str:
        customer, _ = await customers.create(external_id=str(number), now_ms=now_ms)
        for block in range(case.blocks):
            grant = Grant(
                block_id=f"blk_{block}",
                unit="credits",
                amount=10**12,
                source="benchmark",
                expires_at_ms=now_ms + DAY_MS + block,
            )
            await accounts.grant(customer.customer_id, grant, Once(f"grant {block}", "00"))
        return customer.customer_id

    made = [await make(0)]
    for start in range(1, case.customers, 500):
        made += await asyncio.gather(*(make(number) for number in range(start, min(start + 500, case.customers))))
    await lane.close()
    return made


def send(path: Path, packed: Iterator[list[bytes]]) -> None:
    """Send pipelines and read their replies; RuntimeError for a reply that is no success."""
    reader = hiredis.Reader()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        for pipeline in packed:
            connection.sendall(b"".join(pipeline))
            left = len(pipeline)
            while left:
                reader.feed(connection.recv(1 << 16))
                while (reply := reader.gets()) is not False:
                    left -= 1
                    if not isinstance(reply, list) or reply[0] not in {b"reserved", b"committed"}:
                        raise RuntimeError(f"The store answered {reply!r}.")


def pipelines(*kinds: list[bytes]) -> Iterator[list[bytes]]:
    """Of each kind in turn, so that a commit follows its reserve by one pipeline."""
    for start in range(0, len(kinds[0]), PIPELINE):
        for packed in kinds:
            yield packed[start : start + PIPELINE]


def measure(case: Case, program: Path, pairs: int, *, append_only: bool) -> str:
    """One line of the table."""
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        path = Path(folder) / "store.sock"
        keeping = ["--appendonly", "yes", "--appendfsync", "everysec"] if append_only else ["--appendonly", "no"]
        command = [str(program), "--port", "0", "--unixsocket", str(path), "--dir", folder, "--save", "", *keeping]
        with Server("store", command, path, core=STORE_CORE, folder=Path(folder)) as server:
            customers = asyncio.run(make_customers(f"unix://{path}", case))
            held, _ = commands(customers[:1], 10**9, case.open_holds)
            send(path, pipelines(held))
            warm, measured = commands(customers, 0, 2_000), commands(customers, 2_000, pairs)
            send(path, pipelines(*warm))
            with redis.Redis(unix_socket_path=str(path)) as client:
                client.config_resetstat()
                before, began = machine.cpu_time(server.pid), time.perf_counter()
                send(path, pipelines(*measured))
                took_s, used = time.perf_counter() - began, machine.cpu_time(server.pid).since(before)
                statistics: Any = client.info("commandstats")
                script_us = statistics["cmdstat_evalsha"]["usec"] / pairs
        return f"{case.name:42s} {script_us:8.1f} {used.total_s / pairs * 1e6:8.1f} {pairs / took_s:10,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40_000)
    parser.add_argument("--append-only", action="store_true", help="with the append-only file, fsync every second")
    parser.add_argument("--server", type=Path, default=None, help="another server program than the bundled one")
    options = parser.parse_args()
    program = options.server or bundled.find_server()
    machine.keep_off(STORE_CORE, stay_on=LOAD_CORE)
    print(f"{program.name}, append-only file {'on' if options.append_only else 'off'}, {options.pairs:,} pairs")
    print(f"{'':42s} {'script':>8s} {'CPU':>8s} {'pairs/s':>10s}")
    print(f"{'':42s} {'µs/pair':>8s} {'µs/pair':>8s}")
    for case in CASES:
        print(measure(case, program, options.pairs, append_only=options.append_only), flush=True)


if __name__ == "__main__":
    main()
