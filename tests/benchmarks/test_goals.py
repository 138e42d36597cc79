"""Each bar is judged from the right two figures, and only when both were measured."""

import msgspec
import pytest

from benchmarks import goals
from benchmarks.suites import Memory, Windows
from benchmarks.windows import Window, median

QUIET = Window(
    per_s=1_000.0,
    p50_us=100.0,
    p99_us=200.0,
    cpu_us=100.0,
    user_us=80.0,
    system_us=20.0,
    store_cpu_us=0.0,
    busy=0.5,
    resident_mb=40.0,
    errors=0.0,
    foreign_percent=0.0,
)
MEMORY = Memory(
    answers=100_000,
    errors=0,
    warm_mb=30.0,
    after_answers_mb=31.0,
    before_bodies_mb=31.0,
    download_peak_mb=31.5,
    upload_peak_mb=31.5,
    script_calls=200_000,
    holds_left=0,
)


def judged(found: list[goals.Goal]) -> dict[str, tuple[str, bool]]:
    return {goal.name: (goal.measured, goal.met) for goal in found}


def test_cpu_and_throughput_are_compared_with_the_plain_proxy_at_64() -> None:
    ours = msgspec.structs.replace(QUIET, cpu_us=31.0, per_s=3_000.0, store_cpu_us=15.1)
    found = judged(goals.of_requests(Windows({(64, "aiohttp"): QUIET, (64, "ours-metered"): ours})))
    assert found["CPU per request, metered / plain aiohttp, 64 connections"] == ("0.31", False)
    assert found["throughput, metered / plain aiohttp, 64 connections"] == ("3.00", True)
    assert found["store CPU per request, 64 connections"] == ("15.10 µs", False)


def test_added_latency_is_what_each_adds_over_direct() -> None:
    p50s = {"direct": 20.0, "aiohttp": 120.0, "ours-metered": 80.0}
    windows = {(1, case): msgspec.structs.replace(QUIET, p50_us=p50) for case, p50 in p50s.items()}
    found = judged(goals.of_requests(Windows(windows)))
    assert found["added p50, metered / plain aiohttp, 1 connection"] == ("0.60", True)


def test_a_crowd_may_cost_little_throughput_and_no_error() -> None:
    crowd = msgspec.structs.replace(QUIET, per_s=800.0, errors=1.0)
    found = judged(goals.of_requests(Windows({(64, "ours-metered"): QUIET, (500, "ours-metered"): crowd})))
    assert found["throughput at 500 connections / at 64, metered"] == ("0.80", False)
    assert found["errors at 500 connections, metered"] == ("1.00", False)


def test_what_was_not_measured_is_not_judged() -> None:
    assert goals.of_requests(Windows({(64, "nginx"): QUIET})) == []
    assert goals.of_streams(Windows({(64, "ours-metered"): QUIET})) == []


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        ({"script_calls": 200_001}, ["script calls per request"]),
        ({"holds_left": 1}, ["holds left open"]),
        ({"after_answers_mb": 33.0}, ["growth over 100,000 requests"]),
        ({"download_peak_mb": 34.0}, ["growth over a 1 GiB answer"]),
        ({"upload_peak_mb": 34.0}, ["growth over a 1 GiB request"]),
        ({"errors": 1}, ["errors over 100,000 requests"]),
    ],
)
def test_memory_is_flat_and_each_request_makes_two_calls(change: dict[str, float], missed: list[str]) -> None:
    found = goals.of_memory(msgspec.structs.replace(MEMORY, **change))
    assert [goal.name for goal in found if not goal.met] == missed


def test_medians_are_taken_for_each_figure_and_errors_add_no_mercy() -> None:
    windows = [
        msgspec.structs.replace(QUIET, cpu_us=cpu_us, errors=errors) for cpu_us, errors in ((9, 0), (1, 7), (5, 0))
    ]
    assert median(windows).cpu_us == 5
    assert median(windows).errors == 7
