"""The three runs: small requests, paced streams, memory. Each starts its own servers and stops them.

Cases are interleaved (A B C A B C …), so that a machine whose speed drifts during the run favours nobody.
"""

import http.client
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Protocol

import msgspec

from benchmarks import loads, machine, nginx, windows, workload
from benchmarks.cases import Case, OursMetered, Site
from benchmarks.loads import Load, Target
from benchmarks.servers import Server
from benchmarks.store import Store
from benchmarks.windows import Window

STREAM_CONNECTIONS = 64
WARM_UP_CONNECTIONS = 64
WARM_UP_S = 1
MEMORY_ANSWERS = 100_000
WARM_UP_ANSWERS = 20_000
PIECE = bytes(65_536)


class LoadKind(Protocol):
    """`loads.requests` or `loads.streams`."""

    def __call__(self, target: Target, *, connections: int, seconds: int) -> Load: ...


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, how long and how often."""

    cases: Sequence[Case]
    connections: Sequence[int]
    seconds: int
    repetitions: int
    tries: int
    """How often a window is repeated that others on the machine disturbed."""
    proxy_core: int
    other_core: int


class Windows(msgspec.Struct, frozen=True):
    """Medians by number of connections and name of the case."""

    medians: dict[tuple[int, str], Window]

    def of(self, connections: int, case: str) -> Window | None:
        return self.medians.get((connections, case))


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory of one metered process, and what exactly `answers` requests asked of the store."""

    answers: int
    errors: int
    warm_mb: float
    after_answers_mb: float
    before_bodies_mb: float
    download_peak_mb: float
    upload_peak_mb: float
    script_calls: int
    holds_left: int
    """Open holds when all was over."""


def small_requests(plan: Plan, store: Store) -> Windows:
    """240 bytes of JSON in, 205 out, as fast as the proxy can."""
    upstream = nginx.answering(machine.free_port(), core=plan.other_core, folder=store.folder)
    return _interleaved(plan, store, upstream, plan.connections, loads.requests)


def paced_streams(plan: Plan, store: Store) -> Windows:
    """200 chunks an answer, one every 5 ms: the proxy is not saturated; what counts is its CPU time per chunk."""
    return _interleaved(plan, store, _upstream(plan, store), [STREAM_CONNECTIONS], loads.streams)


def memory(plan: Plan, store: Store) -> Memory:
    """Our metered process over many requests and over two bodies far larger than its memory."""
    case = OursMetered()
    with _site(plan, store, _upstream(plan, store)) as site, case.server(site) as server:
        target = Target(server.port, case.path, store.callers)
        loads.exactly(WARM_UP_ANSWERS, target, connections=WARM_UP_CONNECTIONS)
        warm_mb, calls_before = machine.resident_mb(server.pid), store.script_calls()
        errors = loads.exactly(MEMORY_ANSWERS, target, connections=WARM_UP_CONNECTIONS).errors
        after_mb, calls = machine.resident_mb(server.pid), store.script_calls() - calls_before
        caller = store.callers.read_text().split()[0]
        machine.reset_peak(server.pid)
        before_bodies_mb = machine.resident_mb(server.pid)
        _download(server.port, caller)
        download_peak_mb = machine.peak_resident_mb(server.pid)
        machine.reset_peak(server.pid)
        _upload(server.port, caller)
        return Memory(
            answers=MEMORY_ANSWERS,
            errors=errors,
            warm_mb=warm_mb,
            after_answers_mb=after_mb,
            before_bodies_mb=before_bodies_mb,
            download_peak_mb=download_peak_mb,
            upload_peak_mb=machine.peak_resident_mb(server.pid),
            script_calls=calls,
            holds_left=store.open_holds(),
        )


def _upstream(plan: Plan, store: Store) -> Server:
    port = machine.free_port()
    command = [sys.executable, "-m", "benchmarks.upstream", str(port)]
    return Server("stream-upstream", command, port, core=plan.other_core, folder=store.folder)


@contextmanager
def _site(plan: Plan, store: Store, upstream: Server) -> Iterator[Site]:
    with upstream:
        yield Site(folder=store.folder, core=plan.proxy_core, upstream=upstream, store_url=store.url)


def _interleaved(plan: Plan, store: Store, upstream: Server, connections: Sequence[int], load: LoadKind) -> Windows:
    taken: defaultdict[tuple[int, str], list[Window]] = defaultdict(list)
    with _site(plan, store, upstream) as site, ExitStack() as running:
        targets: dict[Case, tuple[Server, Target]] = {}
        for case in plan.cases:
            server = case.server(site)
            if server is not upstream:
                running.enter_context(server)
            targets[case] = server, Target(server.port, case.path, store.callers)
            load(targets[case][1], connections=WARM_UP_CONNECTIONS, seconds=WARM_UP_S)
        for turn in range(plan.repetitions):
            for count in connections:
                for case, (server, target) in targets.items():
                    once = partial(load, target, connections=count, seconds=plan.seconds)
                    store_pid = store.pid if case.uses_store else None
                    window = windows.measure(once, server.pid, store_pid, tries=plan.tries)
                    taken[count, case.name].append(window)
                    _report(turn, count, case.name, window)
    return Windows({key: windows.median(several) for key, several in taken.items()})


def _report(turn: int, connections: int, case: str, window: Window) -> None:
    print(
        f"  {turn + 1}. {connections:>3} connections  {case:<15} {window.per_s:>9,.0f}/s"
        f"  p50 {window.p50_us:>8,.0f} µs"
        f"  p99 {window.p99_us:>8,.0f} µs  CPU {window.cpu_us:>6.1f} µs  errors {window.errors:.0f}"
        f"  others {window.foreign_percent:.0f} %",
        file=sys.stderr,
        flush=True,
    )


def _download(port: int, caller: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", workload.BULK_PATH, headers={"Authorization": f"Bearer {caller}"})
    answer = connection.getresponse()
    received = 0
    while data := answer.read1(len(PIECE)):
        received += len(data)
    connection.close()
    if answer.status != 200 or received != workload.BULK_BYTES:
        raise RuntimeError(f"The download ended with status {answer.status} after {received} bytes.")


def _upload(port: int, caller: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = (PIECE for _ in range(workload.BULK_BYTES // len(PIECE)))
    headers = {"Authorization": f"Bearer {caller}", "Content-Length": str(workload.BULK_BYTES)}
    connection.request("POST", workload.BULK_PATH, body, headers)
    answer = connection.getresponse()
    told = msgspec.json.decode(answer.read(), type=dict[str, int])
    connection.close()
    if answer.status != 200 or told.get("received") != workload.BULK_BYTES:
        raise RuntimeError(f"The upload ended with status {answer.status}: {told}")
