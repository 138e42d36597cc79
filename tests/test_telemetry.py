"""Durations are counted in buckets; the mean says when a hold may be expected back."""

import pytest

from sidecar.telemetry import Histogram, Metrics


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (300.0, "300.0"), (301.0, "+Inf")]
)
def test_a_duration_counts_in_the_first_bucket_that_holds_it(seconds: float, bound: str) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    assert next(name for name, count in histogram.buckets() if count) == bound


@pytest.mark.parametrize(("seconds", "typical_s"), [([], 1), ([0.01], 1), ([4.0, 6.0], 5), ([600.0], 30)])
def test_the_mean_request_in_whole_seconds_from_1_to_30(seconds: list[float], typical_s: int) -> None:
    metrics = Metrics()
    for one in seconds:
        metrics.request_seconds.add(one)
    assert metrics.typical_request_s() == typical_s
