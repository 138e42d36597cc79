import pytest

from sidecar.domain.errors import Denied, NotFound
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.problems import KINDS
from sidecar.domain.spend_caps import Capped, CapScope, Window
from sidecar.services.denying import denied


def test_who_is_not_there_is_not_found() -> None:
    assert isinstance(denied(Refused(RefusalCode.UNIDENTIFIED), "cus_1"), NotFound)


@pytest.mark.parametrize(
    "code", [RefusalCode.CUSTOMER_SUSPENDED, RefusalCode.INSUFFICIENT_CREDITS, RefusalCode.POOL_CAP_REACHED]
)
def test_a_refusal_has_the_code_that_the_proxy_answers(code: RefusalCode) -> None:
    error = denied(Refused(code, 7, 3, 2, "credits"), "cus_1")
    assert isinstance(error, Denied)
    assert error.code in KINDS
    assert error.detail.endswith(".")


def test_it_says_what_was_missing() -> None:
    error = denied(Refused(RefusalCode.INSUFFICIENT_CREDITS, 7, 3, 2, "credits"), "cus_1")
    assert isinstance(error, Denied)
    assert error.members == {"unit": "credits", "required": 7, "available": 3, "held": 2}


def test_what_is_held_comes_back_and_credit_does_not() -> None:
    for code, after_s in ((RefusalCode.HOLDS_IN_FLIGHT, 1), (RefusalCode.INSUFFICIENT_CREDITS, None)):
        error = denied(Refused(code, 7, 3, 5, "credits"), "cus_1")
        assert isinstance(error, Denied)
        assert error.retry_after_s == after_s


@pytest.mark.parametrize(("wait_ms", "after_s"), [(None, None), (0, 1), (1_001, 2)])
def test_a_spend_cap_says_when_there_is_room(wait_ms: int | None, after_s: int | None) -> None:
    cap = Capped(
        cap_id="cap_1",
        scope=CapScope.TOTAL,
        window=Window.DAY,
        amount=10,
        spent=8,
        held=1,
        reset_at_ms=1_800_000_000_000,
        wait_ms=wait_ms,
    )
    error = denied(Refused(RefusalCode.SPEND_CAP_REACHED, 7, 1, 1, "credits", capped=cap), "cus_1")
    assert isinstance(error, Denied)
    assert error.retry_after_s == after_s
    wanted = {"cap_id": "cap_1", "unit": "credits", "required": 7, "available": 1, "spent": 8, "held": 1}
    assert wanted.items() <= dict(error.members).items()
