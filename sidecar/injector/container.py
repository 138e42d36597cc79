"""The sidecar as it stands in a pod: its containers and volumes. The one description of them.

It passes Pod Security *restricted*. The chart's library template renders the same, and a test compares them.
"""

from typing import Any, Final

import msgspec

from sidecar.config.settings import Injector
from sidecar.injector.annotations import Wishes
from sidecar.injector.takeover import ADMIN_PORT, Taken, Takeover

USER_ID: Final = 10001
"""The image's user; named here, since the pod may have another one for its own containers."""
RULES_VOLUME: Final = "entitlement-sidecar-rules"
DATA_VOLUME: Final = "entitlement-sidecar-data"
VOLUMES: Final = (RULES_VOLUME, DATA_VOLUME)
RULES_DIR: Final = "/etc/sidecar/rules"
DATA_DIR: Final = "/var/lib/sidecar"
STORE_KEY: Final = "url"
"""The key of the Secret."""
DATA_SIZE: Final = "128Mi"
"""Twice what charges may take on the disk (`spool.max_bytes`)."""

_TOKEN_DIR: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  (a path)
_START_TRIES: Final = 60

Json = dict[str, Any]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a pod is to be injected."""

    takeover: Takeover
    wishes: Wishes
    native: bool
    delay_s: int
    drain_s: int
    drain_fits_s: int
    """The longest that it could be."""


def containers(plan: Plan, settings: Injector) -> list[Json]:
    """One for each port that is taken over."""
    return [_container(taken, plan, settings) for taken in plan.takeover.taken]


def volumes(plan: Plan) -> list[Json]:
    return [
        {"name": RULES_VOLUME, "configMap": {"name": plan.wishes.rules}},
        {"name": DATA_VOLUME, "emptyDir": {"sizeLimit": DATA_SIZE}},
    ]


def _container(taken: Taken, plan: Plan, settings: Injector) -> Json:
    container: Json = {
        "name": taken.sidecar,
        "image": plan.wishes.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["proxy"],
    }
    if plan.native:
        container["restartPolicy"] = "Always"
    if settings.settings_configmap:
        container["envFrom"] = [{"configMapRef": {"name": settings.settings_configmap, "optional": True}}]
    container |= {
        "env": _environment(taken, plan, settings),
        "ports": [
            {"name": taken.name, "containerPort": taken.sidecar_port, "protocol": "TCP"},
            {"name": ADMIN_PORT, "containerPort": taken.admin_port, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/healthz", taken, period_s=1, failures=_START_TRIES),
        "livenessProbe": _probe("/healthz", taken, period_s=10, failures=6),
        "readinessProbe": _probe("/readyz", taken, period_s=2, failures=2),
    }
    if resources := _resources(plan.wishes):
        container["resources"] = resources
    container |= {
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": USER_ID,
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": RULES_VOLUME, "mountPath": RULES_DIR, "readOnly": True},
            {"name": DATA_VOLUME, "mountPath": DATA_DIR, "subPath": taken.sidecar},
            # Where something is mounted already, no token of the pod's service account is: the sidecar needs none.
            {"name": DATA_VOLUME, "mountPath": _TOKEN_DIR, "subPath": "no-token", "readOnly": True},
        ],
    }
    return container


def _environment(taken: Taken, plan: Plan, settings: Injector) -> list[Json]:
    """The settings of `sidecar proxy`. To the application nothing changes: its callers' Host and addresses arrive."""
    variables = {
        "SIDECAR_UPSTREAM_URL": f"http://127.0.0.1:{taken.port}",
        "SIDECAR_UPSTREAM_PRESERVE_HOST": "true",
        "SIDECAR_PROXY_LISTEN": f"0.0.0.0:{taken.sidecar_port}",
        "SIDECAR_PROXY_ADMIN_LISTEN": f"0.0.0.0:{taken.admin_port}",
        "SIDECAR_PROXY_TRUST_FORWARDED": "true",
        "SIDECAR_PROXY_SHADOW": str(plan.wishes.shadow).lower(),
        "SIDECAR_RULES_PATHS": RULES_DIR,
        "SIDECAR_DATA_DIR": DATA_DIR,
        "SIDECAR_TIMEOUTS_SHUTDOWN_DELAY_S": str(plan.delay_s),
        "SIDECAR_TIMEOUTS_SHUTDOWN_S": str(plan.drain_s),
        "SIDECAR_LOG_FORMAT": "json",
    }
    store = {"secretKeyRef": {"name": settings.store_secret, "key": STORE_KEY}}
    return [
        *({"name": name, "value": value} for name, value in variables.items()),
        {"name": "SIDECAR_STORE_URL", "valueFrom": store},
    ]


def _probe(path: str, taken: Taken, *, period_s: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": taken.admin_port, "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _resources(wishes: Wishes) -> Json:
    requests = {"cpu": wishes.cpu_request, "memory": wishes.memory_request}
    limits = {"cpu": wishes.cpu_limit, "memory": wishes.memory_limit}
    both = {"requests": requests, "limits": limits}
    given = {kind: {name: amount for name, amount in amounts.items() if amount} for kind, amounts in both.items()}
    return {kind: amounts for kind, amounts in given.items() if amounts}
