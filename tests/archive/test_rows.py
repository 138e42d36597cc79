"""The rows of a line: what is kept, how legs follow from moves, and what the hash covers."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.archive.rows import FIRST_HASH, entry_row, moves_of, posting_rows, row_hash
from sidecar.archive.schema import EntryRow
from sidecar.domain.blocks import Grant
from sidecar.domain.journal import Kind, Line, Move, Moved
from tests.archive.teller import Clock, Teller


def commit(**more: Any) -> Line:
    teller = Teller(Clock())
    teller.grant(100)
    return teller.commit((1, 30), **more)


def test_an_entry_keeps_all_that_its_line_says() -> None:
    line = commit(owed=5, uncollected=2, asker="cus_m", usage="input_tokens=12 seconds=0.50 model=gpt-x note=long")
    row = entry_row(line, FIRST_HASH)
    assert (row.entry_id, row.partition, row.seq) == ("ent_018bcfe5680000000103", 3, 2)
    assert (row.charged, row.owed, row.uncollected, row.held) == (35, 5, 2, 35)
    assert (row.delta, row.owed_delta) == (-30, 5)
    assert (row.asker_id, row.customer_id) == ("cus_m", "cus_a")
    assert row.usage == "input_tokens=12 seconds=0.50 model=gpt-x note=long"
    assert (row.model, row.meters) == ("gpt-x", '{"input_tokens":12,"seconds":0.50}')
    assert moves_of(row) == line.moves
    assert row.event_at_ms == row.recorded_at_ms == line.position.ms


def test_an_expiry_happened_when_its_block_ended() -> None:
    clock = Clock()
    teller = Teller(clock)
    teller.grant(100, ends_at_ms=clock.now_ms + 10)
    clock.tick(60_000)
    row = entry_row(teller.expire(1), FIRST_HASH)
    assert (row.type, row.recorded_at_ms - row.event_at_ms) == ("expiry", 59_990)


def test_a_grant_keeps_its_terms() -> None:
    row = entry_row(Teller(Clock()).grant(100, reason="welcome", dedup_key="k"), FIRST_HASH)
    terms = msgspec.json.decode(row.terms, type=Grant)
    assert (terms.reason, terms.dedup_key, terms.amount) == ("welcome", "k", 100)


@pytest.mark.parametrize(
    ("move", "legs"),
    [
        (Move(Moved.GRANTED, 7, 5), [("issued", 0, -5), ("balance", 7, 5)]),
        (Move(Moved.SPENT, 7, 5), [("balance", 7, -5), ("consumed", 0, 5)]),
        (Move(Moved.EXPIRED, 7, 5), [("balance", 7, -5), ("expired", 0, 5)]),
        (Move(Moved.VOIDED, 7, 5), [("balance", 7, -5), ("voided", 0, 5)]),
        (Move(Moved.OWED, 0, 5), [("owed", 0, -5), ("consumed", 0, 5)]),
        (Move(Moved.REPAID, 7, 5), [("balance", 7, -5), ("owed", 0, 5)]),
    ],
)
def test_each_move_has_two_legs(move: Move, legs: list[tuple[str, int, int]]) -> None:
    rows = posting_rows(entry_row(commit(), FIRST_HASH), [move])
    assert [(row.account, row.block, row.amount) for row in rows] == legs
    assert [row.leg for row in rows] == [0, 1]


@given(
    st.lists(
        st.builds(Move, st.sampled_from(Moved), st.integers(0, 2**32 - 1), st.integers(0, 2**53 - 1)), max_size=20
    )
)
def test_legs_sum_to_zero_and_to_the_change_of_the_account(moves: list[Move]) -> None:
    row = entry_row(replace(commit(), moves=tuple(moves)), FIRST_HASH)
    legs = posting_rows(row, moves)
    assert sum(leg.amount for leg in legs) == 0
    assert sum(leg.amount for leg in legs if leg.account == "balance") == row.delta
    assert sum(leg.amount for leg in legs if leg.account == "owed") == -row.owed_delta
    assert moves_of(row) == tuple(moves)


@pytest.mark.parametrize("name", [name for name in EntryRow.__struct_fields__ if name != "hash"])
def test_the_hash_covers_every_column(name: str) -> None:
    row = entry_row(commit(), FIRST_HASH)
    value = getattr(row, name)
    other = value + 1 if isinstance(value, int) else value + value[:1] if isinstance(value, bytes) else value + "x"
    assert row_hash(replace(row, **{name: other})) != row.hash == row_hash(row)


def test_nothing_moves_from_one_column_to_the_next_unseen() -> None:
    one = entry_row(commit(feature="ab", rule="c"), FIRST_HASH)
    other = entry_row(commit(feature="a", rule="bc"), FIRST_HASH)
    assert one.hash != other.hash


@pytest.mark.parametrize(
    ("usage", "meters"),
    [
        ("", "{}"),
        ("a=007", '{"a":7}'),
        ("a=-1 b=1e5 c= =3 d=1.5.2", '{"":3}'),
        ("a=0.5 a=2", '{"a":2}'),
        ("a=00.25", '{"a":0.25}'),
    ],
)
def test_only_plain_numbers_are_meters(usage: str, meters: str) -> None:
    assert entry_row(commit(usage=usage), FIRST_HASH).meters == meters


@pytest.mark.parametrize(
    ("usage", "model"),
    [
        ('input_tokens=1 request.model="gpt-4o\\u0020mini"', "gpt-4o mini"),
        ('path.model="fast" request.size="big"', "fast"),
        ('request.model="a" path.model="b"', "a"),
        ("model=small", "small"),
        ("request.model=-", ""),
        ('request.model="aaa"~', "aaa…"),
        ('request.model="\\u0000"', "\ufffd"),
        ('request.model="', ""),
    ],
)
def test_the_model_that_a_price_was_chosen_by_is_the_entrys(usage: str, model: str) -> None:
    assert entry_row(commit(usage=usage), FIRST_HASH).model == model


def test_a_release_has_no_legs() -> None:
    row = entry_row(replace(commit(), kind=Kind.RELEASE, moves=(), reason="client_gone"), FIRST_HASH)
    assert (row.delta, row.reason, posting_rows(row, ())) == (0, "client_gone", [])
