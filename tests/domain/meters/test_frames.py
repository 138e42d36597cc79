import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.meters.events import EVENT_MAX_BYTES, EventTooLarge
from sidecar.domain.meters.frames import FrameBroken, FrameBuffer, headers_of, payload_of
from tests.domain.meters.golden_bedrock import frame, text_header

OTHERS = (
    b"\x04true\x00" + b"\x01b\x02\x07" + b"\x01s\x03\x00\x07" + b"\x01i\x04\x00\x00\x00\x07"
    b"\x01l\x05" + bytes(8) + b"\x03raw\x06\x00\x02ab" + b"\x01t\x08" + bytes(8) + b"\x01u\x09" + bytes(16)
)
"""A header of each type that is not text."""
FRAMES = [frame(b"one", b":event-type", b"chunk"), frame(b""), frame(b"three", b":event-type", b"x", more=OTHERS)]


@given(at=st.lists(st.integers(0, sum(map(len, FRAMES))), max_size=6))
def test_any_split_gives_the_same_messages(at: list[int]) -> None:
    buffer, stream = FrameBuffer(), b"".join(FRAMES)
    bounds = [0, *sorted(at), len(stream)]
    assert [each for start, end in pairwise(bounds) for each in buffer.add(stream[start:end])] == FRAMES


def test_what_a_message_holds() -> None:
    assert [payload_of(each) for each in FRAMES] == [b"one", b"", b"three"]
    assert [headers_of(each) for each in FRAMES] == [{b":event-type": b"chunk"}, {}, {b":event-type": b"x"}]


def test_a_part_of_a_message_says_nothing() -> None:
    buffer = FrameBuffer()
    assert list(buffer.add(FRAMES[0][:-1])) == []
    assert buffer.rest() == b""
    assert list(buffer.add(FRAMES[1])) == [FRAMES[1]]


@pytest.mark.parametrize("at", range(len(FRAMES[0])))
def test_a_byte_that_is_not_as_it_was_sent_is_noticed(at: int) -> None:
    message = bytearray(FRAMES[0])
    message[at] ^= 1
    with pytest.raises(FrameBroken):
        list(FrameBuffer().add(bytes(message)))


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


def test_lengths_that_cannot_be_are_refused() -> None:
    for total, headers in ((15, 0), (20, 5), (0, 0)):
        with pytest.raises(FrameBroken):
            list(FrameBuffer().add(prelude(total, headers)))
    with pytest.raises(EventTooLarge):
        list(FrameBuffer().add(prelude(EVENT_MAX_BYTES + 1, 0)))


@pytest.mark.parametrize(
    "malformed",
    [b"\xff", b"\x03abc", b"\x01a\x07\xff\xff", b"\x01a\x0a", b"\x01a\x05\x00", b"\x01a\x07", b"\x01a\x07\x00"],
)
def test_headers_behind_a_malformed_one_are_left_out(malformed: bytes) -> None:
    message = frame(b"x", more=text_header(b"a", b"1") + malformed)
    assert headers_of(message) == {b"a": b"1"}
    assert payload_of(message) == b"x"


@given(st.binary(max_size=40))
def test_what_is_no_message_says_nothing_wrong(data: bytes) -> None:
    assert all(name in data and value in data for name, value in headers_of(data).items())
    assert payload_of(data) in data
