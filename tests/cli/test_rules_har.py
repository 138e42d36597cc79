import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.rules_har import Entry, read_har
from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering import End


def read(folder: Path, request: dict[str, Any], response: dict[str, Any], **more: object) -> Entry:
    file = folder / "a.har"
    file.write_text(json.dumps({"log": {"entries": [{"request": request, "response": response, **more}]}}))
    (entry,) = read_har(file)
    return entry


def test_what_a_browser_records(tmp_path: Path) -> None:
    entry = read(
        tmp_path,
        {
            "method": "POST",
            "url": "https://api.example.com/v1/chat?x=1#top",
            "httpVersion": "h2",
            "headers": [
                {"name": ":authority", "value": "api.example.com"},
                {"name": "X-Tier", "value": "gold"},
                {"name": "accept", "value": "a"},
                {"name": "Accept", "value": "b"},
            ],
            "postData": {"mimeType": "application/json", "text": '{"café": 1}'},
        },
        {
            "status": 200,
            "headers": [{"name": "Content-Encoding", "value": "br"}, {"name": "X-Cost", "value": "2"}],
            "content": {
                "mimeType": "text/plain",
                "text": base64.b64encode(b"\xff\x00").decode(),
                "encoding": "base64",
            },
        },
        time=12.6,
    )
    request, answer = entry.request, entry.answer
    assert (request.method, request.target, request.body) == (b"POST", b"/v1/chat?x=1", '{"café": 1}'.encode())
    assert request.fields == {b"host": b"api.example.com", b"x-tier": b"gold", b"accept": b"a, b"}
    assert (answer.status, answer.fields, answer.body) == (200, {b"x-cost": b"2"}, b"\xff\x00")
    assert (answer.end, answer.duration_ms) == (End.COMPLETE, 13)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a", b"/"),
        ("http://a?x", b"/?x"),
        ("http://a:1/b//c?d=/e", b"/b//c?d=/e"),
        ("/only/path", b"/only/path"),
    ],
)
def test_targets_are_kept_as_they_were_sent(tmp_path: Path, url: str, target: bytes) -> None:
    assert read(tmp_path, {"method": "GET", "url": url}, {"status": 204}).request.target == target


def test_a_request_without_an_answer(tmp_path: Path) -> None:
    answer = read(tmp_path, {"method": "GET", "url": "http://a/"}, {"status": 0}, time=-1).answer
    assert (answer.end, answer.duration_ms, answer.body) == (End.UPSTREAM_FAILED, 0, b"")


BROKEN_BASE64 = (
    '{"log": {"entries": [{"request": {"method": "GET", "url": "/"}, "response": {"status": 200, "content": '
)
BROKEN_BASE64 += '{"text": "%", "encoding": "base64"}}}]}}'


@pytest.mark.parametrize("text", ["", "{}", '{"log": {"entries": [{}]}}', "\udcff", BROKEN_BASE64])
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.har"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidInput, match=r"is no HAR file"):
        read_har(file)
    with pytest.raises(InvalidInput, match=r"cannot be read"):
        read_har(tmp_path / "none.har")


def test_a_byte_order_mark_is_no_reason_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "a.har").write_bytes(b'\xef\xbb\xbf{"log": {"entries": []}}')
    assert read_har(tmp_path / "a.har") == []
