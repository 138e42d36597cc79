"""The bars, as ratios within one run: figures of one machine and one hour, so that both sides drift together."""

import msgspec

from benchmarks.cases import Direct, OursMetered, PlainAiohttp
from benchmarks.suites import STREAM_CONNECTIONS, Memory, Windows
from benchmarks.windows import Window

FLAT_MB = 2.0
"""Growth of resident memory that counts as none: arenas of the allocator, not data."""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One bar and what was measured."""

    name: str
    bar: str
    measured: str
    met: bool


def of_requests(results: Windows) -> list[Goal]:
    """The bars whose cases were run."""
    goals = []
    ours, plain = _pair(results, 64)
    if ours and plain:
        cpu, rate = ours.cpu_us / plain.cpu_us, ours.per_s / plain.per_s
        goals += [
            _at_most("CPU per request, metered / plain aiohttp, 64 connections", 0.30, cpu),
            _at_least("throughput, metered / plain aiohttp, 64 connections", 3.0, rate),
        ]
    if ours:
        goals.append(_at_most("store CPU per request, 64 connections", 15.0, ours.store_cpu_us, " µs"))
        goals.append(_at_most("resident memory after the load", 45.0, ours.resident_mb, " MB"))
    direct, (alone, plain_alone) = results.of(1, Direct.name), _pair(results, 1)
    if direct and alone and plain_alone:
        added = (alone.p50_us - direct.p50_us) / (plain_alone.p50_us - direct.p50_us)
        goals.append(_at_most("added p50, metered / plain aiohttp, 1 connection", 0.65, added))
    crowd, _ = _pair(results, 500)
    if crowd and ours:
        goals.append(_at_least("throughput at 500 connections / at 64, metered", 0.85, crowd.per_s / ours.per_s))
        goals.append(_at_most("errors at 500 connections, metered", 0, crowd.errors))
    return goals


def of_streams(results: Windows) -> list[Goal]:
    ours, plain = _pair(results, STREAM_CONNECTIONS)
    if not ours or not plain:
        return []
    return [_at_most("SSE: CPU per chunk, metered / plain aiohttp", 0.70, ours.cpu_us / plain.cpu_us)]


def of_memory(memory: Memory) -> list[Goal]:
    calls = memory.script_calls / memory.answers
    return [
        Goal(name="script calls per request", bar="= 2", measured=f"{calls:.7g}", met=calls == 2),
        _at_most(f"errors over {memory.answers:,} requests", 0, memory.errors),
        _at_most("holds left open", 0, memory.holds_left),
        _at_most(
            f"growth over {memory.answers:,} requests", FLAT_MB, memory.after_answers_mb - memory.warm_mb, " MB"
        ),
        _at_most("growth over a 1 GiB answer", FLAT_MB, memory.download_peak_mb - memory.before_bodies_mb, " MB"),
        _at_most("growth over a 1 GiB request", FLAT_MB, memory.upload_peak_mb - memory.before_bodies_mb, " MB"),
    ]


def _pair(results: Windows, connections: int) -> tuple[Window | None, Window | None]:
    return results.of(connections, OursMetered.name), results.of(connections, PlainAiohttp.name)


def _at_most(name: str, bar: float, value: float, unit: str = "") -> Goal:
    return Goal(name=name, bar=f"≤ {bar:g}{unit}", measured=f"{value:.2f}{unit}", met=value <= bar)


def _at_least(name: str, bar: float, value: float) -> Goal:
    return Goal(name=name, bar=f"≥ {bar:g}", measured=f"{value:.2f}", met=value >= bar)
