"""What to change in a pod, as a JSON Patch (RFC 6902): pure. It adds and renames, and removes nothing."""

import msgspec

from sidecar import __version__
from sidecar.config.settings import Injector
from sidecar.injector import container
from sidecar.injector.annotations import INJECTED_LABEL, STATUS
from sidecar.injector.container import Json, Plan
from sidecar.injector.pod import Named, Pod
from sidecar.injector.review import Operation


def patch(pod: Pod, plan: Plan, settings: Injector) -> list[Operation]:
    """The operations in their order: first what is renamed, while places are as they were, then what is added."""
    spec = pod.spec
    operations: list[Operation] = [
        {"op": "replace", "path": change.path, "value": change.value} for change in plan.takeover.changes
    ]
    operations += _appended("/spec/volumes", container.volumes(plan), there=bool(spec.volumes))
    operations += _pull_secrets(spec.image_pull_secrets or [], settings)
    ours = container.containers(plan, settings)
    if not plan.native:
        operations += _appended("/spec/containers", ours, there=True)
    elif spec.init_containers:
        # Before the user's: those that call out find it running.
        operations += [_add(f"/spec/initContainers/{index}", each) for index, each in enumerate(ours)]
    else:
        operations.append(_add("/spec/initContainers", ours))
    operations += _entry("annotations", STATUS, _status(plan), there=bool(pod.metadata.annotations))
    operations += _entry("labels", INJECTED_LABEL, "true", there=bool(pod.metadata.labels))
    return operations


def _add(path: str, value: object) -> Operation:
    return {"op": "add", "path": path, "value": value}


def _appended(path: str, values: list[Json], *, there: bool) -> list[Operation]:
    return [_add(f"{path}/-", value) for value in values] if there else [_add(path, values)]


def _pull_secrets(there: list[Named], settings: Injector) -> list[Operation]:
    known = {secret.name for secret in there}
    missing = [{"name": name} for name in settings.image_pull_secrets if name not in known]
    return _appended("/spec/imagePullSecrets", missing, there=bool(there)) if missing else []


def _entry(mapping: str, key: str, value: str, *, there: bool) -> list[Operation]:
    if not there:
        return [_add(f"/metadata/{mapping}", {key: value})]
    return [_add(f"/metadata/{mapping}/{key.replace('~', '~0').replace('/', '~1')}", value)]


def _status(plan: Plan) -> str:
    """What was done, for whoever looks at the pod."""
    ports = {
        taken.name: {
            "container": taken.container,
            "port": taken.port,
            "renamed": taken.renamed,
            "sidecar": taken.sidecar,
            "sidecarPort": taken.sidecar_port,
        }
        for taken in plan.takeover.taken
    }
    done = {
        "status": "injected",
        "version": __version__,
        "mode": "native" if plan.native else "container",
        "ports": ports,
    }
    return msgspec.json.encode(done).decode()
