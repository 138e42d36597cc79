"""How much may be spent without the store, by whom and for how long, as far as one process believes it."""

import pytest

from sidecar.domain.store_down import OnStoreDown, StoreDown
from sidecar.services import allowances as module
from sidecar.services.allowances import Allowance, Allowances
from sidecar.services.seen import CREDENTIALS_MAX, TRUSTED_S
from tests.services.bridge import Clock

UNIT = "credits"
POLICY = StoreDown(way=OnStoreDown.ALLOW, for_s=60)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def allowances(clock: Clock) -> Allowances:
    allowances = Allowances(clock)
    allowances.heard("alice", "a-key", UNIT, 100)
    return allowances


def took(allowances: Allowances, amount: int, policy: StoreDown = POLICY, who: str = "alice") -> Allowance:
    allowance = allowances.take(who, "a-key", UNIT, amount, policy)
    assert allowance is not None
    return allowance


def test_two_keys_of_a_customer_have_one_allowance(allowances: Allowances) -> None:
    allowances.heard("alice", "another", UNIT, 100)
    took(allowances, 60)
    assert allowances.take("alice", "another", UNIT, 41, POLICY) is None
    assert allowances.take("alice", "another", UNIT, 40, POLICY) is not None
    assert allowances.taken == {UNIT: 100}


def test_units_are_apart(allowances: Allowances) -> None:
    allowances.heard("alice", "a-key", "tokens", 7)
    took(allowances, 100)
    assert allowances.take("alice", "a-key", "tokens", 7, POLICY) is not None
    assert allowances.taken == {UNIT: 100, "tokens": 7}


def test_all_customers_together_have_a_bound(allowances: Allowances) -> None:
    policy = StoreDown(way=OnStoreDown.ALLOW, for_s=60, most=80, total=120)
    allowances.heard("bob", "a-key", UNIT, 100)
    spent = took(allowances, 80, policy)
    assert allowances.take("bob", "a-key", UNIT, 41, policy) is None
    took(allowances, 40, policy, "bob")
    spent.spend(80, 30)
    took(allowances, 40, policy, "bob")
    spent.delivered(30)
    assert allowances.taken == {UNIT: 80}


def test_what_was_charged_is_not_there_in_the_next_outage(allowances: Allowances) -> None:
    """Though nobody has asked the store about this customer between the two."""
    took(allowances, 70).delivered(70)
    assert allowances.take("alice", "a-key", UNIT, 31, POLICY) is None
    took(allowances, 30)


def test_each_outage_has_its_time(allowances: Allowances, clock: Clock) -> None:
    allowance = took(allowances, 10)
    clock.now += 61
    assert allowances.take("alice", "a-key", UNIT, 1, POLICY) is None
    allowance.delivered(10)
    took(allowances, 1)


def test_what_runs_when_the_store_is_back_prolongs_nothing(allowances: Allowances, clock: Clock) -> None:
    took(allowances, 10)
    clock.now += 61
    allowances.heard("alice", "a-key", UNIT, 100)
    assert allowances.take("alice", "a-key", UNIT, 1, POLICY) is None


def test_a_key_is_believed_for_a_time(allowances: Allowances, clock: Clock) -> None:
    clock.now += TRUSTED_S / 2
    allowances.heard("alice", "another", UNIT, 100)
    clock.now += TRUSTED_S / 2 + 1
    assert allowances.take("alice", "a-key", UNIT, 1, POLICY) is None
    assert allowances.take("alice", "another", UNIT, 1, POLICY) is not None


def test_a_rule_may_allow_longer_than_keys_are_believed(allowances: Allowances, clock: Clock) -> None:
    policy = StoreDown(way=OnStoreDown.ALLOW, for_s=2 * int(TRUSTED_S))
    took(allowances, 1, policy)
    clock.now += 2 * TRUSTED_S
    took(allowances, 1, policy)
    clock.now += 1
    assert allowances.take("alice", "a-key", UNIT, 1, policy) is None


def test_a_key_that_is_taken_away_takes_no_other_with_it(allowances: Allowances) -> None:
    allowances.heard("alice", "another", UNIT, 100)
    allowances.revoked("alice", "another")
    assert allowances.take("alice", "another", UNIT, 1, POLICY) is None
    took(allowances, 1)


def test_who_is_suspended_is_so_by_every_key_and_has_spent_what_it_spent(allowances: Allowances) -> None:
    allowances.heard("alice", "another", UNIT, 100)
    took(allowances, 60)
    allowances.suspended("alice")
    for credential in ("a-key", "another"):
        assert allowances.take("alice", credential, UNIT, 1, POLICY) is None
    allowances.heard("alice", "a-key", UNIT, 100)
    assert allowances.take("alice", "a-key", UNIT, 41, POLICY) is None


def test_strangers_do_not_come_to_be_known_by_being_short(allowances: Allowances) -> None:
    allowances.short("bob", "a-key", UNIT, 5)
    assert allowances.take("bob", "a-key", UNIT, 1, POLICY) is None
    allowances.short("alice", "unseen", UNIT, 5)
    assert allowances.take("alice", "unseen", UNIT, 1, POLICY) is None
    took(allowances, 100)
    allowances.short("alice", "a-key", UNIT, 5)
    assert allowances.take("alice", "a-key", UNIT, 1, POLICY) is None


def test_who_was_not_heard_of_longest_is_forgotten_but_not_what_it_spent(
    allowances: Allowances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KNOWN_MAX", 2)
    took(allowances, 60)
    for name in ("bob", "carol", "dave"):
        allowances.heard(name, "a-key", UNIT, 100)
    assert allowances.take("bob", "a-key", UNIT, 1, POLICY) is None
    assert allowances.take("alice", "a-key", UNIT, 41, POLICY) is None
    took(allowances, 100, who="dave")
    assert allowances.taken == {UNIT: 160}


def test_a_customer_has_so_many_keys(allowances: Allowances) -> None:
    for number in range(CREDENTIALS_MAX):
        allowances.heard("alice", f"key-{number}", UNIT, 100)
    assert allowances.take("alice", "a-key", UNIT, 1, POLICY) is None
    assert allowances.take("alice", "key-0", UNIT, 1, POLICY) is not None
