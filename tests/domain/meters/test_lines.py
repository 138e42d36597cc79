from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.meters.events import EVENT_MAX_BYTES, EventTooLarge
from sidecar.domain.meters.lines import LineBuffer

STREAM = b'{"n": 1}\n\n{"n": "\xc3\xa9"}\r\n{"n": 3}'


@given(at=st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_any_split_gives_the_same_lines(at: list[int]) -> None:
    buffer = LineBuffer()
    bounds = [0, *sorted(at), len(STREAM)]
    lines = [line for start, end in pairwise(bounds) for line in buffer.add(STREAM[start:end])]
    assert [*lines, buffer.rest()] == STREAM.splitlines(keepends=True)
    assert buffer.rest() == b""


def test_a_line_without_end_is_not_kept() -> None:
    buffer = LineBuffer()
    with pytest.raises(EventTooLarge):
        list(buffer.add(b"x" * (EVENT_MAX_BYTES + 1)))
