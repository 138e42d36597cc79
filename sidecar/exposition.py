"""The metrics of the product as Prometheus reads them: unit in the name, labels only from closed sets.

Apart from `telemetry`, because prometheus-client brings 7 MB of modules which only a process that is scraped needs.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar.telemetry import Metrics


class Exposition(Collector):
    """Turns what `metrics` has counted into samples, at each scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield self._by_rule(
            "sidecar_requests", "Requests by rule and by how they ended.", "outcome", metrics.requests
        )
        would = "Requests served in shadow that would have been refused, by rule and code."
        yield self._by_rule("sidecar_shadow_refusals", would, "code", metrics.shadow_refusals)
        yield from self._by_label()
        for name, text, histogram in metrics.histograms:
            family = HistogramMetricFamily(name, text)
            family.add_metric([], histogram.buckets(), histogram.total_s)
            yield family
        for name, text, read in metrics.gauges:
            yield GaugeMetricFamily(name, text, value=read())
        for name, text, read in metrics.totals:
            yield CounterMetricFamily(name, text, value=read())
        for name, text, label, read_all in metrics.gauges_by:
            yield _labelled(GaugeMetricFamily(name, text, labels=[label]), read_all())
        for name, text, label, read_all in metrics.totals_by:
            yield _labelled(CounterMetricFamily(name, text, labels=[label]), read_all())

    def _by_rule(self, name: str, text: str, label: str, counter: Mapping[tuple[str, str], int]) -> Metric:
        family = CounterMetricFamily(name, text, labels=["rule", label])
        for labels, count in list(counter.items()):
            family.add_metric(labels, count)
        return family

    def _by_label(self) -> Iterator[Metric]:
        metrics = self._metrics
        for name, text, label, counter in (
            ("sidecar_refusals", "Requests that were refused, by code.", "code", metrics.refusals),
            ("sidecar_streams_cut", "Answers ended because credit had.", "rule", metrics.cut),
            ("sidecar_clamped", "Requests lowered to what the balance buys.", "rule", metrics.clamped),
            (
                "sidecar_upstream_failures",
                "Requests that the upstream failed, by phase.",
                "phase",
                metrics.upstream_failures,
            ),
            ("sidecar_charges", "Settled requests, by where their charge comes from.", "source", metrics.charges),
            ("sidecar_held_base_units", "Amounts held.", "unit", metrics.held),
            ("sidecar_charged_base_units", "Amounts charged.", "unit", metrics.charged),
            ("sidecar_returned_base_units", "Amounts of holds that went back.", "unit", metrics.returned),
            ("sidecar_shadow_uncharged_base_units", "What such requests would have cost.", "unit", metrics.uncharged),
            ("sidecar_owed_base_units", "Charged amounts that became debt.", "unit", metrics.owed),
        ):
            yield _labelled(CounterMetricFamily(name, text, labels=[label]), counter)


def _labelled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in list(values.items()):
        family.add_metric([label], value)
    return family


def exposed(metrics: Metrics) -> CollectorRegistry:
    """A registry with these metrics and nothing else."""
    registry = CollectorRegistry()
    registry.register(Exposition(metrics))
    return registry
