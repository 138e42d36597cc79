"""From a question to its answer: decide, patch, tell. Pure but for the log."""

import logging

import msgspec

from sidecar.config.settings import Injector
from sidecar.injector import pod as pods
from sidecar.injector import reasons, review
from sidecar.injector.decide import Decision, Outcome, decide
from sidecar.injector.patch import patch
from sidecar.injector.pod import Pod
from sidecar.injector.reasons import Effect
from sidecar.injector.review import Request, Response, Status

log = logging.getLogger("sidecar.injector")

_SILENT = frozenset({reasons.OPTED_OUT, reasons.ALREADY_INJECTED, reasons.NOT_A_NEW_POD})
"""Reasons of which nobody wants to be told."""


def answer(request: Request, settings: Injector) -> tuple[Response, Decision]:
    """Judge one request; msgspec.ValidationError when what it calls a pod is none."""
    if request.kind.kind != "Pod" or request.kind.group or request.operation != "CREATE" or request.sub_resource:
        return Response(uid=request.uid, allowed=True), Decision.skip(reasons.NOT_A_NEW_POD)
    pod = pods.decode(request.object)
    decision = decide(pod, settings)
    _log(request, pod, decision)
    return _response(request, pod, decision, settings), decision


def _response(request: Request, pod: Pod, decision: Decision, settings: Injector) -> Response:
    said = [reason for reason in decision.reasons if reason not in _SILENT]
    response = Response(
        uid=request.uid,
        allowed=decision.outcome is not Outcome.DENY,
        warnings=[f"entitlement-sidecar: {reason.sentence}" for reason in said if reason.effect is not Effect.DENY],
        audit_annotations={
            "outcome": decision.outcome.value,
            "reasons": ",".join(sorted({reason.word for reason in decision.reasons})),
        },
    )
    if decision.outcome is Outcome.DENY:
        message = " ".join(reason.sentence for reason in said if reason.effect is Effect.DENY)
        return msgspec.structs.replace(response, status=Status(message=message))
    if decision.plan is None:
        return response
    operations = patch(pod, decision.plan, settings)
    return msgspec.structs.replace(response, patch_type="JSONPatch", patch=review.patched(operations))


def _log(request: Request, pod: Pod, decision: Decision) -> None:
    # A pod that a controller makes has no name of its own yet.
    name = pod.metadata.name or request.name or f"{pod.metadata.generate_name}*"
    log.info(
        "%s pod %s/%s%s%s",
        decision.outcome.value,
        request.namespace or pod.metadata.namespace,
        name,
        " (dry run)" if request.dry_run else "",
        "".join(f" {reason.word}: {reason.sentence}" for reason in decision.reasons),
    )
