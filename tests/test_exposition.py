"""What Prometheus reads is what was counted."""

import pytest
from prometheus_client import generate_latest

from sidecar.exposition import exposed
from sidecar.telemetry import BUCKETS_S, Metrics


def scraped(metrics: Metrics) -> dict[str, float]:
    """Each sample line of a scrape."""
    lines = [line for line in generate_latest(exposed(metrics)).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_counters_carry_their_labels() -> None:
    metrics = Metrics()
    metrics.requests["chat", "charged"] += 2
    metrics.refusals["insufficient_credits"] += 1
    metrics.upstream_failures["connect"] += 1
    metrics.charged["credits"] += 12
    metrics.shadow_refusals["chat", "unpriced"] += 3
    found = scraped(metrics)
    assert found['sidecar_requests_total{outcome="charged",rule="chat"}'] == 2
    assert found['sidecar_refusals_total{code="insufficient_credits"}'] == 1
    assert found['sidecar_upstream_failures_total{phase="connect"}'] == 1
    assert found['sidecar_shadow_refusals_total{code="unpriced",rule="chat"}'] == 3
    assert found['sidecar_charged_base_units_total{unit="credits"}'] == 12


def test_values_of_other_parts_are_read_at_each_scrape() -> None:
    metrics = Metrics()
    open_connections = [1, 2, 3]
    metrics.gauge("sidecar_open", "Open.", lambda: len(open_connections))
    metrics.total("sidecar_made", "Made.", lambda: 7)
    assert scraped(metrics)["sidecar_open"] == 3
    open_connections.clear()
    assert scraped(metrics)["sidecar_open"] == 0
    assert scraped(metrics)["sidecar_made_total"] == 7


def test_buckets_add_up_to_the_count_and_the_sum() -> None:
    metrics = Metrics()
    for seconds in (0.002, 0.002, 4.0):
        metrics.request_seconds.add(seconds)
    found = scraped(metrics)
    assert found["sidecar_request_duration_seconds_count"] == 3
    assert found["sidecar_request_duration_seconds_sum"] == pytest.approx(4.004)
    counts = [found[f'sidecar_request_duration_seconds_bucket{{le="{bound}"}}'] for bound in BUCKETS_S]
    assert counts == sorted(counts)
    assert counts[-1] == 3


@pytest.mark.parametrize(("durations", "expected"), [([], 1), ([0.01], 1), ([4.0, 6.0], 5), ([1_000.0], 30)])
def test_the_typical_request_lasts_a_second_at_least_and_half_a_minute_at_most(
    durations: list[float], expected: int
) -> None:
    metrics = Metrics()
    for seconds in durations:
        metrics.request_seconds.add(seconds)
    assert metrics.typical_request_s() == expected
