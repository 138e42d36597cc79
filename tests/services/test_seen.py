"""Which credentials are believed without the store."""

from sidecar.services.seen import CREDENTIALS_MAX, TRUSTED_S, Seen


def test_what_was_good_lately_is_believed() -> None:
    seen = Seen()
    seen.good("a", 100)
    assert seen.trusts("a", 100 + TRUSTED_S)
    assert not seen.trusts("a", 101 + TRUSTED_S)
    assert not seen.trusts("b", 100)


def test_what_was_refused_since_is_not() -> None:
    seen = Seen()
    seen.good("a", 100)
    seen.good("b", 100)
    seen.bad("a")
    seen.bad("unheard")
    assert ("a" in seen, "b" in seen, bool(seen)) == (False, True, True)
    seen.clear()
    assert not seen


def test_the_one_not_used_longest_is_forgotten() -> None:
    seen = Seen()
    for number in range(CREDENTIALS_MAX):
        seen.good(str(number), number)
    seen.good("0", 1000)
    seen.good("new", 1000)
    assert ("0" in seen, "1" in seen, "2" in seen) == (True, False, True)
