"""Every `code` that we answer with, its HTTP status and title, and the encoder of RFC 9457 problem documents.

The one table for both HTTP faces: refusals and engine errors of the proxy, errors of the control API. It knows codes
and bytes, no HTTP library and no exception: a face looks its error's `code` up here. A code without a row is answered
as ``internal``, and `tests/domain/test_problems.py` wants a row for each code that can reach a client.
"""

from types import MappingProxyType

import msgspec

MEDIA_TYPE = "application/problem+json"

_TYPE_PREFIX = "urn:problem-type:sidecar:"


class Kind(msgspec.Struct, frozen=True):
    """What is the same for all problems of one code.

    `retry_after_s` is set where nothing but waiting helps and the face knows no better instant.
    """

    code: str
    status: int
    title: str
    retry_after_s: int | None = None


INTERNAL = Kind("internal", 500, "Internal error")

_ALL = (
    # Refusals: the product working. `insufficient_credits` is never a 429: waiting does not fill a purse.
    Kind("unidentified", 401, "Unidentified caller"),
    Kind("key_expired", 401, "The key has expired"),
    Kind("feature_not_allowed", 403, "Not with this key"),
    Kind("customer_suspended", 403, "Customer suspended"),
    Kind("insufficient_credits", 402, "Insufficient credits"),
    Kind("credit_exhausted", 402, "Credit used up on the way"),
    Kind("pool_cap_reached", 402, "Share of the pool used up"),
    Kind("rate_limited", 429, "Too many requests"),
    Kind("concurrency_limited", 429, "Too many requests at once"),
    Kind("spend_cap_reached", 429, "Spend cap reached"),
    Kind("holds_in_flight", 429, "Credits are held by requests in flight"),
    Kind("too_many_in_flight", 429, "Too many requests in flight", 1),
    Kind("unmatched_route", 403, "No rule for this route"),
    Kind("unpriced", 403, "No price for this request"),
    Kind("unreadable_request", 400, "Unreadable request"),
    Kind("store_unavailable", 503, "Store unavailable", 1),
    Kind("request_in_progress", 409, "The same request is in progress", 1),
    # The HTTP engine of the proxy.
    Kind("bad_request", 400, "Bad request"),
    Kind("request_timed_out", 408, "Request timed out"),
    Kind("body_too_large", 413, "Body too large"),
    Kind("uri_too_long", 414, "URI too long"),
    Kind("expectation_failed", 417, "Expectation failed"),
    Kind("headers_too_large", 431, "Headers too large"),
    Kind("upgrade_unsupported", 501, "Upgrade unsupported"),
    Kind("method_unsupported", 501, "Method unsupported"),
    Kind("coding_unsupported", 501, "Transfer coding unsupported"),
    Kind("upstream_unreachable", 502, "Upstream unreachable"),
    Kind("upstream_broken", 502, "Upstream broken"),
    Kind("upstream_unavailable", 503, "Upstream unavailable", 1),
    Kind("overloaded", 503, "Overloaded", 1),
    Kind("too_many_connections", 503, "Too many connections", 1),
    Kind("shutting_down", 503, "Shutting down", 1),
    Kind("not_sent_in_time", 503, "Not sent in time", 1),
    Kind("upstream_timed_out", 504, "Upstream timed out"),
    Kind("http_version_unsupported", 505, "HTTP version unsupported"),
    # Errors of the ledger and of the control API.
    Kind("invalid_input", 400, "Invalid input"),
    Kind("idempotency_key_required", 400, "Idempotency-Key required"),
    Kind("idempotency_key_invalid", 400, "Idempotency-Key invalid"),
    Kind("insufficient_scope", 403, "Control key without the scope"),
    Kind("not_found", 404, "Not found"),
    Kind("method_not_allowed", 405, "Method not allowed"),
    Kind("conflict", 409, "Conflict"),
    Kind("reservation_not_active", 409, "The reservation has ended"),
    Kind("above_hold", 409, "It costs more than is held"),
    Kind("amount_overflow", 409, "Amount overflow"),
    Kind("version_conflict", 412, "Changed meanwhile"),
    Kind("no_active_metering_rule", 422, "No metering rule in force"),
    Kind("event_time_out_of_range", 422, "Event time out of range"),
    Kind("idempotency_mismatch", 422, "Idempotency-Key used for another request"),
    INTERNAL,
    Kind("store_corrupt", 500, "Store corrupt"),
    Kind("archive_unavailable", 503, "Archive unavailable", 1),
    Kind("store_timeout", 503, "Store timed out", 1),
    Kind("not_ready", 503, "Not ready", 1),
)

KINDS = MappingProxyType({kind.code: kind for kind in _ALL})
"""Code → kind, all of them."""

_encode = msgspec.json.Encoder().encode


def kind_of(code: str) -> Kind:
    """The row of `code`; `INTERNAL` for a code that is not meant for clients."""
    return KINDS.get(code, INTERNAL)


def problem(code: str, detail: str, instance: str, /, **extension: object) -> bytes:
    """One problem document as JSON; `instance` is the id of the request.

    `extension` members follow the standard ones and may replace `type`, as a foreign error shape can demand
    (the Anthropic one says ``"type": "error"``).
    """
    kind = kind_of(code)
    standard = {
        "type": _TYPE_PREFIX + kind.code,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": instance,
        "code": kind.code,
    }
    return _encode(standard | extension)
