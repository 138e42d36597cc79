from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.overage import BLOCKED, Overage, OveragePolicy, overage_of


def test_a_policy_says_how_much_may_be_owed() -> None:
    assert Overage(OveragePolicy.BLOCK).most == 0
    assert Overage(OveragePolicy.ALLOW, 5).most == 5
    assert Overage(OveragePolicy.NOTIFY).most == MAX_AMOUNT


def test_who_has_none_is_blocked() -> None:
    allowed = Overage(OveragePolicy.ALLOW)
    assert overage_of({"credits": allowed}, "credits") == allowed
    assert overage_of({"credits": allowed}, "tokens") == BLOCKED
