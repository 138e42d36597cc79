"""Alarms and dashboard name metrics that the documents have, and what is worth an alarm there has one."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.helm import rendering
from tests.helm.reference import CHART

ROOT = CHART.parents[1]
METRICS = (ROOT / "docs" / "metrics.md").read_text()
DOCUMENTED = set(re.findall(r"^\| `(sidecar_[a-z_]+)` \|", METRICS, re.MULTILINE))
NAME = re.compile(r"\bsidecar_[a-z_]+")

Json = dict[str, Any]


def rules() -> list[Json]:
    spec = rendering.one("full", "PrometheusRule", "demo-sidecar")["spec"]
    return [rule for group in spec["groups"] for rule in group["rules"]]


def dashboard() -> Json:
    data = rendering.one("full", "ConfigMap", "demo-sidecar-dashboard")["data"]
    board: Json = json.loads(data["entitlement-sidecar.json"])
    return board


def named(expression: str) -> set[str]:
    """The families in an expression: a histogram's parts are its own."""
    return {re.sub(r"(_seconds)_(bucket|sum|count)$", r"\1", name) for name in NAME.findall(expression)}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alarm_names_metrics_that_exist_and_says_what_it_means(rule: Json) -> None:
    assert named(rule["expr"]), "an alarm is about something"
    assert named(rule["expr"]) - DOCUMENTED == set()
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"]


def test_alarms_have_different_names() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_what_the_documents_call_worth_an_alarm_has_one() -> None:
    worth = NAME.findall(METRICS[METRICS.index("Worth an alert") :])
    alarmed = {name for rule in rules() for name in named(rule["expr"])}
    assert set(worth) - alarmed == set()


def test_the_dashboard_names_metrics_that_exist() -> None:
    expressions = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    expressions += [each["query"] for each in dashboard()["templating"]["list"]]
    assert {name for each in expressions for name in named(each)} - DOCUMENTED == set()


def test_panels_do_not_lie_over_each_other() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard()["panels"]]
    assert len(places) == len(set(places))
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(places)


def test_the_alarms_are_the_file_of_the_chart() -> None:
    assert yaml.safe_load((CHART / "files" / "alarms.yaml").read_text())["groups"][0]["rules"][0] == rules()[0]


def test_every_metric_is_scraped_where_it_is_served() -> None:
    """By the names of the ports that pods really have."""
    ports = {
        (each["metadata"]["labels"]["app.kubernetes.io/component"], port["name"])
        for each in rendering.objects("full")
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
    }
    monitors = [each for each in rendering.objects("full") if each["kind"] == "ServiceMonitor"]
    assert len(monitors) == 2
    for each in monitors:
        component = each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        assert (component, each["spec"]["endpoints"][0]["port"]) in ports
