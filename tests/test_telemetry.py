"""Durations are counted in buckets; the mean says when a hold may be expected back."""

import msgspec
import pytest

from sidecar.telemetry import BUCKETS_S, Family, Fold, Histogram, Metrics, folded


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (300.0, "300.0"), (301.0, "+Inf")]
)
def test_a_duration_counts_in_the_first_bucket_that_holds_it(seconds: float, bound: str) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    assert (
        next(name for name, count in zip((*map(str, BUCKETS_S), "+Inf"), histogram.counts, strict=True) if count)
        == bound
    )


@pytest.mark.parametrize(("seconds", "typical_s"), [([], 1), ([0.01], 1), ([4.0, 6.0], 5), ([600.0], 30)])
def test_the_mean_request_in_whole_seconds_from_1_to_30(seconds: list[float], typical_s: int) -> None:
    metrics = Metrics()
    for one in seconds:
        metrics.request_seconds.add(one)
    assert metrics.typical_request_s() == typical_s


def worker(connected: int, requests: int, seconds: float) -> list[Family]:
    metrics = Metrics()
    metrics.requests["chat", "charged"] += requests
    metrics.gauge("connected", "Connected.", lambda: connected, Fold.LEAST)
    metrics.gauge_by("away", "Away.", "address", lambda: {"a": 1 - connected}, Fold.MOST)
    metrics.gauge("open", "Open.", lambda: 2)
    metrics.request_seconds.add(seconds)
    return metrics.families()


def test_what_several_workers_count_is_summed_and_their_states_are_the_worst_of_them() -> None:
    pages = [worker(1, 3, 0.002), worker(0, 4, 400.0)]
    by_name = {family.name: family for family in folded(pages)}
    assert len(by_name) == len(pages[0])
    assert by_name["sidecar_requests"].samples == {("chat", "charged"): 7}
    assert by_name["connected"].samples == {(): 0}
    assert by_name["away"].samples == {("a",): 1}
    assert by_name["open"].samples == {(): 4}
    duration = by_name["sidecar_request_duration_seconds"]
    assert sum(duration.samples.values()) == 2
    assert duration.total_s == pytest.approx(400.002)


def test_families_can_go_to_another_process() -> None:
    page = worker(1, 3, 0.5)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(page), type=list[Family]) == page
