"""Pods in scope without a sidecar that runs: a metric for alarms, an event for whoever looks at the pod.

Whatever let such a pod in (the webhook was deleted, the namespace was labelled later, somebody removed the container)
it shows here, without anybody's help. Pods whose own label leaves them out are not in scope.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sidecar.injector import takeover
from sidecar.injector.annotations import OPT_OUT_LABEL
from sidecar.injector.cluster import Cluster, RunningPod, Unreachable

log = logging.getLogger("sidecar.injector")


class State(StrEnum):
    """How the sidecar of a pod fares."""

    LIVE = "live"
    STARTING = "starting"
    MISSING = "missing"
    DOWN = "down"


_EVENTS: Final = {
    State.MISSING: (
        "SidecarMissing",
        (
            "The pod is in scope and has no sidecar: its requests are not metered. Delete the pod to have it made "
            f'again with one, or label it {OPT_OUT_LABEL}: "false".'
        ),
    ),
    State.DOWN: ("SidecarDown", "The pod is in scope and its sidecar does not run: it gets no requests by name."),
}


class Watch:
    """Looks at the cluster every `interval_s`; `now_s` is the wall clock, for events.

    `pods` counts by state at the last look that succeeded, at `looked_at_s`.
    """

    def __init__(self, cluster: Cluster, *, interval_s: float, now_s: Callable[[], float]) -> None:
        self._cluster = cluster
        self._interval_s = interval_s
        self._now_s = now_s
        self._told: set[tuple[str, State]] = set()
        self._said = ""
        self.pods: Counter[str] = Counter(dict.fromkeys(State, 0))
        self.looked_at_s = 0.0
        self.failures_total = 0

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            try:
                await self.look()
            except Unreachable as error:
                self.failures_total += 1
                if str(error) != self._said:
                    log.warning("pods in scope cannot be looked for: %s", error)
                self._said = str(error)
            else:
                self._said = ""
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """Look once; Unreachable when that was not possible, and what was known stays."""
        found = [
            (pod, state(pod)) for name in await self._cluster.namespaces() for pod in await self._cluster.pods(name)
        ]
        counted: Counter[str] = Counter(dict.fromkeys(State, 0))
        counted.update(each for _, each in found)
        self.pods, self.looked_at_s = counted, self._now_s()
        self._told &= {(pod.metadata.uid, each) for pod, each in found}
        for pod, each in found:
            if each in _EVENTS and (pod.metadata.uid, each) not in self._told:
                await self._tell(pod, each)

    async def _tell(self, pod: RunningPod, found: State) -> None:
        reason, message = _EVENTS[found]
        log.warning("pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, message)
        # Told even if it cannot be kept: the log and the metric have it.
        self._told.add((pod.metadata.uid, found))
        await self._cluster.keep_event(pod.metadata.namespace, _event(pod, reason, message, self._now_s()))


def state(pod: RunningPod) -> State:
    """How the sidecar of `pod` fares; of several the worst counts."""
    ours = {name for name in pod.containers if takeover.is_ours(name)}
    if not ours:
        return State.MISSING
    if ours <= pod.running:
        return State.LIVE
    return State.DOWN if pod.status.phase == "Running" else State.STARTING


def _event(pod: RunningPod, reason: str, message: str, now_s: float) -> dict[str, Any]:
    """An event whose name follows from what it is about: of several processes that tell it, one is first."""
    at = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    which = hashlib.sha256(f"{pod.metadata.uid} {reason}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{pod.metadata.name[:230]}.{which}", "namespace": pod.metadata.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod.metadata.name,
            "namespace": pod.metadata.namespace,
            "uid": pod.metadata.uid,
        },
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": "entitlement-sidecar-injector"},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
