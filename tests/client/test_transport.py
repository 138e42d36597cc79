"""When a request is sent again, and when not."""

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp import web

from sidecar.client.errors import ApiError, NotTheApi, Unclear, Unreachable
from sidecar.client.transport import Answer, Transport
from tests.client.conftest import answering

OURS = {"x-request-id": "req_1"}
KEYED = {"Idempotency-Key": "k1"}


def problem(status: int, code: str = "some_code", **headers: str) -> web.Response:
    document = {"status": status, "code": code, "detail": "It is so."}
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response(
        document, status=status, content_type="application/problem+json", headers={**OURS, **fields}
    )


def fine() -> web.Response:
    return web.json_response({}, headers={**OURS, "ETag": '"7"', "Idempotent-Replayed": "true"})


class Server:
    """Answers in turn; None: cuts the connection."""

    def __init__(self, answers: Sequence[web.Response | None]) -> None:
        self.answers = list(answers)
        self.requests: list[web.Request] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.requests.append(request)
        answer = self.answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
            return web.Response()
        return answer


async def ask(server: Server, method: str, headers: dict[str, str] | None = None) -> Answer:
    async with answering(server) as url:
        transport = Transport(url, "secret", timeout_s=10)
        try:
            return await transport.ask(method, "/v1/x?a=b", b"{}", headers or {})
        finally:
            await transport.close()


async def test_what_passes_is_waited_for() -> None:
    passing = (problem(503, Retry_After="0"), None, problem(409, "request_in_progress", Retry_After="0"))
    server = Server([*passing, fine()])
    answer = await ask(server, "POST", KEYED)
    assert answer == Answer(status=200, body=b"{}", replayed=True, version=7)
    assert {request.headers["Idempotency-Key"] for request in server.requests} == {"k1"}
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer secret"}
    assert {request.raw_path for request in server.requests} == {"/v1/x?a=b"}
    assert len(server.requests) == 4


async def test_reading_needs_no_key_to_be_repeated() -> None:
    server = Server([None, fine()])
    assert (await ask(server, "GET")).status == 200


@pytest.mark.parametrize("status", [400, 402, 404, 409, 412, 422, 500])
async def test_what_stays_so_is_not_asked_again(status: int) -> None:
    server = Server([problem(status)])
    with pytest.raises(ApiError, match="It is so") as refused:
        await ask(server, "POST", KEYED)
    assert (refused.value.status, refused.value.problem_code) == (status, "some_code")


async def test_a_write_without_a_key_is_sent_once() -> None:
    server = Server([None])
    with pytest.raises(Unclear, match="may have been carried out or not"):
        await ask(server, "POST")
    server = Server([problem(503)])
    with pytest.raises(ApiError):
        await ask(server, "POST")


async def test_patience_ends() -> None:
    server = Server([problem(503, Retry_After="0") for _ in range(4)])
    with pytest.raises(ApiError):
        await ask(server, "GET")
    assert len(server.requests) == 4
    for long in ("3600", "Fri, 31 Dec 2100 23:59:59 GMT"):
        server = Server([problem(429, Retry_After=long)])
        with pytest.raises(ApiError) as refused:
            await ask(server, "GET")
        assert refused.value.retry_after_s is not None
        assert refused.value.retry_after_s > 3_000


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="hello"),
        web.Response(status=302, headers={"Location": "/"}),
        web.Response(status=404, text="<html>"),
        web.Response(status=500, headers=OURS, text="<html>"),
    ],
    ids=["no id", "redirect", "page", "no document"],
)
async def test_what_is_no_control_api(answer: web.Response) -> None:
    with pytest.raises(NotTheApi, match="is the URL right"):
        await ask(Server([answer]), "GET")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://a..b", "http://nobody.invalid"])
async def test_nobody_there(url: str) -> None:
    transport = Transport(url, "secret", attempts=2)
    with pytest.raises(Unreachable, match="No control API at") as failed:
        await transport.ask("POST", "/v1/x", None, KEYED)
    await transport.close()
    assert "secret" not in repr(failed.value)


async def test_a_file_that_breaks_off_is_no_whole_file() -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=OURS)
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with answering(half) as url:
        transport = Transport(url, "secret")
        with pytest.raises(Unclear):
            [piece async for piece in transport.stream("/file")]
        await transport.close()
