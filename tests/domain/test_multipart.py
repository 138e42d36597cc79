"""Forms in parts: what is one, what is refused, and that nobody reads another form where we read one."""

from email.parser import BytesParser
from email.policy import HTTP

import pytest
from aiohttp import FormData, MultipartWriter
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.multipart import HEAD_MAX_BYTES, FormError, Part, Splitter, boundary_of, part_of

TYPE = b"multipart/form-data; boundary=x"
FIELD = b'Content-Disposition: form-data; name="model"'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav'

Parts = list[tuple[Part, bytes]]


class Taken:
    """Receives parts and keeps them."""

    def __init__(self) -> None:
        self.parts: Parts = []

    def begin(self, part: Part) -> None:
        self.parts.append((part, b""))

    def add(self, content: bytes) -> None:
        assert content
        part, before = self.parts[-1]
        self.parts[-1] = (part, before + content)


def split(body: bytes, size: int = 0, boundary: bytes = b"x") -> Parts:
    """The parts of a body that comes in pieces of `size`, 0 for one piece."""
    taken = Taken()
    splitter = Splitter(boundary, taken)
    for start in range(0, len(body), size or len(body) or 1):
        splitter.feed(body[start : start + (size or len(body))])
    splitter.end()
    return taken.parts


def part(head: bytes, content: bytes) -> bytes:
    return b"--x\r\n%b\r\n\r\n%b\r\n" % (head, content)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


BOTH = form(part(FIELD, b"gpt-4o"), part(FILE, b"\r\n\0\xff--\r\n--\r\n-\r\n"))


@pytest.mark.parametrize("size", [0, *range(1, 12)])
@pytest.mark.parametrize("body", [BOTH, BOTH.removesuffix(b"\r\n")])
def test_parts_however_they_arrive(body: bytes, size: int) -> None:
    assert split(body, size) == [
        (Part("model", False), b"gpt-4o"),
        (Part("file", True), b"\r\n\0\xff--\r\n--\r\n-\r\n"),
    ]


def test_no_parts_and_no_content() -> None:
    assert split(b"--x--") == []
    assert split(form(part(FIELD, b""), part(FIELD, b"\r\n"))) == [
        (Part("model", False), b""),
        (Part("model", False), b"\r\n"),
    ]


def test_memory_is_constant() -> None:
    taken = Taken()
    splitter = Splitter(b"x" * 70, taken)
    splitter.feed(b"--" + b"x" * 70 + b"\r\n" + FILE + b"\r\n\r\n")
    for _ in range(64):
        splitter.feed(b"\r\n--" * 16_384)
        assert len(splitter._kept) < 80


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"\r\n" + BOTH,
        b"before\r\n" + BOTH,
        BOTH + b"after",
        BOTH + b"\r\n",
        BOTH.removesuffix(b"--\r\n"),
        BOTH.removesuffix(b"x--\r\n"),
        BOTH.replace(b"\r\n", b"\n"),
        BOTH.replace(b"--x\r\n", b"--x \r\n"),
        BOTH.replace(b"--x\r\n", b"--x\n", 1),
        BOTH.replace(b"--x--", b"--x-"),
        form(part(FIELD, b"a\n--x\nb")),
        form(part(FIELD, b"a\r--x\rb")),
        form(part(FIELD, b"a\r\n--xy\r\nb")),
        form(part(FIELD, b"a --x b")),
        form(part(FIELD, b"--x")),
        form(b"--x\r\n" + FIELD + b"\r\n\r\n"),
        form(b"--x\r\n\r\na\r\n"),
        form(part(FIELD + b"\r\nX-A: \r\n--x", b"a")),
        form(part(FIELD + b"\r\nX-A: --x", b"a")),
        form(part(FIELD + b"\r\nX-A: " + b"a" * HEAD_MAX_BYTES, b"a")),
        b"--x\r\n" + b"a" * (HEAD_MAX_BYTES + 1),
    ],
)
def test_a_body_that_can_be_read_in_two_ways_is_none(body: bytes) -> None:
    for size in (0, 1, 7):
        with pytest.raises(FormError):
            split(body, size)


DISPOSITION = b"Content-Disposition: form-data; "


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (FIELD, Part("model", False)),
        (b"content-disposition:form-data ;name=model", Part("model", False)),
        (b"Content-Disposition: Form-Data; NAME=model;", Part("model", False)),
        (FIELD + b"\r\nContent-Type: text/plain; charset=UTF-8\r\nX-More: 1", Part("model", False)),
        (FIELD + b"\r\nContent-Transfer-Encoding: 8bit", Part("model", False)),
        (DISPOSITION + 'name="größe"'.encode(), Part("größe", False)),
        (DISPOSITION + b'name="a"; filename="C:\\dir\\a;b.wav"', Part("a", True)),
        (DISPOSITION + b'filename*=utf-8\'\'a%20b; name="a"; filename="a b"', Part("a", True)),
        (DISPOSITION + b'name="a"; filename=""', Part("a", True)),
    ],
)
def test_a_head_and_its_part(head: bytes, expected: Part) -> None:
    assert part_of(head) == expected


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"Content-Type: text/plain",
        b"Content-Disposition: attachment; name=a",
        b"Content-Disposition: form-data",
        DISPOSITION + b"filename=a",
        DISPOSITION + b'name="a"; name="b"',
        DISPOSITION + b'name="a"; Name="b"',
        DISPOSITION + b"name*=utf-8''a",
        DISPOSITION + b"name=\"a\"; name*=utf-8''b",
        DISPOSITION + b"name*0=a",
        DISPOSITION + b"name='a'",
        DISPOSITION + b"name = a",
        DISPOSITION + b'name="a',
        DISPOSITION + b'name="a"b',
        DISPOSITION + b'name="a\\b"',
        DISPOSITION + b'name="a%22b"',
        DISPOSITION + b'name="=?utf-8?q?model?="',
        FIELD + b"\r\nContent-Type: multipart/mixed; boundary=y",
        FILE.partition(b"\r\n")[0] + b"\r\nContent-Type: Multipart/Mixed; boundary=y",
        FILE.partition(b"\r\n")[0] + b"\r\nContent-Type: message/rfc822",
        DISPOSITION + b'name="a\0"',
        DISPOSITION + b'name="a"; size=3',
        DISPOSITION + b'name="a"; filename="b\\"; name=\\"model"',
        DISPOSITION + b'name="a"; filename="b; name=model; c"',
        DISPOSITION + b'name="a"; filename="b\\"',
        FIELD + b"\r\n" + DISPOSITION + b'name="b"',
        FIELD + b"\r\n folded",
        FIELD + b"\r\nX-A : b",
        FIELD + b"\r\nX-A",
        FIELD + b"\nX-A: b",
        FIELD + b"\r\nX-A: b\rX-B: c",
        FIELD + b"\r\nContent-Transfer-Encoding: base64",
        FIELD + b"\r\nContent-Transfer-Encoding: quoted-printable",
        FIELD + b"\r\nContent-Type: text/plain; charset=utf-16",
        FIELD + b"\r\nContent-Type: text/plain; charset=utf-8; charset=utf-16",
        DISPOSITION + b'name="\xff"',
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_none(head: bytes) -> None:
    with pytest.raises(FormError):
        part_of(head)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (TYPE, b"x"),
        (b"Multipart/Form-Data;BOUNDARY=----WebKitFormBoundaryAb1", b"----WebKitFormBoundaryAb1"),
        (b'multipart/form-data; charset=utf-8; boundary="===x:y==?"', b"===x:y==?"),
    ],
)
def test_boundaries(content_type: bytes, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "parameters",
    [
        b"",
        b"; boundary=",
        b'; boundary=""',
        b'; boundary="x "',
        b"; boundary=" + b"x" * 71,
        b"; boundary=x; boundary=y",
        b"; boundary=x; BOUNDARY=y",
        b"; boundary=x, multipart/form-data; boundary=y",
        b"; boundary=x,y",
        b"; boundary=x=y",
        b"; boundary*=utf-8''x",
        b"; boundary*0=x; boundary*1=y",
        b"; boundary=x; charset=utf-16",
        b'; boundary="x\\y"',
        b"; boundary=x y",
    ],
)
def test_boundaries_that_can_be_read_in_two_ways(parameters: bytes) -> None:
    with pytest.raises(FormError):
        boundary_of(b"multipart/form-data" + parameters)


async def test_what_clients_send() -> None:
    form = FormData({"model": "gpt-4o", "größe": "1"}, quote_fields=False)
    form.add_field("file", b"RIFF\r\n\xff", filename="a b ü.wav", content_type="audio/wav")
    form.add_field("mask", b"", filename="")
    writer = form()
    assert isinstance(writer, MultipartWriter)
    boundary = boundary_of(writer.headers["content-type"].encode())
    assert split(await writer.as_bytes(), 0, boundary) == [
        (Part("model", False), b"gpt-4o"),
        (Part("größe", False), b"1"),
        (Part("file", True), b"RIFF\r\n\xff"),
        (Part("mask", True), b""),
    ]


PIECES = st.sampled_from(
    [
        b"--x", b"--x--", b"--", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b" ", b"-", b"a", b"\xff", b":", b"--y",
        FIELD, FILE, DISPOSITION, b'name="b"', b"; ", b"X-A: b", part(FIELD, b"a"), part(FILE, b"b"),
        b"--x\r\n" + FIELD + b"\r\n\r\n",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12), st.booleans(), st.integers(1, 9))
def test_nobody_else_reads_another_form(pieces: list[bytes], closed: bool, size: int) -> None:
    body = b"--x\r\n" + FIELD + b"\r\n\r\n" + b"".join(pieces) + b"\r\n--x--\r\n" * closed
    try:
        parts = split(body)
    except FormError:
        with pytest.raises(FormError):
            split(body, size)
        return
    assert split(body, size) == parts
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + TYPE + b"\r\n\r\n" + body)
    theirs = [
        (str(each.get_param("name", header="content-disposition")), each.get_payload(decode=True))
        for each in message.iter_parts()
    ]
    assert theirs == [(each.name, content) for each, content in parts]
