"""What a client is told when its request does not pass: RFC 9457 problems that also parse as the errors of its SDK.

`x-sidecar-refusal` marks an answer as ours, `x-should-retry: false` ends the SDKs' retries where waiting cannot help.
"""

from sidecar.domain import limit_fields
from sidecar.domain.amounts import Unit, render
from sidecar.domain.errors import IdempotencyMismatch
from sidecar.domain.exits import Event, Phase, exit_of
from sidecar.domain.limits import InFlight
from sidecar.domain.outcomes import Limited, RefusalCode, Refused
from sidecar.domain.problems import MEDIA_TYPE, kind_of, problem
from sidecar.domain.spend_caps import Capped, said_of, told_of
from sidecar.http1.errors import End, Failure, ProtocolError
from sidecar.http1.fields import Pairs
from sidecar.proxy import exits
from sidecar.proxy.upstreams import Unavailable

OURS = frozenset(
    {
        *(b"x-sidecar-refusal", b"x-reservation-id", b"x-credits-charged", b"x-credits-available"),
        *(b"x-credits-unit", b"x-credits-source", b"x-credits-clamped", b"x-settle-token"),
        *(b"x-sidecar-status", b"x-sidecar-problem"),
    }
)
"""Fields that only we may write, in either direction."""

_TYPE = (b"Content-Type", MEDIA_TYPE.encode())
_NEVER_RETRY = (b"x-should-retry", b"false")
_WORTH_A_RETRY_S = 60
"""SDKs that would have to wait for longer are told not to."""
_CHALLENGE = (b"WWW-Authenticate", b'Bearer realm="sidecar"')

_SAID = {
    RefusalCode.KEY_EXPIRED: "This key has expired. Send one that is still good.",
    RefusalCode.FEATURE_NOT_ALLOWED: "This key is limited to features that do not include this one.",
    RefusalCode.CUSTOMER_SUSPENDED: "This customer is suspended.",
    RefusalCode.REQUEST_IN_PROGRESS: (
        "A request with this idempotency key is in progress; send it again when it is over."
    ),
    RefusalCode.IDEMPOTENCY_MISMATCH: IdempotencyMismatch.USED,
}

_OPENAI_TYPES = {
    401: "invalid_request_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


class Refusal:
    """One answer of ours: status, header fields and body."""

    __slots__ = ("body", "code", "pairs", "status")

    def __init__(
        self,
        code: str,
        detail: str,
        instance: str,
        *,
        shape: str = "problem",
        retry_after_s: int | None = None,
        retry_after_ms: int | None = None,
        more: Pairs = (),
        **members: object,
    ) -> None:
        """`shape` is the rule's `errors`; `retry_after_ms`: beside `retry_after_s`, exactly.

        `more` are further header fields, `members` further members of the problem.
        """
        kind = kind_of(code)
        if retry_after_ms is not None:
            members["retry_after_ms"] = retry_after_ms
        self.code = code
        self.status = kind.status
        self.body = problem(code, detail, instance, **members, **_in_shape(shape, code, kind.status, detail))
        pairs = [_TYPE, (b"x-sidecar-refusal", code.encode()), (b"x-request-id", instance.encode())]
        retry_after_s = kind.retry_after_s if retry_after_s is None else retry_after_s
        if retry_after_s is not None:
            pairs.append((b"Retry-After", b"%d" % retry_after_s))
            if retry_after_ms is not None:
                pairs.append((b"retry-after-ms", b"%d" % retry_after_ms))
        elif kind.status < 500:
            pairs.append(_NEVER_RETRY)
        if kind.status == 401:
            pairs.append(_CHALLENGE)
        self.pairs: Pairs = (*pairs, *more)


def of_protocol_error(error: ProtocolError, instance: str, shape: str = "problem") -> Refusal:
    """The answer to a request that breaks HTTP or a limit."""
    return Refusal(error.code, error.detail, instance, shape=shape)


def crowded(most: int, instance: str, shape: str, retry_after_s: int) -> Refusal:
    """One customer has as many requests in flight as one may."""
    detail = f"This customer has {most} requests in flight here, as many as one may have."
    return Refusal("too_many_in_flight", detail, instance, shape=shape, retry_after_s=retry_after_s)


def of_refused(refused: Refused, unit: Unit, instance: str, shape: str, retry_after_s: int) -> Refusal:
    """The answer to a request that the ledger refused."""
    if refused.code is RefusalCode.UNIDENTIFIED:
        return unidentified(instance, shape)
    if refused.code in _SAID:
        return Refusal(refused.code, _SAID[refused.code], instance, shape=shape)
    if refused.limited is not None:
        return _limited(refused.code, refused.limited, instance, shape, retry_after_s)
    if refused.capped is not None:
        return _capped(refused, refused.capped, unit, instance, shape, retry_after_s)
    in_flight = refused.code is RefusalCode.HOLDS_IN_FLIGHT
    held = f", {render(refused.held, unit)} more are held by requests in flight" if refused.held else ""
    detail = (
        f"This request needs {render(refused.required, unit)} {unit.name}; "
        f"{render(refused.available, unit)} are available{held}."
    )
    return Refusal(
        refused.code,
        detail,
        instance,
        shape=shape,
        retry_after_s=retry_after_s if in_flight else None,
        unit=unit.name,
        required=refused.required,
        available=refused.available,
        held=refused.held,
    )


def _limited(code: RefusalCode, limited: Limited, instance: str, shape: str, retry_after_s: int) -> Refusal:
    """The answer to a request that a limit of its rule does not let through now."""
    limit = limited.limit
    standing = limit_fields.standing([(limit, limited.taken)])
    more = ((b"RateLimit-Policy", limit_fields.policy([limit])), (b"RateLimit", standing))
    if isinstance(limit, InFlight):
        detail = f"{limited.taken} requests are in flight; {limit.name} lets {limit.most} run at once."
        per, most = limit.per, limit.most
        return Refusal(
            code,
            detail,
            instance,
            shape=shape,
            retry_after_s=retry_after_s,
            more=more,
            limit=limit.name,
            per=per,
            most=most,
            left=0,
        )
    what, wait_ms = " + ".join(limit.of) or "requests", limited.wait_ms
    detail = (
        f"{limit.name} lets {limit.count} {what} through in {limit.period_ms // 1000} s; try again in {wait_ms} ms."
    )
    return Refusal(
        code,
        detail,
        instance,
        shape=shape,
        retry_after_s=-(-wait_ms // 1000),
        retry_after_ms=wait_ms,
        more=more,
        limit=limit.name,
        per=limit.per,
        count=limit.count,
        period_ms=limit.period_ms,
        burst=limit.burst,
        left=limit.left(limited.taken),
        reset_ms=limit.reset_ms(limited.taken),
    )


def _capped(refused: Refused, capped: Capped, unit: Unit, instance: str, shape: str, retry_after_s: int) -> Refusal:
    """The answer to a request that a spend cap of its customer does not let through."""
    wait_ms, after_s = capped.wait_ms, None
    if wait_ms is not None:
        after_s = -(-wait_ms // 1000) if wait_ms else retry_after_s
    far = after_s is not None and after_s > _WORTH_A_RETRY_S
    return Refusal(
        refused.code,
        said_of(capped, refused.required, unit),
        instance,
        shape=shape,
        retry_after_s=after_s,
        retry_after_ms=wait_ms or None,
        more=(_NEVER_RETRY,) if far else (),
        unit=unit.name,
        required=refused.required,
        available=refused.available,
        **told_of(capped),
    )


def of_failure(failure: Failure, broken: ProtocolError | None, instance: str, shape: str) -> Refusal | None:
    """The answer when there is none of the upstream's; None for a client that has gone. `broken`: by its request."""
    if failure.end is End.CLIENT_BROKE and broken is not None:
        return of_protocol_error(broken, instance, shape)
    code = exits.of_failure(failure).answers
    if not code:
        return None
    wait_s = failure.retry_after_s if isinstance(failure, Unavailable) else None
    return Refusal(code, failure.detail, instance, shape=shape, retry_after_s=wait_s)


def without_store(instance: str, shape: str) -> Refusal:
    detail = "The credit store does not answer, so nothing can be charged now. Nothing was forwarded; try again soon."
    code = exit_of(Phase.HOLD, Event.STORE_ERROR).answers
    return Refusal(code, detail, instance, shape=shape)


def unidentified(instance: str, shape: str) -> Refusal:
    detail = (
        "The request carries no key that is known here. Send the key that you were given, as your API client does."
    )
    return Refusal(RefusalCode.UNIDENTIFIED, detail, instance, shape=shape)


def _in_shape(shape: str, code: str, status: int, detail: str) -> dict[str, object]:
    if shape == "openai":
        kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        return {"error": {"message": detail, "type": kind, "param": None, "code": code}}
    if shape == "anthropic":
        return {
            "type": "error",
            "error": {"type": _ANTHROPIC_TYPES.get(status, "api_error"), "message": detail},
        }
    return {}
