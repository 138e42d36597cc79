"""The mutating policy does to each pod of the injector's folder what the injector does, or the second lock denies it.

What it cannot do is listed here, and in docs/kubernetes.md.
"""

from typing import Any

import jsonpatch
import pytest

from sidecar.config.settings import Injector
from sidecar.injector import pod as pods
from sidecar.injector.decide import Outcome, decide
from sidecar.injector.patch import patch
from tests.helm import admission, rendering, schemas
from tests.injector import golden

Json = dict[str, Any]

CASE = "mutating-policy"
SETTINGS = Injector(
    image="entitlement-sidecar:0.1.0",
    rules="prices",
    image_pull_secrets=["registry"],
    settings_configmap="entitlement-sidecar-settings",
    kubernetes_version="1.36",
)
"""What the injector would have with the values of the case."""

DENIED_HERE = {
    "several_ports": "only one port is taken over",
    "every_annotation": "it asks for an ordinary container",
    "long_names": "what the application's port would be called is taken",
    "in_native_sidecar": "the port of a native sidecar is not taken over",
}
"""Pods that the injector injects and the policy cannot."""

IN_SCOPE = [
    name for name in golden.NAMES if golden.given(name).pod.labels.get("entitlement-sidecar.io/inject") != "false"
]


def without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nothing(each) for key, each in value.items() if each not in ({}, None)}
    return [without_nothing(each) for each in value] if isinstance(value, list) else value


def injected(document: Json) -> Json:
    pod = pods.convert(document)
    plan = decide(pod, SETTINGS).plan
    assert plan is not None
    result: Json = jsonpatch.apply_patch(document, patch(pod, plan, SETTINGS))
    return result


@pytest.mark.parametrize("name", IN_SCOPE)
def test_a_pod_fares_as_with_the_injector(name: str) -> None:
    document = golden.given(name).document
    decision = decide(pods.convert(document), SETTINGS)
    outcome = admission.mutated(document, CASE)
    if decision.outcome is Outcome.DENY or name in DENIED_HERE:
        assert admission.denied(outcome, CASE) != []
    elif decision.outcome is Outcome.SKIP:
        assert outcome == document
        assert admission.denied(outcome, CASE) == []
    else:
        assert without_nothing(outcome) == without_nothing(injected(document))
        assert admission.denied(outcome, CASE) == []


@pytest.mark.parametrize("name", IN_SCOPE)
def test_it_does_nothing_twice(name: str) -> None:
    once = admission.mutated(golden.given(name).document, CASE)
    assert admission.mutated(once, CASE) == once


def test_exceptions_are_pods_that_the_injector_injects() -> None:
    for name in DENIED_HERE:
        assert decide(golden.given(name).pod, SETTINGS).outcome is Outcome.INJECT


def test_what_comes_out_is_a_pod() -> None:
    pod = admission.mutated(golden.given("deployment").document, CASE)
    pod["metadata"]["name"] = "any"
    assert schemas.problems(pod, schemas.NEWEST) == []


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        ("rules", "Prices!", "the name of a ConfigMap"),
        ("port", "http,web", "the name of one port"),
        ("port", "web", "No container has a TCP port with the name"),
        ("upstream-protocol", "grpc", "must be http"),
        ("mode", "container", "auto or native"),
        ("image", "a b", "must be an image"),
        ("cpu-request", "much", "an amount of CPU"),
        ("cpu-limit", "1 core", "an amount of CPU"),
        ("memory-request", "1GB", "an amount of memory"),
        ("memory-limit", "", "an amount of memory"),
        ("shadow", "yes", '"true" or "false"'),
        ("strict", "maybe", "warn or deny"),
        ("drain", "0", "whole seconds"),
        ("drain", "soon", "whole seconds"),
        ("drain", "3601", "whole seconds"),
        ("ruls", "prices", "none of ours"),
    ],
)
def test_a_wrong_annotation_is_denied_with_a_reason(annotation: str, value: str, said: str) -> None:
    pod: Json = {
        "metadata": {"annotations": {f"entitlement-sidecar.io/{annotation}": value}},
        "spec": {"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8080}]}]},
    }
    messages = admission.denied(admission.mutated(pod, CASE), CASE)
    assert any(said in message for message in messages), messages


def test_a_wrong_label_is_denied_with_a_reason() -> None:
    pod: Json = {"metadata": {"labels": {"entitlement-sidecar.io/inject": "no"}}, "spec": {"containers": []}}
    assert admission.denied(admission.mutated(pod, CASE), CASE)[0].startswith(
        "The label entitlement-sidecar.io/inject"
    )


def test_neither_webhook_nor_certificate_is_left() -> None:
    kinds = {each["kind"] for each in rendering.objects(CASE)}
    assert {"MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"} <= kinds
    assert "MutatingWebhookConfiguration" not in kinds
    assert not any("injector" in each["metadata"]["name"] for each in rendering.objects(CASE))
