"""Variables: which ones are ours, and how text becomes data."""

import pytest

from sidecar.config import environment
from sidecar.config.types import LEAVES


def test_variables_are_found_by_section_and_key() -> None:
    environ = {
        "SIDECAR_UPSTREAM_URL": "http://a",
        "SIDECAR_TENANT": "acme",
        "SIDECAR_PROXY_LISTEN": "",
        "PATH": "/bin",
    }
    found = {leaf.name: text for leaf, text in environment.variables(environ)}
    assert found == {"upstream.url": "http://a", "tenant": "acme"}


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("SIDECAR_UPSTREAM_ULR", "SIDECAR_UPSTREAM_URL"),
        ("SIDECAR_UPSTREEM_URL", "SIDECAR_UPSTREAM_URL"),
        ("SIDECAR_TENNANT", "SIDECAR_TENANT"),
        ("SIDECAR_PROXY_PORT", None),
        ("SIDECAR_LOG_COLOURFUL_OUTPUT", None),
    ],
)
def test_a_misspelt_variable_is_reported(variable: str, near: str | None) -> None:
    assert list(environment.unknown({variable: "8080"})) == [(variable, near)]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIDECAR_CONFIG", "sidecar.yaml"),
        ("SIDECAR_INJECTOR_IMAGE", "other programs may share our prefix"),
        ("SIDECAR_PROXY_SERVICE_HOST", "10.0.0.1"),
        ("SIDECAR_CONTROL_SERVICE_PORT", "8081"),
        ("SIDECAR_CONTROL_SERVICE_PORT_HTTP", "8081"),
        ("SIDECAR_CONTROL_PORT", "tcp://10.0.0.1:8081"),
        ("SIDECAR_CONTROL_PORT_8081_TCP", "tcp://10.0.0.1:8081"),
        ("SIDECAR_CONTROL_PORT_8081_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_others_set_is_left_alone(variable: str, value: str) -> None:
    assert list(environment.unknown({variable: value})) == []


@pytest.mark.parametrize(
    ("name", "text", "data"),
    [
        ("rules.paths", "a.yaml, b/ ,", ["a.yaml", "b/"]),
        ("units", "tokens:0, gpu_seconds:3", {"tokens": {"scale": "0"}, "gpu_seconds": {"scale": "3"}}),
        ("upstream.headers", "A: b:c\n\nX-D:e", {"A": "b:c", "X-D": "e"}),
        ("upstream.headers", "no colon", ["no colon"]),
        ("timeouts.total_s", "3", "3"),
    ],
)
def test_text_forms(name: str, text: str, data: object) -> None:
    assert environment.plain(LEAVES[name], text) == data


def test_references_are_replaced_once_and_missing_ones_named() -> None:
    environ = {"A": "1", "EMPTY": "", "NESTED": "${A}"}
    assert environment.expand("x ${A}${A} $A {A} ${NESTED}", environ) == ("x 11 $A {A} ${A}", [])
    assert environment.expand("${B} ${EMPTY}", environ)[1] == ["B", "EMPTY"]
