"""What is read of a pod: no more than is needed, in whatever way an API server writes it."""

import msgspec
import pytest

from sidecar.injector.pod import decode


def test_missing_and_null_are_empty() -> None:
    pod = decode(
        b'{"metadata": {"labels": null}, "spec": {"containers": [{"name": "a", "ports": null}], "volumes": null}}'
    )
    assert (pod.labels, pod.annotations, pod.spec.volumes) == ({}, {}, None)
    assert pod.spec.termination_grace_period_seconds == 30
    assert pod.spec.restart_policy == "Always"


def test_names_are_looked_up_in_ordinary_containers_first() -> None:
    pod = decode(
        b'{"metadata": {}, "spec": {"containers": [{"name": "a"}, {"name": "b"}],'
        b'"initContainers": [{"name": "once"}, {"name": "native", "restartPolicy": "Always"}]}}'
    )
    assert [(path, container.name) for path, container in pod.placed] == [
        ("/spec/containers/0", "a"),
        ("/spec/containers/1", "b"),
        ("/spec/initContainers/1", "native"),
    ]
    assert [container.name for container in pod.containers] == ["a", "b", "once", "native"]


@pytest.mark.parametrize(
    "document",
    [b"null", b"{}", b'{"metadata": {}, "spec": {}}', b'{"metadata": {}, "spec": {"containers": [{"name": 1}]}}'],
)
def test_what_is_no_pod(document: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(document)
