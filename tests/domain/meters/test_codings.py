import gzip
import random
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest

from sidecar.domain.meters import codings
from sidecar.domain.meters.codings import PIECE_MAX_BYTES, CodingError, Decoder, decoder_of

TEXT = b"usage " * 50_000
RAW = zlib.compressobj(wbits=-15)
zstd: Any = codings._ZSTD
Encoder = Callable[[bytes], bytes]
BARE = RAW.compress(TEXT) + RAW.flush()


def decode(coding: Decoder | None, data: bytes, size: int) -> bytes:
    assert coding is not None
    pieces = [text for at in range(0, len(data), size) for text in coding.decode(data[at : at + size])]
    assert all(len(piece) <= PIECE_MAX_BYTES for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize(
    ("coding", "data"),
    [
        (b"gzip", gzip.compress(TEXT)),
        (b" X-GZIP ", gzip.compress(TEXT)),
        (b"gzip", gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", BARE),
        (b"br", brotli.compress(TEXT)),
        (b"zstd", zstd.compress(TEXT)),
        (b"zstd", zstd.compress(TEXT[:9]) + zstd.compress(TEXT[9:])),
    ],
    ids=["gzip", "x-gzip", "two members", "deflate", "bare deflate", "br", "zstd", "two frames"],
)
def test_any_split_decodes(coding: bytes, data: bytes, size: int) -> None:
    assert decode(decoder_of(coding), data, size) == TEXT


@pytest.mark.parametrize("coding", [b"", b"identity"])
def test_no_coding_needs_no_decoder(coding: bytes) -> None:
    assert decoder_of(coding) is None


@pytest.mark.parametrize("coding", [b"gzip, gzip", b"compress", b"dcb", b"br, gzip"])
def test_other_codings_are_not_read(coding: bytes) -> None:
    with pytest.raises(CodingError):
        decoder_of(coding)


ENCODERS = [
    pytest.param(b"gzip", gzip.compress, id="gzip"),
    pytest.param(b"deflate", zlib.compress, id="deflate"),
    pytest.param(b"br", brotli.compress, id="br"),
    pytest.param(b"zstd", zstd.compress, id="zstd"),
]


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
def test_each_piece_of_a_stream_is_readable_when_it_has_come(coding: bytes, encode: Encoder) -> None:
    """Noise does not compress: the text must not wait in the decoder for what comes after it."""
    noise = random.Random(4).randbytes(300_000)
    decoder, coded = decoder_of(coding), encode(noise)
    assert decoder is not None
    decoded = sum(len(text) for text in decoder.decode(coded[:200_000]))
    assert 60_000 < decoded <= 200_000
    assert decoded + sum(len(text) for text in decoder.decode(coded[200_000:])) == len(noise)


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        (b"gzip", b"not gzip at all"),
        (b"gzip", gzip.compress(TEXT)[:-8] + b"x" * 8),
        (b"gzip", gzip.compress(TEXT) + b"junk"),
        (b"br", b"not br at all"),
        (b"br", brotli.compress(TEXT) + b"junk"),
        (b"zstd", b"not zstd at all"),
        (b"zstd", zstd.compress(TEXT) + b"junk"),
        (b"zstd", zstd.compress(TEXT, options={zstd.CompressionParameter.window_log: 24})[:9] + b"x" * 200),
    ],
)
def test_broken_text_is_an_error(coding: bytes, data: bytes) -> None:
    with pytest.raises(CodingError):
        decode(decoder_of(coding), data, 1000)


@pytest.mark.parametrize("size", [100, 1_000_000])
@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
def test_what_expands_without_bound_is_stopped(
    coding: bytes, encode: Encoder, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codings, "DECODED_MAX_BYTES", 1_000_000)
    with pytest.raises(CodingError, match="bound"):
        decode(decoder_of(coding), encode(bytes(2_000_000)), size)


def test_a_text_that_needs_more_memory_than_a_client_must_have_is_an_error() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 25})
    coded = compressor.compress(bytes(100_000)) + compressor.flush()
    with pytest.raises(CodingError, match="memory"):
        decode(decoder_of(b"zstd"), coded, 1000)


@pytest.mark.parametrize(("coding", "name"), [(b"br", "_BROTLI"), (b"zstd", "_ZSTD")])
def test_what_is_not_installed_is_said(coding: bytes, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert coding in codings.READABLE
    monkeypatch.setattr(codings, name, None)
    with pytest.raises(CodingError, match=r"pip install 'entitlement-sidecar\[codings\]'"):
        decoder_of(coding)
