"""The second lock, by CEL itself (the C++ implementation): which pods it denies."""

import functools
from typing import Any

import pytest

from tests.helm import rendering

cel = pytest.importorskip("cel_expr_python.cel", reason="CEL's library is not everywhere")
strings = pytest.importorskip("cel_expr_python.ext.ext_strings")

Json = dict[str, Any]

ANNOTATION = "entitlement-sidecar.io/port"
HTTP = {"name": "http", "containerPort": 8080, "protocol": "TCP"}
RENAMED = HTTP | {"name": "http-app"}
OURS = {"name": "entitlement-sidecar", "ports": [HTTP | {"containerPort": 15080}]}


@functools.cache
def environment() -> Any:
    dyn = cel.Type.DYN
    return cel.NewEnv(variables={"object": dyn, "variables": dyn}, extensions=[strings.ExtStrings()])


def evaluate(expression: str, values: Json) -> Any:
    return environment().compile(expression).eval(data=values).plain_value()


def denied(pod: Json, case: str = "minimal") -> list[str]:
    """The messages that a pod gets."""
    spec = rendering.one(case, "ValidatingAdmissionPolicy", "demo-sidecar-sidecar-second-lock")["spec"]
    values = {"object": pod, "variables": {}}
    for variable in spec["variables"]:
        values["variables"][variable["name"]] = evaluate(variable["expression"], values)
    return [each["message"] for each in spec["validations"] if not evaluate(each["expression"], values)]


def pod(*containers: Json, init: list[Json] | None = None, annotations: dict[str, str] | None = None) -> Json:
    spec: Json = {"containers": list(containers)} | ({"initContainers": init} if init is not None else {})
    return {"metadata": {} if annotations is None else {"annotations": annotations}, "spec": spec}


APP: Json = {"name": "app", "ports": [HTTP]}
MOVED: Json = {"name": "app", "ports": [RENAMED]}


@pytest.mark.parametrize(
    "right",
    [
        pytest.param(pod(MOVED, OURS), id="injected"),
        pytest.param(pod(MOVED, init=[OURS | {"restartPolicy": "Always"}]), id="injected, native"),
        pytest.param(pod(MOVED, OURS, annotations={"example.com/a": "b"}), id="with annotations of others"),
        pytest.param(pod({"name": "worker"}), id="no port"),
        pytest.param(pod({"name": "app", "ports": [{"containerPort": 8080}]}), id="a port without a name"),
        pytest.param(pod({"name": "app", "ports": [HTTP | {"name": "grpc"}]}), id="another port"),
        pytest.param(pod({"name": "app", "ports": [HTTP | {"protocol": "UDP"}]}), id="another protocol"),
        pytest.param(pod(APP, annotations={ANNOTATION: "web"}) | {}, id="another port is to be taken over"),
        pytest.param(pod(MOVED, init=[{"name": "migrate", "ports": [HTTP]}]), id="an init container that ends"),
    ],
)
def test_it_admits(right: Json) -> None:
    assert denied(right) == []


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(pod(APP), id="not injected"),
        pytest.param(pod(APP, OURS), id="taken back"),
        pytest.param(pod({"name": "app", "ports": [{"name": "http", "containerPort": 80}]}), id="protocol left out"),
        pytest.param(pod(MOVED, APP | {"name": "second"}), id="one of two"),
        pytest.param(pod(MOVED, init=[APP | {"restartPolicy": "Always"}]), id="an init container that goes on"),
        pytest.param(
            pod({"name": "app", "ports": [HTTP | {"name": "web"}]}, annotations={ANNOTATION: "http, web"}),
            id="the second of two names",
        ),
        pytest.param(pod(APP | {"name": "entitlement-sidecar-app"}), id="a name that is almost ours"),
    ],
)
def test_it_denies_and_says_what_to_do(wrong: Json) -> None:
    (message,) = denied(wrong)
    assert "not injected" in message
    assert 'entitlement-sidecar.io/inject: "false"' in message


def test_every_pod_needs_the_sidecar_where_that_is_asked_for() -> None:
    (message,) = denied(pod({"name": "worker"}), "full")
    assert message.startswith("The pod has no sidecar")
    assert denied(pod(MOVED, OURS), "full") == []
    assert denied(pod(MOVED, init=[OURS | {"restartPolicy": "Always"}]), "full") == []


def test_scope_is_that_of_the_webhook() -> None:
    (webhook,) = rendering.one("full", "MutatingWebhookConfiguration", "demo-sidecar-sidecar-injector")["webhooks"]
    lock = rendering.one("full", "ValidatingAdmissionPolicy", "demo-sidecar-sidecar-second-lock")["spec"]
    constraints = lock["matchConstraints"]
    assert constraints["resourceRules"] == webhook["rules"]
    assert constraints["namespaceSelector"] == webhook["namespaceSelector"]
    assert constraints["objectSelector"] == webhook["objectSelector"]
    assert lock["failurePolicy"] == "Fail"


def test_the_webhook_is_safe_to_wait_for() -> None:
    (webhook,) = rendering.one("minimal", "MutatingWebhookConfiguration", "demo-sidecar-sidecar-injector")["webhooks"]
    own = [each for each in webhook["namespaceSelector"]["matchExpressions"] if each["operator"] == "NotIn"]
    assert {"kube-system", "sidecar"} <= set(own[0]["values"])
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == ("Fail", 5)
    assert (webhook["reinvocationPolicy"], webhook["sideEffects"]) == ("IfNeeded", "None")
