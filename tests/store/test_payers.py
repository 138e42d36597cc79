"""Who pays for a customer, as a process learns it."""

from sidecar.store.payers import CACHED_MEMBERS, Payers


def test_one_pays_for_itself_until_something_else_is_learnt() -> None:
    payers = Payers()
    assert payers.of("bob") == "bob"
    assert payers.learn("bob", b"alice") == "alice"
    assert payers.of("bob") == "alice"
    assert payers.learn("bob", b"") == "bob"
    assert payers.of("bob") == "bob"


def test_it_forgets_rather_than_grow() -> None:
    payers = Payers()
    for number in range(CACHED_MEMBERS + 1):
        payers.learn(f"member{number}", b"alice")
    assert payers.of("member0") == "member0"
    assert payers.of(f"member{CACHED_MEMBERS}") == "alice"
