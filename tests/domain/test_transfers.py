"""How what is on its way becomes grants."""

from sidecar.domain.blocks import BlockState, Grant, checked_grant
from sidecar.domain.transfers import Piece, Transfer, Way, arrivals

WAY = Way(transfer_id="trf_1", from_id="cus_a", to_id="cus_b", unit="credits", reason="a gift")


def test_a_block_keeps_its_terms_but_not_what_counted_it_for_its_first_owner() -> None:
    terms = Grant(
        block_id="blk_old",
        unit="credits",
        amount=100,
        source="promotional",
        reason="welcome",
        priority=3,
        duration_ms=1000,
        price_paid=50,
        currency="EUR",
        eligible_features=("chat",),
        series="weekly",
        cap=100,
        metadata={"a": "b"},
        dedup_key="once",
        external_payment_id="pay",
        bonus=7,
    )
    piece = Piece(number=4, amount=30, granted=100, starts_at_ms=1, ends_at_ms=77, terms=terms)
    (grant,) = arrivals(Transfer(way=WAY, pieces=(piece,)))
    assert checked_grant(grant) == Grant(
        block_id="blk_1_1",
        unit="credits",
        amount=30,
        source="promotional",
        reason="a gift",
        priority=3,
        expires_at_ms=77,
        price_paid=15,
        currency="EUR",
        eligible_features=("chat",),
        metadata={"a": "b"},
        transfer="trf_1:1",
    )


def test_blocks_that_have_not_started_start_when_they_would_have_and_after_whom() -> None:
    def terms(block_id: str) -> Grant:
        return Grant(block_id=block_id, unit="credits", amount=9, source="test")

    queued = Piece(number=3, after=2, state=BlockState.QUEUED, amount=9, granted=9, ends_at_ms=50, terms=terms("q"))
    later = Piece(number=2, state=BlockState.SCHEDULED, amount=8, granted=8, starts_at_ms=70, terms=terms("s"))
    owed = Piece(number=0, amount=5, granted=5)
    grants = arrivals(Transfer(way=WAY, pieces=(queued, later, owed)))
    assert [(grant.block_id, grant.amount) for grant in grants] == [("blk_1_3", 5), ("blk_1_2", 8), ("blk_1_1", 9)]
    assert [grant.starts_at_ms for grant in grants] == [None, 70, None]
    assert (grants[2].starts_after_block_id, grants[2].duration_ms) == ("blk_1_2", 50)
    assert grants[0].source == "transfer"
