import asyncio
import gzip

import pytest

from sidecar.control.app import BODY_MAX_BYTES
from tests.support.control import ADMIN_KEY, Control, assert_problem


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_a_body_has_an_end(control: Control, packed: bool) -> None:
    body = b'{"external_id": "' + b"x" * BODY_MAX_BYTES + b'"}'
    encoding = {"Content_Encoding": "gzip"} if packed else {}
    answer = await control.ask("POST", "/v1/customers", gzip.compress(body) if packed else body, **encoding)
    assert_problem(answer, 413, "body_too_large")
    assert str(BODY_MAX_BYTES) in answer.json["detail"]


async def test_bytes_that_are_no_request(control: Control) -> None:
    """A proxy's absolute form is served; bytes that are no text are not."""
    host, port = control.url.removeprefix("http://").split(":")
    replies = []
    for head in (
        f"GET http://other/v1/customer-by-external-id/a%2Fb HTTP/1.1\r\nHost: other\r\nX-API-Key: {ADMIN_KEY}\r\n",
        "GET /v1/units HTTP/1.1\r\nHost: x\r\nX-API-Key: \xff\xfe\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}Connection: close\r\n\r\n".encode("latin-1"))
        replies.append((await reader.read()).decode())
        writer.close()
        await writer.wait_closed()
    assert replies[0].startswith("HTTP/1.1 404 ")
    assert "external id" in replies[0]
    assert replies[1].startswith("HTTP/1.1 401 ")


async def test_a_body_that_is_not_in_its_coding_is_a_bad_request(control: Control) -> None:
    answer = await control.ask("POST", "/v1/customers", b"no gzip at all", Content_Encoding="gzip")
    assert_problem(answer, 400, "bad_request")


async def test_a_client_that_leaves_in_the_middle_is_no_failure_of_ours(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = control.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/customers HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\nContent-Length: 100\r\n\r\n"
    writer.write(f"{head}{{".encode())
    await writer.drain()
    writer.transport.abort()
    await control.ask("GET", "/healthz")
    await control.ask("GET", "/healthz")
    assert "failed" not in caplog.text
