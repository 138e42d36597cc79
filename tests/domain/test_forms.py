"""Fields and sizes of forms, and every way in which a server might read another form than we do."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.forms import PartCounts, PartMeter, Sizes, fields_of, may_be_form
from sidecar.domain.multipart import FormError
from sidecar.domain.price import Number

PARTS = {b"content-type": b"multipart/form-data; boundary=x"}
ENCODED = {b"content-type": b"application/x-www-form-urlencoded"}
WANTED = ("model", "n", "response_format", "options.size")


def form(*fields: tuple[str, bytes], is_file: bool = False) -> bytes:
    more = b'; filename="a"' if is_file else b""
    parts = (
        b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name.encode(), more, value)
        for name, value in fields
    )
    return b"".join(parts) + b"--x--"


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (PARTS, form(("other", b"1"), ("model", b"gpt-4o"), ("n", b""))),
        (ENCODED, b"other=1&model=gpt-4o&n="),
        (ENCODED, b"other=a%zz;b&m%6fdel=gpt%2D4o&n"),
        ({b"content-type": b"Application/X-WWW-Form-Urlencoded ; charset=utf-8"}, b"&model=gpt-4o&n="),
    ],
)
def test_fields(fields: dict[bytes, bytes], body: bytes) -> None:
    assert may_be_form(fields)
    assert fields_of(fields, body, WANTED) == {"model": "gpt-4o", "n": ""}


def test_values_are_decoded() -> None:
    assert fields_of(ENCODED, b"model=a+b%26%3Dgr%C3%B6%C3%9Fe", WANTED) == {"model": "a b&=größe"}
    assert fields_of(PARTS, form(("model", "a+b%26größe".encode())), WANTED) == {"model": "a+b%26größe"}


LOOK_ALIKES = ["Model", "model[]", "model[a]", " model", "model ", "MODEL\t", "response.format", "Response format"]


@pytest.mark.parametrize("name", [*LOOK_ALIKES, "_charset_", "options", "options[size]", "Options", "options.size"])
def test_a_name_that_servers_take_for_one_that_is_wanted(name: str) -> None:
    with pytest.raises(FormError):
        fields_of(ENCODED, b"model=a&%b=b" % name.replace(" ", "+").encode(), WANTED)
    if name.isprintable():
        with pytest.raises(FormError):
            fields_of(PARTS, form(("model", b"a"), (name, b"b")), WANTED)


@pytest.mark.parametrize(
    "body",
    [
        b"model=a&model=a",
        b"model=a&m%6fdel=b",
        b"model=a;b",
        b"other=a;model=b",
        b"model;b=c",
        b"model=%zz",
        b"model=%",
        b"model=%ff",
        b"model%00=a",
        b"model=a&m%u006fdel=b",
        b"model=a;m%u006fdel=b",
        b' {"model": "a", "b": "&model=b"}',
        b'["&model=b&"]',
    ],
)
def test_an_encoded_form_that_can_be_read_in_two_ways(body: bytes) -> None:
    with pytest.raises(FormError):
        fields_of(ENCODED, body, WANTED)


@pytest.mark.parametrize(
    "body",
    [
        form(("model", b"a"), ("model", b"a")),
        form(("model", b"a"), is_file=True),
        form(("model", b"\xff")),
        form(("model", b"a")) + b"model=b",
        b'{"model": "a"}',
        b"",
    ],
)
def test_a_form_in_parts_that_can_be_read_in_two_ways(body: bytes) -> None:
    with pytest.raises(FormError):
        fields_of(PARTS, body, WANTED)


@pytest.mark.parametrize(
    ("content_type", "coding"),
    [
        (PARTS[b"content-type"], b"gzip"),
        (ENCODED[b"content-type"], b"gzip"),
        (b"application/x-www-form-urlencoded; charset=utf-16", b"identity"),
        (b"application/x-www-form-urlencoded, application/json", b"identity"),
        (b"application/json, application/x-www-form-urlencoded", b"identity"),
        (b"multipart/mixed; boundary=x", b"identity"),
        (b"text/x-multipart/form-data; boundary=x", b"identity"),
    ],
)
def test_a_kind_of_form_that_can_be_read_in_two_ways(content_type: bytes, coding: bytes) -> None:
    fields = {b"content-type": content_type, b"content-encoding": coding}
    assert may_be_form(fields)
    for body in (form(("model", b"a")), b"model=a"):
        with pytest.raises(FormError):
            fields_of(fields, body, WANTED)


PIECES = st.sampled_from(
    [
        b"model",
        b"Model",
        b"m%6fdel",
        b"other",
        b"=",
        b"&",
        b";",
        b"+",
        b"%20",
        b"%",
        b"[]",
        b"a",
        b"%3B",
        b"%26",
        b"=",
    ]
)


@given(st.lists(PIECES, max_size=12))
def test_nobody_else_reads_another_encoded_form(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    try:
        found = fields_of(ENCODED, body, WANTED)
    except FormError:
        return
    for read in (body, body.replace(b";", b"&")):
        theirs = [pair for pair in parse_qsl(read.decode(), keep_blank_values=True) if pair[0] in WANTED]
        assert dict(theirs) == found
        assert len(theirs) == len(found)


def test_what_is_no_form() -> None:
    nothing: dict[bytes, bytes] = {}
    assert not may_be_form(nothing)
    json: dict[bytes, bytes] = {b"content-type": b"application/json"}
    assert not may_be_form(json)


# --- Sizes --------------------------------------------------------------------------------------------------------

METERS = (
    ("file_bytes", PartMeter(("file",), PartCounts.BYTES)),
    ("images", PartMeter(("image", "image[]"), PartCounts.PARTS)),
    ("image_bytes", PartMeter(("image[]", "image"), PartCounts.BYTES)),
)


def counted(body: bytes, size: int) -> dict[str, Number]:
    counts: dict[str, Number] = {"file_bytes": 9, "other": 5}
    sizes = Sizes(PARTS, METERS, counts)
    for start in range(0, len(body), size):
        assert sizes.see(body[start : start + size], last=start + size >= len(body)) == ""
    return counts


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_sizes_are_sums_however_a_form_arrives(size: int) -> None:
    parts = form(("model", b"abc"), ("file", b"\r\n--y\r\n"), ("image", b"12"), ("image[]", b"345"), ("file", b"x"))
    assert counted(parts, size) == {"file_bytes": 8, "other": 5, "images": 2, "image_bytes": 5}


def test_no_part_is_nothing() -> None:
    assert counted(form(("model", b"abc")), 9) == {"file_bytes": 0, "other": 5, "images": 0, "image_bytes": 0}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (form(("File", b"abc")), "servers take that"),
        (form(("file[]", b"abc")), "servers take that"),
        (form(("file", b"abc"))[:-2], "ends before"),
        (form(("file", b"abc")) + b"x", "behind its last"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, why: str) -> None:
    assert why in Sizes(PARTS, METERS, {}).see(body, last=True)


def test_who_refuses_nothing_counts_what_was_clear() -> None:
    counts: dict[str, Number] = {}
    sizes = Sizes(PARTS, METERS, counts)
    for part in (form(("file", b"abc"))[:-5], form(("File", b"abc")), form(("file", b"abc"))):
        assert sizes.glance(part, last=False) == ""
    assert counts["file_bytes"] == 3


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"content-type": b"application/json"},
        ENCODED,
        {b"content-type": b"multipart/form-data"},
        PARTS | {b"content-encoding": b"br"},
    ],
)
def test_sizes_need_a_form_in_parts(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(FormError):
        Sizes(fields, METERS, {})
