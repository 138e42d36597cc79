"""Each row of the truth table is a test, and the table has no other rows."""

import re

import pytest

from sidecar.config.settings import Injector
from sidecar.injector import decide as module
from sidecar.injector.decide import Outcome, decide, sees_native
from tests.injector.golden import given

ROWS = re.findall(r"^\| (\d+) +\|.*\| (skip|deny|inject) ?(\w*) *\|$", module.__doc__ or "", re.MULTILINE)
OUTCOMES = {"skip": Outcome.SKIP, "deny": Outcome.DENY, "inject": Outcome.INJECT}
PODS = {
    1: "opted_out",
    2: "wrong_label",
    3: "wrong_annotations",
    4: "already_injected",
    5: "taken_back",
    6: "no_port",
    7: "no_port_strict",
    8: "no_port_named",
    9: "host_network",
    10: "windows",
    11: "job",
    12: "host_port",
    13: "port_in_use",
    14: "name_in_use",
    15: "drain_too_long",
    16: "unnamed_port_strict",
    17: "unnamed_port",
    18: "hooks",
    19: "native_by_annotation",
    20: "several_containers",
    21: "deployment",
}
"""A pod of the folder for each row."""


@pytest.mark.parametrize(("row", "outcome", "word"), ROWS, ids=[f"row {row}" for row, _, _ in ROWS])
def test_a_row_of_the_truth_table(row: str, outcome: str, word: str) -> None:
    pod = given(PODS[int(row)])
    decision = decide(pod.pod, pod.settings)
    assert decision.outcome is OUTCOMES[outcome]
    assert (decision.plan is not None) == (decision.outcome is Outcome.INJECT)
    words = {reason.word for reason in decision.reasons}
    assert word in words if word else not words


def test_the_table_is_whole() -> None:
    assert [int(row) for row, _, _ in ROWS] == list(PODS)


def test_all_that_is_wrong_is_said_at_once() -> None:
    words = [reason.word for reason in decide(given("port_in_use").pod, Injector()).reasons]
    assert words == ["port_in_use", "port_in_use"]
    words = [reason.word for reason in decide(given("host_network").pod, Injector()).reasons]
    assert words == ["host_network", "host_port"]


@pytest.mark.parametrize(
    ("version", "sees"),
    [
        ("v1.32.4", True),
        ("1.32", True),
        ("v1.40.0-gke.12", True),
        ("v1.31.9", False),
        ("1.29+", False),
        ("", False),
        ("2.0", True),
    ],
)
def test_services_see_native_sidecars_from_1_32_on(version: str, sees: bool) -> None:
    assert sees_native(version) is sees


@pytest.mark.parametrize(
    ("mode", "version", "native"),
    [("auto", "1.32", True), ("auto", "1.31", False), ("native", "", True), ("container", "1.36", False)],
)
def test_the_mode(mode: str, version: str, native: bool) -> None:
    settings = Injector(mode=mode, kubernetes_version=version)  # type: ignore[arg-type]  # One of its words.
    plan = decide(given("deployment").pod, settings).plan
    assert plan is not None
    assert plan.native is native


@pytest.mark.parametrize(
    ("name", "drain_s", "delay_s"),
    [("deployment", 20, 5), ("native", 25, 0), ("short_grace", 1, 0), ("every_annotation", 45, 5)],
)
def test_what_drains_fits_into_the_grace_period(name: str, drain_s: int, delay_s: int) -> None:
    pod = given(name)
    plan = decide(pod.pod, pod.settings).plan
    assert plan is not None
    assert (plan.drain_s, plan.delay_s) == (drain_s, delay_s)
