"""What the cases of values render: the golden files, and what every object of them must have."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helm import rendering, schemas
from tests.helm.rendering import CASES, FOLDER, NAMESPACE, RELEASE

Json = dict[str, Any]

TEMPLATES_OF_PODS = {"Deployment", "StatefulSet"}


def pods(case: str) -> Iterator[tuple[str, Json]]:
    """Each pod template of a case, with its component."""
    for each in rendering.objects(case):
        if each["kind"] in TEMPLATES_OF_PODS:
            yield each["metadata"]["labels"]["app.kubernetes.io/component"], each["spec"]["template"]


@pytest.mark.parametrize("case", CASES)
def test_a_case_renders_what_it_did(case: str) -> None:
    golden = FOLDER / "golden" / f"{case}.yaml"
    assert golden.read_text() == rendering.golden(case), "if that is meant: python -m tests.helm"


def test_every_golden_file_has_its_case() -> None:
    assert sorted(path.stem for path in (FOLDER / "golden").glob("*.yaml")) == CASES


@pytest.mark.parametrize("version", schemas.VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_kubernetes_takes_every_object(case: str, version: str) -> None:
    known = [each for each in rendering.objects(case) if schemas.knows(each["kind"], version)]
    assert [problem for each in known for problem in schemas.problems(each, version)] == []


def test_every_kind_has_a_schema_somewhere() -> None:
    kinds = {each["kind"] for case in CASES for each in rendering.objects(case)}
    assert {kind for kind in kinds if not schemas.knows(kind, schemas.NEWEST)} == schemas.OTHERS


def test_a_field_that_kubernetes_does_not_know_is_seen() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"port": 80}}
    assert schemas.problems(wrong, schemas.NEWEST) != []


@pytest.mark.parametrize("case", CASES)
def test_objects_have_different_names_and_the_usual_labels(case: str) -> None:
    objects = rendering.objects(case)
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    assert {each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in objects} == {RELEASE}
    assert all(len(name) <= 63 for _, _, name in names)


@pytest.mark.parametrize("case", CASES)
def test_selectors_find_their_pods(case: str) -> None:
    labels = [template["metadata"]["labels"] for _, template in pods(case)]
    for each in rendering.objects(case):
        spec = each.get("spec", {})
        selector = spec.get("selector") if each["kind"] == "Service" else spec.get("selector", {}).get("matchLabels")
        if selector and each["kind"] != "PodMonitor":
            assert sum(selector.items() <= given.items() for given in labels) == 1, each["metadata"]["name"]


@pytest.mark.parametrize("case", CASES)
def test_what_a_pod_reads_is_there_or_was_named_by_the_user(case: str) -> None:
    given = str(rendering.case_values(case))
    there = {
        (each["kind"], each["metadata"]["name"])
        for each in rendering.objects(case)
        if each["metadata"].get("namespace") == NAMESPACE
    }
    there |= {
        ("Secret", each["spec"]["secretName"]) for each in rendering.objects(case) if each["kind"] == "Certificate"
    }
    for _, template in pods(case):
        for kind, name in read_by(template["spec"]):
            assert (kind, name) in there or name in given, f"{kind} {name}"


def read_by(spec: Json) -> Iterator[tuple[str, str]]:
    for container in spec["containers"]:
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                yield "Secret", variable["valueFrom"]["secretKeyRef"]["name"]
        for source in container.get("envFrom", []):
            yield "ConfigMap", source["configMapRef"]["name"]
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_fit_for_pod_security_restricted(case: str) -> None:
    """The profile of https://kubernetes.io/docs/concepts/security/pod-security-standards, and a little more."""
    for component, template in pods(case):
        assert unrestricted(template["spec"]) == [], component


def unrestricted(spec: Json) -> list[str]:
    """What the profile has against a pod."""
    pod = spec.get("securityContext", {})
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [f"volume {each['name']}" for each in spec.get("volumes", []) if not set(each) <= allowed | {"name"}]
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container.get("securityContext", {})
        holds = {
            "runAsNonRoot": own.get("runAsNonRoot", pod.get("runAsNonRoot")) is True,
            "runAsUser": own.get("runAsUser", pod.get("runAsUser", 1)) != 0,
            "seccomp": own.get("seccompProfile", pod.get("seccompProfile", {})).get("type") == "RuntimeDefault",
            "escalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "privileged": not own.get("privileged"),
            "read-only root": own.get("readOnlyRootFilesystem") is True,
            "host ports": not any("hostPort" in port for port in container.get("ports", [])),
        }
        found += [f"{container['name']}: {rule}" for rule, kept in holds.items() if not kept]
    return found


def test_a_pod_that_is_not_fit_is_seen() -> None:
    assert len(unrestricted({"containers": [{"name": "a"}], "hostNetwork": True})) == 6


@pytest.mark.parametrize("case", CASES)
def test_only_the_watch_has_a_service_account(case: str) -> None:
    watching = rendering.case_values(case).get("injector", {}).get("watch", True)
    for component, template in pods(case):
        token = template["spec"]["automountServiceAccountToken"]
        assert token is (component == "injector" and watching), component


@pytest.mark.parametrize("case", CASES)
def test_every_container_has_probes_and_resources(case: str) -> None:
    for component, template in pods(case):
        for container in template["spec"]["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), component
            assert set(container["resources"]) == {"requests", "limits"}, component


@pytest.mark.parametrize("case", CASES)
def test_the_notes_say_the_next_command(case: str) -> None:
    text = rendering.notes(case)
    assert re.search(r"^  kubectl ", text, re.MULTILINE)
    assert ("entitlement-sidecar.io/injection=enabled" in text) is (case != "injector-off")
