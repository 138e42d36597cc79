"""Messages as a well-kept implementation writes them, cut at any byte; and bytes that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from sidecar.domain.meters.events import EVENT_MAX_BYTES
from sidecar.domain.meters.websocket import FrameEnds, MessageBroken, MessageBuffer, close_frame


def frame(opcode: Opcode, data: bytes, *, fin: bool = True, mask: bool = False) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=mask)


def texts(buffer: MessageBuffer, *pieces: bytes) -> list[bytes]:
    return [message for piece in pieces for message in buffer.add(piece)]


DATA = st.binary(max_size=300) | st.integers(65_530, 65_540).map(bytes)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[tuple[bool, bytes]]]:
    """Frames of one direction, control frames between, and the messages in them: whether text, and the data."""
    wire, messages, mask = b"", list[tuple[bool, bytes]](), draw(st.booleans())
    for _ in range(draw(st.integers(0, 5))):
        text, data = draw(st.booleans()), draw(DATA)
        messages.append((text, data))
        cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
        parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        for number, part in enumerate(parts):
            if draw(st.booleans()):
                wire += frame(
                    draw(st.sampled_from([Opcode.PING, Opcode.PONG])), draw(st.binary(max_size=9)), mask=mask
                )
            opcode = (Opcode.TEXT if text else Opcode.BINARY) if number == 0 else Opcode.CONT
            wire += frame(opcode, part, fin=number == len(parts) - 1, mask=mask)
    return wire, messages


@given(conversations(), st.data())
def test_all_messages_are_counted_and_text_is_handed_out(
    conversation: tuple[bytes, list[tuple[bool, bytes]]], data: st.DataObject
) -> None:
    wire, messages = conversation
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    buffer = MessageBuffer()
    assert texts(buffer, *pieces) == [content for text, content in messages if text]
    assert buffer.messages == len(messages)


def test_every_byte_by_itself() -> None:
    wire = frame(Opcode.TEXT, b"one", mask=True) + frame(Opcode.TEXT, b"") + frame(Opcode.TEXT, b"x" * 200, mask=True)
    buffer = MessageBuffer()
    assert texts(buffer, *(wire[at : at + 1] for at in range(len(wire)))) == [b"one", b"", b"x" * 200]


def test_a_message_that_is_too_large_is_counted_only() -> None:
    buffer = MessageBuffer()
    wire = frame(Opcode.TEXT, b"x" * (EVENT_MAX_BYTES + 1)) + frame(Opcode.TEXT, b"next")
    assert texts(buffer, wire) == [b"next"]
    assert buffer.messages == 2


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"\xc1\x01a", id="compressed"),
        pytest.param(b"\x83\x01a", id="an unknown kind of data"),
        pytest.param(frame(Opcode.CONT, b"a"), id="the end of nothing"),
        pytest.param(frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.TEXT, b"b"), id="two at once"),
        pytest.param(b"\x89\x7e\x00\x80" + b"x" * 128, id="a ping that is too long"),
        pytest.param(b"\x09\x01a", id="a ping in parts"),
        pytest.param(b"\x82\x7f" + b"\xff" * 8, id="a length that is negative"),
    ],
)
def test_what_is_no_frame_ends_the_reading(wire: bytes) -> None:
    with pytest.raises(MessageBroken):
        texts(MessageBuffer(), wire)


@given(st.binary(max_size=100))
def test_whatever_comes_nothing_else_is_raised(wire: bytes) -> None:
    try:
        texts(MessageBuffer(), wire)
    except MessageBroken:
        return


@given(st.lists(DATA, max_size=4), st.booleans(), st.data())
def test_frames_end_where_they_end_however_they_come(payloads: list[bytes], mask: bool, draws: st.DataObject) -> None:
    frames = [frame(Opcode.BINARY, payload, mask=mask) for payload in payloads]
    wire = b"".join(frames)
    cuts = sorted(draws.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    ends, found, whole = FrameEnds(), [b""], list[bytes]()
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        for piece, ended in ends.cut(wire[start:end]):
            found[-1] += piece
            if ended:
                whole.append(found[-1])
                found.append(b"")
    assert whole == frames
    assert found[-1] == b""


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_of_bytes_that_are_no_frames_none_is_lost(pieces: list[bytes]) -> None:
    ends = FrameEnds()
    assert b"".join(piece for data in pieces for piece, _ in ends.cut(data)) == b"".join(pieces)


def test_the_rest_says_nothing() -> None:
    buffer = MessageBuffer()
    assert texts(buffer, frame(Opcode.TEXT, b"whole")[:4]) == []
    assert buffer.rest() == b""


@pytest.mark.parametrize("reason", ["no credit is left", "é" * 100])
def test_goodbye(reason: str) -> None:
    reader = StreamReader()
    wire = close_frame(4402, reason)
    reader.feed_data(wire)
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as stopped:
        next(parsing)
    parsed: Frame = stopped.value.value
    assert parsed.opcode is Opcode.CLOSE
    assert len(parsed.data) <= 125
    said = Close.parse(parsed.data)
    assert said.code == 4402
    assert reason.startswith(said.reason)
