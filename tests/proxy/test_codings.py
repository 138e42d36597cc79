"""Content codings: what the client takes and the meter can read."""

import pytest

from sidecar.domain.metering import Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.reader import Reader
from sidecar.domain.price import Price
from sidecar.domain.quotes import Quote, Quoter
from sidecar.domain.request_facts import RequestFacts
from sidecar.http1.heads import ResponseHead, parse_response
from sidecar.proxy.codings import SAID_EVERY_S, UnreadAnswers, readable_only, with_trailers


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


def an_answer(*fields: tuple[bytes, bytes]) -> ResponseHead:
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return parse_response(b"HTTP/1.1 200 OK\r\n%b\r\n" % lines, b"GET", 10)


def a_quote(reader: Reader | None) -> Quote:
    quote = Quoter(meters=Meters(reader=reader), price=Price.of({}, 1), hold=1).quote(
        RequestFacts(an_answer(), b"/", b"", None)
    )
    assert isinstance(quote, Quote)
    return quote


def test_an_answer_in_a_coding_that_nobody_asked_for_is_said_once_a_minute_for_each_rule(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 1000.0
    unread = UnreadAnswers(lambda: now_s)
    read, plain = a_quote(READERS["ollama"]), a_quote(None)
    for _ in range(3):
        unread.look_at("chat", read, an_answer((b"Content-Encoding", b"compress")))
        unread.look_at("other", read, an_answer((b"Content-Encoding", b"x\xff")))
        unread.look_at("plain", plain, an_answer((b"Content-Encoding", b"compress")))
        unread.look_at("coded", read, an_answer((b"Content-Encoding", b"gzip")))
        unread.look_at("uncoded", read, an_answer())
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "rule chat: the usage of answers cannot be read" in caplog.records[0].getMessage()
    assert "'compress' is not read here" in caplog.records[0].getMessage()
    assert "'x\\xff' is not read here" in caplog.records[1].getMessage()
    now_s += SAID_EVERY_S
    unread.look_at("chat", read, an_answer((b"Content-Encoding", b"compress")))
    assert len(caplog.records) == 3
