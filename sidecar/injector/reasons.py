"""Why a pod is not injected, or not as a whole. A reason is a word, for metrics, and a sentence, for people.

What it does to the review is part of it: some refuse the pod, some leave it as it is, some are only told.
"""

from enum import IntEnum
from typing import Final

import msgspec

from sidecar.injector.annotations import OPT_OUT_LABEL, PREFIX
from sidecar.injector.takeover import Besides, Taken


class Effect(IntEnum):
    """From harmless to decisive; of several reasons the highest decides."""

    TELL = 0
    SKIP = 1
    DENY = 2


class Reason(msgspec.Struct, frozen=True):
    word: str
    sentence: str
    effect: Effect


WAY_OUT: Final = f'label the pod {OPT_OUT_LABEL}: "false" to run it without the sidecar'

NOT_A_NEW_POD: Final = Reason("not_a_new_pod", "Only pods that are created are injected.", Effect.SKIP)
OPTED_OUT: Final = Reason("opted_out", f'The label {OPT_OUT_LABEL} is "false".', Effect.SKIP)
ALREADY_INJECTED: Final = Reason("already_injected", "The pod has the sidecar already.", Effect.SKIP)
HOST_NETWORK: Final = Reason(
    "host_network",
    f"A pod with hostNetwork has the node's ports and loopback, which a sidecar cannot have for itself; {WAY_OUT}.",
    Effect.DENY,
)
WINDOWS: Final = Reason("windows", f"The sidecar runs on Linux only; {WAY_OUT}.", Effect.DENY)
JOB_NEEDS_NATIVE: Final = Reason(
    "job_needs_native",
    "A pod that is to end would be kept running by a sidecar that is an ordinary container; "
    f"it needs Kubernetes 1.32, or {PREFIX}mode: native.",
    Effect.DENY,
)
NATIVE_UNSEEN: Final = Reason(
    "native_unseen",
    "Before Kubernetes 1.32 Services do not see named ports of native sidecars: this pod gets no traffic by name.",
    Effect.TELL,
)


def wrong_label(value: str) -> Reason:
    return Reason(
        "wrong_label", f'The label {OPT_OUT_LABEL} is "{value}"; it must be "false" or "true".', Effect.DENY
    )


def wrong_annotation(sentence: str) -> Reason:
    return Reason("wrong_annotation", sentence, Effect.DENY)


def no_port(name: str, *, deny: bool) -> Reason:
    said = f"No container has a TCP port named {name}, so nothing is metered there"
    if deny:
        return Reason(
            "no_port", f"{said}: name the port, choose another with {PREFIX}port, or {WAY_OUT}.", Effect.DENY
        )
    return Reason("no_port", f"{said}; if that is meant, {WAY_OUT}.", Effect.SKIP)


def unnamed_port(container: str, port: int, *, deny: bool) -> Reason:
    said = f"Port {port} of container {container} has no name, so nobody can take it over"
    if deny:
        return Reason("unnamed_port", f"{said}: give it one, or {WAY_OUT}.", Effect.DENY)
    return Reason("unnamed_port", f"{said}: it is reached without the sidecar.", Effect.TELL)


def other_port(container: str, name: str, port: int) -> Reason:
    said = f"Port {name} ({port}) of container {container} is not taken over: it is reached without the sidecar."
    return Reason("other_port", said, Effect.TELL)


def name_twice(besides: Besides) -> Reason:
    said = f"Port {besides.name} ({besides.port}) of container {besides.container} is the second of its name: "
    return Reason("name_twice", f"{said}it loses the name, and is reached without the sidecar.", Effect.TELL)


def host_port(taken: Taken) -> Reason:
    return Reason(
        "host_port",
        f"Port {taken.name} of container {taken.container} has hostPort {taken.host_port}, which leads around the "
        f"sidecar; remove it, or {WAY_OUT}.",
        Effect.DENY,
    )


def port_in_use(container: str, port: int) -> Reason:
    said = f"Container {container} has port {port}, which the sidecar needs; give it another number, or {WAY_OUT}."
    return Reason("port_in_use", said, Effect.DENY)


def name_in_use(what: str, name: str) -> Reason:
    return Reason("name_in_use", f"The pod has a {what} named {name}, which must be ours.", Effect.DENY)


def taken_back(taken: Taken) -> Reason:
    return Reason(
        "taken_back",
        f"The pod has the sidecar, but the port named {taken.name} is with container {taken.container}: requests "
        "would go around it.",
        Effect.DENY,
    )


def drain_too_long(drain_s: int, fits_s: int, grace_s: int) -> Reason:
    return Reason(
        "drain_too_long",
        f"{PREFIX}drain is {drain_s}, but of terminationGracePeriodSeconds, {grace_s}, only {max(0, fits_s)} are "
        "left for it.",
        Effect.DENY,
    )


WORDS: Final = frozenset(
    {
        *("not_a_new_pod", "opted_out", "already_injected", "host_network", "windows", "job_needs_native"),
        *("native_unseen", "wrong_label", "wrong_annotation", "no_port", "unnamed_port", "other_port", "host_port"),
        *("port_in_use", "name_in_use", "name_twice", "taken_back", "drain_too_long"),
    }
)
"""All words: the closed set of the metric's label."""
