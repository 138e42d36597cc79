"""When an alarm goes off, and when it can again."""

import pytest

from sidecar.domain.alarms import THRESHOLDS_MAX, Alarm, alarm, checked_thresholds
from sidecar.domain.errors import InvalidInput


def test_it_goes_off_once_on_the_way_down() -> None:
    assert alarm(101, 100, (100,), ()) == Alarm((100,), (100,))
    assert alarm(100, 50, (100,), (100,)) == Alarm((), (100,))
    assert alarm(100, 50, (100,), ()) == Alarm((), ())


def test_one_fall_may_pass_several() -> None:
    assert alarm(1_000, 10, (500, 100, 5), ()) == Alarm((500, 100), (100, 500))


def test_it_can_again_once_it_has_been_risen_above_clearly() -> None:
    assert alarm(100, 105, (100,), (100,)) == Alarm((), (100,))
    assert alarm(105, 90, (100,), (100,)) == Alarm((), (100,))
    assert alarm(90, 106, (100,), (100,)) == Alarm((), ())
    assert alarm(106, 100, (100,), ()) == Alarm((100,), (100,))


def test_what_was_never_above_does_not_go_off() -> None:
    assert alarm(0, 80, (100,), ()) == Alarm((), ())
    assert alarm(80, 70, (100,), ()) == Alarm((), ())


def test_a_threshold_that_is_gone_is_forgotten() -> None:
    assert alarm(90, 80, (70,), (100,)) == Alarm((), ())


def test_thresholds_are_put_in_order() -> None:
    assert checked_thresholds([5, 100, 20]) == (100, 20, 5)
    assert checked_thresholds([]) == ()


@pytest.mark.parametrize("amounts", [[0], [5, 5], [-1], list(range(1, THRESHOLDS_MAX + 2))])
def test_what_is_no_list_of_thresholds(amounts: list[int]) -> None:
    with pytest.raises(InvalidInput):
        checked_thresholds(amounts)
