from sidecar.domain.book_members import BookMembers, Pool
from sidecar.domain.outcomes import RefusalCode, Refused


def test_who_may_draw() -> None:
    members = BookMembers("alice")
    members.join("ben")
    assert members.barred("alice", "credits", 5) is members.barred("ben", "credits", 5) is None
    assert members.barred("eve", "credits", 5) == Refused(RefusalCode.UNIDENTIFIED, 5, unit="credits")
    members.suspend("alice")
    assert members.barred("ben", "credits", 5) == Refused(RefusalCode.CUSTOMER_SUSPENDED, 5, unit="credits")
    members.resume("alice")
    assert members.barred("ben", "credits", 5) is None


def test_a_cap_counts_what_is_held_and_spent_in_its_unit() -> None:
    members = BookMembers("alice")
    members.join("ben")
    members.set_cap("ben", "credits", 10)
    members.count("ben", "credits", held=4, spent=3)
    members.count("alice", "credits", held=100)
    assert members.pool("ben", "credits") == Pool(cap=10, held=4, spent=3)
    assert members.above_cap("ben", "credits", 3) is None
    assert members.above_cap("ben", "credits", 4) == Refused(RefusalCode.POOL_CAP_REACHED, 4, 3, 4, "credits")
    assert members.above_cap("ben", "tokens", 4) is None
    assert members.above_cap("alice", "credits", 1000) is None
    assert members.pools() == {("ben", "credits"): Pool(cap=10, held=4, spent=3)}


def test_joining_again_changes_nothing() -> None:
    members = BookMembers("alice")
    members.join("ben")
    members.set_cap("ben", "credits", 10)
    members.join("ben")
    assert members.pool("ben", "credits").cap == 10
    members.set_cap("ben", "credits", None)
    assert members.above_cap("ben", "credits", 1000) is None
