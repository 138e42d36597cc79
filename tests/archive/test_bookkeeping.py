"""What a batch makes of accounts, blocks and keys, without a database."""

from msgspec.structs import replace

from sidecar.archive.bookkeeping import Books, key_of, totals_of, touched_blocks
from sidecar.domain.journal import Line, Record
from tests.archive.teller import Clock, Teller


def kept(*lines: Line | Record) -> Books:
    books = Books()
    for line in lines:
        books.take(line)
    return books


def test_an_account_follows_its_last_line() -> None:
    teller = Teller(Clock())
    books = kept(teller.grant(100), teller.commit((1, 30), owed=5), teller.grant(20))
    account = books.accounts["cus_a", "credits"]
    assert totals_of(account) == teller.totals
    assert (account.seq, account.entry_id, account.hash) == (3, books.entries[-1].entry_id, books.entries[-1].hash)
    assert books.anomalies == {}


def test_each_account_has_a_chain_of_its_own() -> None:
    clock = Clock()
    one, two = Teller(clock), Teller(clock, unit="tokens")
    books = kept(one.grant(1), two.grant(1), one.commit((1, 1)), two.commit((1, 1)))
    links = [(row.prev_hash, row.hash) for row in books.entries]
    assert links[0][0] == links[1][0] == bytes(32)
    assert (links[2][0], links[3][0]) == (links[0][1], links[1][1])


def test_a_batch_goes_on_where_the_last_one_ended() -> None:
    teller = Teller(Clock())
    first = kept(teller.grant(100))
    second = Books(list(first.accounts.values()), list(first.blocks.values()))
    second.take(teller.commit((1, 30)))
    assert second.entries[0].prev_hash == first.entries[0].hash
    assert second.blocks["cus_a", "credits", 1].remaining == 70
    assert second.anomalies == {}


def test_a_block_is_what_moves_and_lines_made_of_it() -> None:
    clock = Clock()
    teller = Teller(clock)
    lines = [teller.grant(100, ends_at_ms=clock.now_ms + 5, dedup_key="d"), teller.grant(50), teller.commit((1, 30))]
    lines += [teller.expire(1), teller.void(2)]
    books = kept(*lines)
    one, two = books.blocks["cus_a", "credits", 1], books.blocks["cus_a", "credits", 2]
    assert (one.granted, one.spent, one.expired, one.remaining, one.state) == (100, 30, 70, 0, "expired")
    assert (two.granted, two.voided, two.remaining, two.state) == (50, 50, 0, "voided")
    assert (one.dedup_key, two.dedup_key, one.block_id) == ("d", None, "blk_cus_a_credits_1")
    assert books.anomalies == {}


def test_a_block_that_has_more_left_than_its_moves_allow_is_noted() -> None:
    teller = Teller(Clock())
    grant, void = teller.grant(100), teller.void(1)
    assert void.block is not None
    books = kept(grant, replace(void, block=replace(void.block, held=5)))
    assert [what for _, what in books.anomalies] == ["block_unexplained"]


def test_a_charge_that_its_moves_do_not_make_is_noted() -> None:
    teller = Teller(Clock())
    books = kept(teller.grant(100), replace(teller.commit((1, 30), owed=5), charged=36))
    assert [row.detail for row in books.anomalies.values()] == ["charged should be 35 by the moves; it is 36."]


def test_records_are_kept_as_they_were_last() -> None:
    teller = Teller(Clock())
    books = kept(
        teller.record("customer", status="active"),
        teller.record("key", key_id="key_1", credential="key:x"),
        teller.record("key", key_id="key_2", credential="key:y"),
        teller.record("pool_cap", unit="credits", cap="50"),
        teller.record("customer", status="suspended"),
        teller.record("key_revoked", key_id="key_1"),
    )
    assert books.customers["cus_a"].data == '{"status":"suspended"}'
    assert [(key.key_id, key.revoked) for key in books.keys.values()] == [("key_1", 1), ("key_2", 0)]
    assert books.keys["key_1"].data == '{"key_id":"key_1","credential":"key:x"}'
    assert books.pool_caps["cus_a", "credits"].cap == 50
    assert (books.entries, books.anomalies) == ([], {})


def test_a_revoked_key_that_never_was_is_noted() -> None:
    books = kept(Teller(Clock()).record("key_revoked", key_id="key_9"))
    assert [what for _, what in books.anomalies] == ["key_unknown"]
    assert books.keys["key_9"].revoked == 1


def test_what_a_line_touches() -> None:
    teller = Teller(Clock())
    grant = teller.grant(100)
    assert touched_blocks(grant) == [1]
    assert touched_blocks(teller.commit((1, 2), owed=3)) == [1]
    assert key_of(teller.record("key", key_id="k")) == "k"
    assert key_of(teller.record("customer")) == ""
