import pytest

from sidecar.domain.errors import Denied, NotFound
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.problems import KINDS
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
