from sidecar.domain.book_overage import BookOverage


def test_what_is_owed_and_what_is_held_count_together() -> None:
    overage = BookOverage()
    assert not overage.fits("credits", 0, 0)
    overage.allow("credits", 100)
    overage.held["credits"] += 30
    assert overage.fits("credits", 20, 50)
    assert not overage.fits("credits", 20, 51)
    assert (overage.left("credits", 20), overage.left("credits", 200), overage.left("tokens", 0)) == (50, 0, 0)
