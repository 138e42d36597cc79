"""One measured window of one case, and the medians of several."""

import statistics
import time
from collections.abc import Callable, Sequence

import msgspec

from benchmarks import machine
from benchmarks.loads import Load

FOREIGN_MAX_PERCENT = 4.0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Per request, or per chunk where answers are streams."""

    per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float
    user_us: float
    system_us: float
    store_cpu_us: float
    busy: float
    """The share of its core that the measured process used."""
    resident_mb: float
    errors: float
    foreign_percent: float
    """CPU time of processes that are not ours, of one core."""


def measure(load: Callable[[], Load], pid: int, store_pid: int | None, *, tries: int) -> Window:
    """A window that nobody else on the machine disturbed, or the least disturbed of `tries`."""
    best: Window | None = None
    for _ in range(tries):
        window = _measure_once(load, pid, store_pid)
        if best is None or window.foreign_percent < best.foreign_percent:
            best = window
        if best.foreign_percent < FOREIGN_MAX_PERCENT:
            break
    assert best is not None
    return best


def median(windows: Sequence[Window]) -> Window:
    """Each figure's own median; of errors the most, since none may hide."""
    medians = {
        name: statistics.median(getattr(window, name) for window in windows) for name in Window.__struct_fields__
    }
    return Window(**{**medians, "errors": max(window.errors for window in windows)})


def _measure_once(load: Callable[[], Load], pid: int, store_pid: int | None) -> Window:
    foreign_before, started_at = machine.foreign_cpu_s(), time.monotonic()
    before = machine.cpu_time(pid)
    store_before = machine.cpu_time(store_pid).total_s if store_pid else 0.0
    done = load()
    used = machine.cpu_time(pid).since(before)
    store_used_s = machine.cpu_time(store_pid).total_s - store_before if store_pid else 0.0
    elapsed_s = time.monotonic() - started_at
    count = max(1, done.count)
    return Window(
        per_s=done.count / done.seconds,
        p50_us=done.p50_us,
        p99_us=done.p99_us,
        cpu_us=used.total_s / count * 1e6,
        user_us=used.user_s / count * 1e6,
        system_us=used.system_s / count * 1e6,
        store_cpu_us=store_used_s / count * 1e6,
        busy=used.total_s / elapsed_s,
        resident_mb=machine.resident_mb(pid),
        errors=float(done.errors),
        foreign_percent=(machine.foreign_cpu_s() - foreign_before) / elapsed_s * 100,
    )
