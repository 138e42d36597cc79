"""The table is complete, and a document says what the table says."""

import importlib
import json
import pkgutil
from collections.abc import Iterator

import pytest

import sidecar
from sidecar.domain.errors import SidecarError, StartupError
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.problems import INTERNAL, KINDS, kind_of, problem

NEVER_ON_HTTP = {StartupError.code, "config", "command_failed"}
"""They end the process before it serves, or a command of its client."""

ENGINE = {
    "bad_request": 400,
    "uri_too_long": 414,
    "headers_too_large": 431,
    "body_too_large": 413,
    "expectation_failed": 417,
    "upgrade_unsupported": 501,
    "method_unsupported": 501,
    "coding_unsupported": 501,
    "upstream_unreachable": 502,
    "upstream_broken": 502,
    "not_sent_in_time": 503,
    "upstream_timed_out": 504,
    "request_timed_out": 408,
    "too_many_connections": 503,
    "shutting_down": 503,
    "http_version_unsupported": 505,
}

REFUSALS = {
    RefusalCode.UNIDENTIFIED: 401,
    RefusalCode.KEY_EXPIRED: 401,
    RefusalCode.CUSTOMER_SUSPENDED: 403,
    RefusalCode.FEATURE_NOT_ALLOWED: 403,
    RefusalCode.INSUFFICIENT_CREDITS: 402,
    RefusalCode.POOL_CAP_REACHED: 402,
    RefusalCode.RATE_LIMITED: 429,
    RefusalCode.SPEND_CAP_REACHED: 429,
    RefusalCode.CONCURRENCY_LIMITED: 429,
    RefusalCode.HOLDS_IN_FLIGHT: 429,
    RefusalCode.UNMATCHED_ROUTE: 403,
    RefusalCode.UNPRICED: 403,
    RefusalCode.UNREADABLE_REQUEST: 400,
    RefusalCode.STORE_UNAVAILABLE: 503,
    RefusalCode.REQUEST_IN_PROGRESS: 409,
    RefusalCode.IDEMPOTENCY_MISMATCH: 422,
    RefusalCode.IDEMPOTENCY_KEY_REQUIRED: 400,
    RefusalCode.IDEMPOTENCY_KEY_INVALID: 400,
}


def subclasses(of: type[SidecarError]) -> Iterator[type[SidecarError]]:
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_error_class_has_a_row() -> None:
    for module in pkgutil.walk_packages(sidecar.__path__, "sidecar."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    codes = {each.code for each in subclasses(SidecarError)} - NEVER_ON_HTTP
    assert codes - KINDS.keys() == set()


@pytest.mark.parametrize("code", RefusalCode)
def test_every_refusal_has_a_row_and_its_status(code: RefusalCode) -> None:
    assert KINDS[code].status == REFUSALS[code]


@pytest.mark.parametrize(("code", "status"), ENGINE.items())
def test_every_engine_error_has_its_status(code: str, status: int) -> None:
    assert KINDS[code].status == status


def test_an_empty_purse_is_never_too_many_requests() -> None:
    assert KINDS["insufficient_credits"].retry_after_s is None
    assert KINDS["insufficient_credits"].status == 402


def test_codes_and_titles_are_unique() -> None:
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)
    assert all(kind.code == code for code, kind in KINDS.items())


def test_a_document_has_all_members_and_its_extension() -> None:
    document = json.loads(problem("insufficient_credits", "Needs 5, has 3.", "req_1", required=5, available=3))
    assert document == {
        "type": "urn:problem-type:sidecar:insufficient_credits",
        "title": "Insufficient credits",
        "status": 402,
        "detail": "Needs 5, has 3.",
        "instance": "req_1",
        "code": "insufficient_credits",
        "required": 5,
        "available": 3,
    }


def test_a_code_that_is_not_for_clients_is_internal() -> None:
    assert kind_of("startup") is INTERNAL
    assert json.loads(problem("startup", "x", "req_1"))["code"] == "internal"


def test_an_extension_may_replace_the_type() -> None:
    assert json.loads(problem("unpriced", "x", "req_1", type="error"))["type"] == "error"
