"""The metrics of the product as Prometheus reads them: unit in the name, labels only from closed sets.

Apart from `telemetry`, because prometheus-client brings 7 MB of modules which only a process that is scraped needs.
"""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar.telemetry import BUCKETS_S, Family, Kind, Metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Of a `page`."""


class Exposition(Collector):
    """Turns families into samples; they are read at each scrape."""

    def __init__(self, read: Callable[[], Sequence[Family]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        return map(_shown, self._read())


def exposed(metrics: Metrics) -> CollectorRegistry:
    """A registry with these metrics and nothing else."""
    registry = CollectorRegistry()
    registry.register(Exposition(metrics.families))
    return registry


def page(families: Sequence[Family]) -> bytes:
    """What a scrape gets."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(lambda: families))
    return generate_latest(registry)


def _shown(family: Family) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.text)
        histogram.add_metric([], _buckets(family), family.total_s)
        return histogram
    made = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = made(family.name, family.text, labels=family.labels)
    for labels, value in family.samples.items():
        metric.add_metric(labels, value)
    return metric


def _buckets(family: Family) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    total = 0.0
    rows = []
    for place, bound in enumerate((*map(str, BUCKETS_S), "+Inf")):
        total += family.samples[str(place),]
        rows.append((bound, total))
    return rows
