"""Chunked bodies: what is decoded does not depend on how it was cut, and every line is bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.http1.bodies import (
    EXTENSIONS_MAX_BYTES,
    LINE_MAX_BYTES,
    ChunkDecoder,
    encode_chunk,
    encode_end,
)
from sidecar.http1.errors import ProtocolError
from tests.http1 import writing


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(("over", "broken"), [(0, False), (1, True)])
def test_limits_are_exact_however_the_bytes_come(over: int, broken: bool, step: int) -> None:
    line = b"1;" + b"a" * (LINE_MAX_BYTES - 2 + over) + b"\r\nx\r\n0\r\n\r\n"
    many = b"".join(b"1;%b\r\nx\r\n" % (b"a" * 511) for _ in range(EXTENSIONS_MAX_BYTES // 512))
    many += (b"1;a\r\nx\r\n" if over else b"") + b"0\r\n\r\n"
    trailers = b"0\r\nX: " + b"a" * (200 - 5 + over) + b"\r\n\r\n"
    for raw in (line, many, trailers):
        got = decoded([raw[start : start + step] for start in range(0, len(raw), step)])
        assert (got == "broken") == broken, raw[:20]


def test_little_is_kept_between_two_reads() -> None:
    decoder = ChunkDecoder(65_536)
    assert decoder.feed(b"ffffff\r\n") == b""
    for _ in range(100):
        assert len(decoder.feed(b"x" * 10_000)) == 10_000
        assert decoder._pending == b""


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_chunked_body_comes_back_from_any_pieces(data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.binary(min_size=1, max_size=50)))
    trailers = data.draw(st.lists(st.tuples(st.sampled_from([b"X", b"y"]), st.sampled_from([b"", b"a b", b"\xff"]))))
    raw = b"".join(map(encode_chunk, pieces)) + encode_end(trailers) + b"rest"
    decoder = ChunkDecoder(65_536)
    got, rest = b"", b""
    for piece in data.draw(writing.splits(raw)):
        if decoder.done:
            rest += piece
        else:
            got += decoder.feed(piece)
    assert decoder.done
    assert (got, decoder.trailers, decoder.rest + rest) == (b"".join(pieces), trailers, b"rest")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_broken_chunked_body_is_broken_in_any_pieces(data: st.DataObject) -> None:
    raw = data.draw(writing.faulty(writing.chunked(data.draw(writing.BODIES))))
    assert decoded([raw]) == decoded(data.draw(writing.splits(raw)))
    assert decoded([raw]) == decoded([raw[index : index + 1] for index in range(len(raw))])


def decoded(pieces: list[bytes]) -> object:
    decoder = ChunkDecoder(200)
    body, rest = b"", b""
    for piece in pieces:
        if decoder.done:
            rest += piece
            continue
        try:
            body += decoder.feed(piece)
        except ProtocolError:
            return "broken"
    # Where a line will break is known at the latest when it ends.
    return (body, decoder.trailers, decoder.rest + rest) if decoder.done else "unfinished"
