"""The sidecar's container: what it may do in a pod, and that its settings are settings."""

from typing import Any

import pytest

from sidecar.cli.main import parser
from sidecar.config.load import load
from sidecar.config.settings import Injector
from sidecar.injector import container
from sidecar.injector.container import Plan
from sidecar.injector.decide import decide
from tests.injector.golden import NAMES, given


def plan_of(name: str) -> Plan:
    plan = decide(given(name).pod, given(name).settings).plan
    assert plan is not None
    return plan


def containers(name: str) -> list[dict[str, Any]]:
    return container.containers(plan_of(name), given(name).settings)


INJECTED = [name for name in NAMES if decide(given(name).pod, given(name).settings).plan is not None]


@pytest.mark.parametrize("name", INJECTED)
def test_it_passes_pod_security_restricted(name: str) -> None:
    """What the standard asks of a container, whatever the pod says for the others."""
    for each in containers(name):
        security = each["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert security["readOnlyRootFilesystem"] is True
        assert not any("hostPort" in port for port in each["ports"])
    for volume in container.volumes(plan_of(name)):
        assert set(volume) - {"name"} <= {"configMap", "emptyDir"}


@pytest.mark.parametrize("name", INJECTED)
def test_what_it_mounts_is_there(name: str) -> None:
    volumes = {volume["name"] for volume in container.volumes(plan_of(name))}
    assert volumes == set(container.VOLUMES)
    for each in containers(name):
        mounts = each["volumeMounts"]
        assert {mount["name"] for mount in mounts} == volumes
        token = "/var/run/secrets/kubernetes.io/serviceaccount"
        assert [mount["readOnly"] for mount in mounts if mount["mountPath"] == token] == [True]


@pytest.mark.parametrize("name", INJECTED)
def test_a_proxy_starts_with_its_variables(name: str) -> None:
    for each, taken in zip(containers(name), plan_of(name).takeover.taken, strict=True):
        environ = variables(each) | {"SIDECAR_STORE_URL": "redis://redis:6379"}
        loaded = load(environ=environ).settings
        assert loaded.upstream.url == f"http://127.0.0.1:{taken.port}"
        assert loaded.proxy.listen.endswith(f":{taken.sidecar_port}")
        assert loaded.proxy.admin_listen.endswith(f":{taken.admin_port}")
        assert parser().parse_args(each["args"]).run
        grace_s = given(name).pod.spec.termination_grace_period_seconds
        timeouts = loaded.timeouts
        drained_s = timeouts.shutdown_delay_s + timeouts.shutdown_s + timeouts.shutdown_settle_s
        assert drained_s < grace_s or timeouts.shutdown_s == 1, "a second is the least"


def test_several_sidecars_share_nothing_that_only_one_can_have() -> None:
    first, second = containers("several_ports")
    numbers = [port["containerPort"] for each in (first, second) for port in each["ports"]]
    assert len(numbers) == len(set(numbers))
    places = [mount["subPath"] for each in (first, second) for mount in each["volumeMounts"] if "subPath" in mount]
    assert places == ["entitlement-sidecar", "no-token", "entitlement-sidecar-2", "no-token"]


def test_the_store_is_named_by_a_secret_and_never_shown() -> None:
    (each,) = container.containers(plan_of("deployment"), Injector(image="s:1", store_secret="other"))
    found = {variable["name"]: variable for variable in each["env"]}
    assert found["SIDECAR_STORE_URL"] == {
        "name": "SIDECAR_STORE_URL",
        "valueFrom": {"secretKeyRef": {"name": "other", "key": "url"}},
    }


def test_a_native_one_is_told_to_stop_when_the_application_has_ended() -> None:
    (native,), (ordinary,) = containers("native"), containers("deployment")
    assert native["restartPolicy"] == "Always"
    assert "restartPolicy" not in ordinary
    assert variables(native)["SIDECAR_TIMEOUTS_SHUTDOWN_DELAY_S"] == "0"
    assert variables(ordinary)["SIDECAR_TIMEOUTS_SHUTDOWN_DELAY_S"] == "5"


def variables(each: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in each["env"] if "value" in variable}
