"""AdmissionReview on the wire."""

import json

import msgspec
import pytest

from sidecar.injector import review
from sidecar.injector.review import Response, Status

QUESTION = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": {"kind": "Pod"},
        "oldObject": None,
        "dryRun": True,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    },
}


def test_a_question_is_read() -> None:
    request = review.decode(json.dumps(QUESTION).encode())
    assert (request.uid, request.kind.kind, request.operation) == (
        "705ab4f5-6393-11e8-b7cc-42010a800002",
        "Pod",
        "CREATE",
    )
    assert (request.namespace, request.name, request.dry_run) == ("shop", "", True)
    assert json.loads(bytes(request.object)) == {"kind": "Pod"}


@pytest.mark.parametrize(
    "change",
    [{"apiVersion": "admission.k8s.io/v1beta1"}, {"kind": "Review"}, {"request": None}, {"request": {"uid": "1"}}],
)
def test_what_is_none_of_this_version(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        review.decode(json.dumps(QUESTION | change).encode())


def test_an_answer_has_the_patch_in_base64() -> None:
    patch = review.patched([{"op": "add", "path": "/a", "value": 1}])
    answer = json.loads(review.encode(Response(uid="u", allowed=True, patch_type="JSONPatch", patch=patch)))
    assert answer == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": "u",
            "allowed": True,
            "patchType": "JSONPatch",
            "patch": "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2EiLCJ2YWx1ZSI6MX1d",
        },
    }


def test_a_denial_has_a_status() -> None:
    answer = json.loads(review.encode(Response(uid="u", allowed=False, status=Status(message="No."), warnings=["w"])))
    assert answer["response"] == {
        "uid": "u",
        "allowed": False,
        "status": {"message": "No.", "code": 403, "reason": "Forbidden"},
        "warnings": ["w"],
    }
