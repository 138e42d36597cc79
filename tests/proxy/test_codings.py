"""Content codings: what the client takes and the meter can read."""

import pytest

from sidecar.proxy.codings import readable_only, with_trailers


@pytest.mark.parametrize("accepted", [b"gzip", b"gzip, deflate", b"GZIP;q=0.5", b"identity", b"gzip;q=0"])
def test_what_can_be_read_stays_as_it_was_written(accepted: bytes) -> None:
    assert readable_only(accepted) == ()


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        (b"gzip, compress", b"gzip"),
        (b"compress, gzip;q=0.8, dcz, deflate;q=0.1", b"gzip;q=0.8, deflate;q=0.1"),
        (b"compress", b"identity"),
        (b"*", b"identity"),
        (b"*;q=0.1, gzip", b"gzip"),
        (b"", b"identity"),
        (b"gzipx", b"identity"),
    ],
)
def test_what_cannot_be_read_is_left_out(accepted: bytes, sent: bytes) -> None:
    assert readable_only(accepted) == ((b"Accept-Encoding", sent),)


def test_asking_for_trailers_gives_the_same_fields_each_time() -> None:
    fields = ((b"Accept-Encoding", b"gzip"),)
    assert with_trailers(fields) == (*fields, (b"Connection", b"TE"), (b"TE", b"trailers"))
    assert with_trailers(fields) is with_trailers(tuple(fields))
