"""Identifiers and partitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.ids import PARTITIONS, is_customer_id, new_id, partition_of


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=16))
def test_ids_sort_by_time(now_ms: int, entropy: bytes) -> None:
    assert new_id("cus", now_ms, b"\xff" * 10) < new_id("cus", now_ms + 1, entropy)
    assert is_customer_id(new_id("cus", now_ms, entropy))


def test_ids_of_one_moment_differ_by_their_entropy() -> None:
    assert new_id("cus", 1, b"0123456789") != new_id("cus", 1, b"0123456780")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cus_",
        "key_01hf7yat00xcjc7tkk1wq2ersr",
        "cus_81hf7yat00xcjc7tkk1wq2ersr",
        "cus_01hf7yat00xcjc7tkk1wq2ersr\n",
        "cus_01HF7YAT00XCJC7TKK1WQ2ERSR",
        "cus_01hf7yat00xcjc7tkk1wq2ersi",
        "cus_01hf7yat00xcjc7tkk1wq2ers",
    ],
)
def test_what_is_no_customer_id(text: str) -> None:
    assert not is_customer_id(text)


@pytest.mark.parametrize(("name", "partition"), [("alice", 11), ("bob", 43), ("é", 42)])
def test_partitions_never_move(name: str, partition: int) -> None:
    """Changing the function would lose every customer."""
    assert partition_of("default", "live", name) == partition


def test_partitions_are_all_used() -> None:
    assert {partition_of("default", "live", str(number)) for number in range(2000)} == set(range(PARTITIONS))
