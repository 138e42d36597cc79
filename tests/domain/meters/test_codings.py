import gzip
import zlib

import pytest

from sidecar.domain.meters import codings
from sidecar.domain.meters.codings import PIECE_MAX_BYTES, CodingError, Inflater, inflater

TEXT = b"usage " * 50_000
RAW = zlib.compressobj(wbits=-15)
BARE = RAW.compress(TEXT) + RAW.flush()


def decode(coding: Inflater | None, data: bytes, size: int) -> bytes:
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
    ],
    ids=["gzip", "x-gzip", "two members", "deflate", "bare deflate"],
)
def test_any_split_decodes(coding: bytes, data: bytes, size: int) -> None:
    assert decode(inflater(coding), data, size) == TEXT


@pytest.mark.parametrize("coding", [b"", b"identity"])
def test_no_coding_needs_no_decoder(coding: bytes) -> None:
    assert inflater(coding) is None


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"compress"])
def test_other_codings_are_not_read(coding: bytes) -> None:
    with pytest.raises(CodingError):
        inflater(coding)


@pytest.mark.parametrize(
    "data", [b"not gzip at all", gzip.compress(TEXT)[:-8] + b"x" * 8, gzip.compress(TEXT) + b"junk"]
)
def test_broken_text_is_an_error(data: bytes) -> None:
    with pytest.raises(CodingError):
        decode(inflater(b"gzip"), data, 1000)


def test_what_expands_without_bound_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codings, "DECODED_MAX_BYTES", 1_000_000)
    with pytest.raises(CodingError, match="bound"):
        decode(inflater(b"gzip"), gzip.compress(bytes(2_000_000)), 100)
