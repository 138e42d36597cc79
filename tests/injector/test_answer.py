"""From a question to its answer: who is told what."""

import contextlib
import copy
import logging
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from sidecar.config.settings import Injector
from sidecar.injector.answer import answer
from sidecar.injector.decide import Outcome
from sidecar.injector.review import Kind, Request, Response
from tests.injector.golden import NAMES, given, request_for

SETTINGS = Injector(image="sidecar:1")


def asked(name: str, **fields: object) -> Response:
    return answer(request_for(given(name).document, **fields), SETTINGS)[0]


def test_an_injected_pod_gets_a_patch() -> None:
    response = asked("hooks")
    assert (response.allowed, response.patch_type) == (True, "JSONPatch")
    assert response.patch
    (warning,) = response.warnings
    assert warning.startswith("entitlement-sidecar: Port grpc (9000)")
    assert response.audit_annotations == {"outcome": "injected", "reasons": "other_port"}


def test_a_denied_pod_has_all_reasons_in_its_status() -> None:
    response = asked("port_in_use")
    assert (response.allowed, response.patch, response.patch_type) == (False, None, None)
    assert response.status is not None
    assert "port 15080" in response.status.message
    assert "port 15081" in response.status.message
    assert response.audit_annotations == {"outcome": "denied", "reasons": "port_in_use"}


@pytest.mark.parametrize("name", ["opted_out", "already_injected"])
def test_what_is_meant_is_not_told(name: str) -> None:
    response = asked(name)
    assert (response.allowed, response.warnings, response.patch) == (True, [], None)


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE"},
        {"sub_resource": "ephemeralcontainers"},
        {"kind": Kind(group="apps", version="v1", kind="Deployment")},
        {"kind": Kind(group="example.com", version="v1", kind="Pod")},
    ],
)
def test_only_new_pods_are_looked_at(fields: dict[str, object]) -> None:
    response, decision = answer(request_for({"anything": 1}, **fields), SETTINGS)
    assert response == Response(uid="u-1", allowed=True)
    assert (decision.outcome, decision.reasons[0].word) == (Outcome.SKIP, "not_a_new_pod")


def test_a_dry_run_is_answered_alike(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert asked("deployment", dry_run=True) == asked("deployment")
    assert caplog.messages == ["injected pod shop/web-7d4b9c-* (dry run)", "injected pod shop/web-7d4b9c-*"]


def test_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        asked("only_a_number")
    (line,) = caplog.messages
    assert line.startswith("skipped pod shop/number no_port: No container has a TCP port named http")
    assert "unnamed_port: Port 8080 of container app" in line


def test_a_request_is_told_by_its_uid() -> None:
    request = Request(uid="another", kind=Kind(kind="Node"), operation="CREATE")
    assert answer(request, SETTINGS)[0].uid == "another"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(st.sampled_from(NAMES), junk, st.data())
def test_whatever_comes_is_answered_or_no_pod(name: str, value: object, data: st.DataObject) -> None:
    """One place of a pod has something else: there is an answer, or the sentence that it is no pod."""
    document = copy.deepcopy(given(name).document)
    place: Any = document
    while True:
        steps = sorted(place) if isinstance(place, dict) else range(len(place))
        step = data.draw(st.sampled_from(list(steps)))
        if not isinstance(place[step], dict | list) or not place[step] or data.draw(st.booleans()):
            break
        place = place[step]
    place[step] = value
    with contextlib.suppress(msgspec.ValidationError):
        response, decision = answer(request_for(document), given(name).settings)
        assert response.allowed == (decision.outcome is not Outcome.DENY)
        assert (response.patch is not None) == (decision.outcome is Outcome.INJECT)
