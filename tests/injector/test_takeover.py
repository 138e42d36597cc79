"""Takeover of a port by its name, over pods of every kind: what must hold for all of them."""

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.settings import Injector
from sidecar.injector import pod as pods
from sidecar.injector import takeover
from sidecar.injector.annotations import OPT_OUT_LABEL, PREFIX, is_port_name
from sidecar.injector.container import VOLUMES
from sidecar.injector.decide import Outcome, decide
from sidecar.injector.patch import patch
from sidecar.injector.takeover import is_ours

Json = dict[str, Any]
NAMES = ["http", "web", "http-app", "a-name-of-fifte", "web-app2"]
NATIVE, OLD = Injector(image="s:1", kubernetes_version="1.33"), Injector(image="s:1", kubernetes_version="1.30")

names = st.sampled_from(NAMES)
targets = st.one_of(names, st.integers(1, 9_000))
handlers = st.one_of(
    st.fixed_dictionaries({"httpGet": st.fixed_dictionaries({"port": targets, "path": st.just("/")})}),
    st.fixed_dictionaries({"tcpSocket": st.fixed_dictionaries({"port": targets})}),
    st.just({"exec": {"command": ["true"]}}),
    st.just({"grpc": {"port": 9000}}),
)
ports = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.integers(1, 9_000)},
        optional={"name": names, "protocol": st.sampled_from(["TCP", "UDP"])},
    ),
    max_size=3,
    unique_by=(lambda port: port.get("name") or object(), lambda port: port["containerPort"]),
)
containers = st.fixed_dictionaries(
    {"image": st.just("x")},
    optional={
        "ports": ports,
        "livenessProbe": handlers,
        "readinessProbe": handlers,
        "startupProbe": handlers,
        "lifecycle": st.fixed_dictionaries({}, optional={"preStop": handlers, "postStart": handlers}),
    },
)
init_containers = st.tuples(containers, st.booleans()).map(
    lambda each: each[0] | ({"restartPolicy": "Always"} if each[1] else {})
)
texts = st.dictionaries(st.sampled_from(["example.com/a", "b", "c/d~e"]), st.text(max_size=5), max_size=2)


def named(kind: str, some: list[Json]) -> list[Json]:
    return [{"name": f"{kind}-{number}"} | each for number, each in enumerate(some)]


@st.composite
def documents(draw: st.DrawFn) -> Json:
    """A pod that asks for one or two names which it has."""
    spec: Json = {"containers": named("app", draw(st.lists(containers, min_size=1, max_size=3)))}
    if starting := draw(st.lists(init_containers, max_size=2)):
        spec["initContainers"] = named("init", starting)
    if draw(st.booleans()):
        spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    document: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": draw(texts)}, "spec": spec}
    there = [name for name in NAMES if endpoint(document, name)]
    if not there:
        spec["containers"][0].setdefault("ports", []).append({"name": "only", "containerPort": 9_500})
        there = ["only"]
    asked = draw(st.lists(st.sampled_from(there), min_size=1, max_size=2, unique=True))
    document["metadata"]["annotations"] = draw(texts) | {f"{PREFIX}port": ",".join(asked)}
    return document


def injected(document: Json, of: Injector) -> Json:
    """The pod after the patch."""
    pod = pods.convert(document)
    decision = decide(pod, of)
    assert decision.plan is not None, decision.reasons
    result: Json = jsonpatch.apply_patch(copy.deepcopy(document), patch(pod, decision.plan, of))
    return result


def endpoint(document: Json, name: str, *, native_seen: bool = True) -> tuple[str, int] | None:
    """Where Kubernetes sends what a Service has for this port: container and number (its FindPort)."""
    spec = document["spec"]
    running = [each for each in spec.get("initContainers", []) if each.get("restartPolicy") == "Always"]
    for container in spec["containers"] + (running if native_seen else []):
        for port in container.get("ports", []):
            if port.get("name") == name and port.get("protocol", "TCP") == "TCP":
                return container["name"], port["containerPort"]
    return None


def called(document: Json) -> dict[tuple[str, str, str], int]:
    """The number that each probe and hook of the user's containers calls, names looked up in their own container.

    One that names a port which is not there calls nothing.
    """
    found: dict[tuple[str, str, str], int] = {}
    for container in all_containers(document):
        if is_ours(container["name"]):
            continue
        numbers = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
        of_all: Json = {key: container.get(key) for key in ("livenessProbe", "readinessProbe", "startupProbe")}
        for key, handler in (of_all | container.get("lifecycle", {})).items():
            for kind, target in (handler or {}).items():
                port = target.get("port")
                if isinstance(port, int) or port in numbers:
                    found[container["name"], key, kind] = numbers.get(port, port)
    return found


def all_containers(document: Json) -> list[Json]:
    everything: list[Json] = document["spec"].get("initContainers", []) + document["spec"]["containers"]
    return everything


@settings(max_examples=300, deadline=None)
@given(documents(), st.sampled_from([NATIVE, OLD]))
def test_what_holds_for_every_pod(document: Json, of: Injector) -> None:
    after = injected(document, of)
    services_that_reached_the_application_by_name_reach_the_sidecar(document, after, native_seen=of is NATIVE)
    nothing_of_the_user_is_lost(document, after)
    assert [reason.word for reason in decide(pods.convert(after), of).reasons] == ["already_injected"]
    document["metadata"]["labels"][OPT_OUT_LABEL] = "false"
    assert decide(pods.convert(document), of).outcome is Outcome.SKIP


def services_that_reached_the_application_by_name_reach_the_sidecar(
    document: Json, after: Json, *, native_seen: bool
) -> None:
    for name in document["metadata"]["annotations"][f"{PREFIX}port"].split(","):
        before, now = endpoint(document, name), endpoint(after, name, native_seen=native_seen)
        assert before is not None
        assert now is not None
        assert is_ours(now[0])
        ours = next(each for each in all_containers(after) if each["name"] == now[0])
        assert {"name": "SIDECAR_UPSTREAM_URL", "value": f"http://127.0.0.1:{before[1]}"} in ours["env"]
        assert {"name": "SIDECAR_PROXY_LISTEN", "value": f"0.0.0.0:{now[1]}"} in ours["env"]


def nothing_of_the_user_is_lost(document: Json, after: Json) -> None:
    assert called(document).items() <= called(after).items()
    for kind in ("annotations", "labels"):
        assert document["metadata"][kind].items() <= after["metadata"][kind].items()
    assert [each for each in after["spec"]["volumes"] if each["name"] not in VOLUMES] == (
        document["spec"].get("volumes", [])
    )
    kept = [each for each in all_containers(after) if not is_ours(each["name"])]
    assert [bare(each) for each in kept] == [bare(each) for each in all_containers(document)]
    for each in all_containers(after):
        own = [port["name"] for port in each.get("ports", []) if "name" in port]
        assert len(own) == len(set(own))
        assert all(map(is_port_name, own))


def bare(container: Json) -> Json:
    """A container without what may change: names of ports, and ports of handlers by name."""
    changing = {"ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"}
    kept = {key: value for key, value in container.items() if key not in changing}
    kept["ports"] = [{k: v for k, v in port.items() if k != "name"} for port in container.get("ports", [])]
    kept["named"] = [("name" in port) for port in container.get("ports", [])]
    return kept


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("entitlement-sidecar", True),
        ("entitlement-sidecar-2", True),
        ("entitlement-sidecar-app", False),
        ("entitlement-sidecars", False),
        ("app", False),
    ],
)
def test_our_containers_are_known_by_their_names(name: str, ours: bool) -> None:
    assert takeover.is_ours(name) is ours


def test_eight_ports_have_numbers_of_their_own() -> None:
    some = [{"name": f"p{number}", "containerPort": 8000 + number} for number in range(8)]
    document = {"metadata": {}, "spec": {"containers": [{"name": "app", "ports": some}]}}
    plan = takeover.plan(pods.convert(document), tuple(f"p{number}" for number in range(8)))
    assert len(plan.own_ports) == 16
    assert plan.taken[0].sidecar_port == 15080
    assert (plan.taken[1].sidecar, plan.taken[1].sidecar_port, plan.taken[1].admin_port) == (
        "entitlement-sidecar-2",
        15082,
        15181,
    )
