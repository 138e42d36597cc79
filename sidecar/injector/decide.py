"""Whether and how a pod is injected: pure, and with all reasons at once.

A pod in scope of which a port is to be taken over, and cannot be, is denied: it never runs without being metered
unless its own label says so. The table is read from above; the first row that fits holds. Rows that deny are all
checked, so that one answer has all that is wrong.

| row | label    | annotations | ours there | port there        | in the way           | result              |
|-----|----------|-------------|------------|-------------------|----------------------|---------------------|
| 1   | "false"  | any         | any        | any               | any                  | skip opted_out      |
| 2   | no flag  | right       | any        | any               | any                  | deny wrong_label    |
| 3   | any      | wrong       | any        | any               | any                  | deny wrong_annotation |
| 4   | any      | right       | yes        | with us only      | any                  | skip already_injected |
| 5   | any      | right       | yes        | with another, too | any                  | deny taken_back     |
| 6   | any      | right       | no         | no, strict: warn  | any                  | skip no_port        |
| 7   | any      | right       | no         | no, strict: deny  | any                  | deny no_port        |
| 8   | any      | right       | no         | no, named by pod  | any                  | deny no_port        |
| 9   | any      | right       | no         | yes               | host network         | deny host_network   |
| 10  | any      | right       | no         | yes               | Windows              | deny windows        |
| 11  | any      | right       | no         | yes               | ends, container      | deny job_needs_native |
| 12  | any      | right       | no         | yes               | a host port          | deny host_port      |
| 13  | any      | right       | no         | yes               | our port number      | deny port_in_use    |
| 14  | any      | right       | no         | yes               | our volume's name    | deny name_in_use    |
| 15  | any      | right       | no         | yes               | drain beyond grace   | deny drain_too_long |
| 16  | any      | right       | no         | yes               | unnamed, strict: deny | deny unnamed_port  |
| 17  | any      | right       | no         | yes               | unnamed, strict: warn | inject unnamed_port |
| 18  | any      | right       | no         | yes               | another named port   | inject other_port   |
| 19  | any      | right       | no         | yes               | native before 1.32   | inject native_unseen |
| 20  | any      | right       | no         | yes, twice        | nothing              | inject name_twice   |
| 21  | any      | right       | no         | yes               | nothing              | inject              |
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from sidecar.config.settings import Injector
from sidecar.injector import annotations, container, reasons, takeover
from sidecar.injector.annotations import OPT_OUT_LABEL, Wishes
from sidecar.injector.container import Plan
from sidecar.injector.pod import Pod
from sidecar.injector.reasons import Effect, Reason

SETTLE_S: Final = 5
"""What is left of a pod's grace period, when the sidecar has drained, for the last settlements."""
DELAY_S: Final = 5
"""How long an ordinary container takes requests after SIGTERM, at most: until nobody sends any more. A native one
gets its signal when the application has ended."""

_SEES_NATIVE: Final = (1, 32)
"""The first version of Kubernetes whose Services see named ports of native sidecars."""


class Outcome(StrEnum):
    INJECT = "injected"
    SKIP = "skipped"
    DENY = "denied"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`plan` is there when the pod is to be injected. `reasons` may be there in any case."""

    outcome: Outcome
    reasons: tuple[Reason, ...] = ()
    plan: Plan | None = None

    @classmethod
    def skip(cls, reason: Reason) -> "Decision":
        return cls(outcome=Outcome.SKIP, reasons=(reason,))


def decide(pod: Pod, settings: Injector) -> Decision:
    """See the table above."""
    label = pod.labels.get(OPT_OUT_LABEL, "true")
    if label == "false":
        return Decision.skip(reasons.OPTED_OUT)
    wishes, wrongs = annotations.read(pod.annotations, settings)
    wrong = [reasons.wrong_annotation(sentence) for sentence in wrongs]
    if label != "true":
        wrong.insert(0, reasons.wrong_label(label))
    if wrong:
        return Decision(outcome=Outcome.DENY, reasons=tuple(wrong))
    plan = _plan(pod, wishes, settings)
    if any(takeover.is_ours(each.name) for each in pod.containers):
        back = tuple(reasons.taken_back(taken) for taken in plan.takeover.taken)
        return Decision(outcome=Outcome.DENY, reasons=back) if back else Decision.skip(reasons.ALREADY_INJECTED)
    found = tuple(_missing(wishes, plan)) + (tuple(_in_the_way(pod, plan)) if plan.takeover.taken else ())
    found += tuple(_around(pod, plan, settings.kubernetes_version))
    effect = max((reason.effect for reason in found), default=Effect.TELL)
    if effect is Effect.TELL:
        return Decision(outcome=Outcome.INJECT, reasons=found, plan=plan)
    return Decision(outcome=Outcome.DENY if effect is Effect.DENY else Outcome.SKIP, reasons=found)


def sees_native(version: str) -> bool:
    """Whether Services of this version of Kubernetes see native sidecars; an unknown one is an old one."""
    match = re.match(r"v?(\d+)\.(\d+)", version, re.ASCII)
    return match is not None and (int(match[1]), int(match[2])) >= _SEES_NATIVE


def _plan(pod: Pod, wishes: Wishes, settings: Injector) -> Plan:
    native = wishes.mode == "native" or (wishes.mode == "auto" and sees_native(settings.kubernetes_version))
    grace_s = pod.spec.termination_grace_period_seconds
    delay_s = 0 if native else min(DELAY_S, grace_s // 6)
    fits_s = grace_s - delay_s - SETTLE_S
    return Plan(
        takeover=takeover.plan(pod, wishes.ports),
        wishes=wishes,
        native=native,
        delay_s=delay_s,
        drain_fits_s=fits_s,
        drain_s=wishes.drain_s or max(1, min(settings.shutdown_s, fits_s)),
    )


def _missing(wishes: Wishes, plan: Plan) -> Iterator[Reason]:
    deny = wishes.ports_named or wishes.strict == "deny"
    for name in plan.takeover.missing:
        yield reasons.no_port(name, deny=deny)


def _in_the_way(pod: Pod, plan: Plan) -> Iterator[Reason]:
    """What keeps the sidecar from taking over what is there."""
    spec = pod.spec
    if spec.host_network:
        yield reasons.HOST_NETWORK
    if spec.os is not None and spec.os.name == "windows":
        yield reasons.WINDOWS
    if spec.restart_policy != "Always" and not plan.native:
        yield reasons.JOB_NEEDS_NATIVE
    drain_s, grace_s = plan.wishes.drain_s, spec.termination_grace_period_seconds
    if drain_s is not None and drain_s > plan.drain_fits_s:
        yield reasons.drain_too_long(drain_s, plan.drain_fits_s, grace_s)
    yield from (reasons.host_port(taken) for taken in plan.takeover.taken if taken.host_port)
    yield from _collisions(pod, plan)


def _collisions(pod: Pod, plan: Plan) -> Iterator[Reason]:
    """What is called or numbered as ours must be."""
    for each in pod.containers:
        for port in each.ports or []:
            if port.container_port in plan.takeover.own_ports:
                yield reasons.port_in_use(each.name, port.container_port)
    for volume in pod.spec.volumes or []:
        if volume.name in container.VOLUMES:
            yield reasons.name_in_use("volume", volume.name)


def _around(pod: Pod, plan: Plan, version: str) -> Iterator[Reason]:
    """What leads past the sidecar even so, or past both."""
    if plan.takeover.taken and plan.native and version and not sees_native(version):
        yield reasons.NATIVE_UNSEEN
    yield from map(reasons.name_twice, plan.takeover.besides)
    for _, each in pod.placed:
        for port in each.ports or []:
            if port.protocol != "TCP" or port.name in plan.wishes.ports:
                continue
            if not port.name:
                yield reasons.unnamed_port(each.name, port.container_port, deny=plan.wishes.strict == "deny")
            elif plan.takeover.taken:
                yield reasons.other_port(each.name, port.name, port.container_port)
