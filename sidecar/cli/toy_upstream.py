"""The demo's upstream: a chat API that always says the same, and reports what it used as OpenAI's does.

It waits for `go` before each answer, so that somebody can look at what is held meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiohttp import web

_WORDS: Final = ("Credits", " are", " held", " before", " the", " work", " begins.")
_PROMPT_TOKENS: Final = 10
_PLAIN_TOKENS: Final = 20
_STREAM_TOKENS: Final = 30
_PAUSE_S: Final = 0.02


class ToyUpstream:
    """Counts the `requests` that reach it, and keeps the tokens that it reported last."""

    def __init__(self) -> None:
        self.requests = 0
        self.reported_tokens = 0
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port; gives the URL."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        asked = await request.json()
        self.asked.set()
        await self.go.wait()
        self.asked.clear()
        self.go.clear()
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(_WORDS)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.Response(
                body=_encoded("chat.completion", [choice], usage=self._usage(_PLAIN_TOKENS)),
                content_type="application/json",
            )
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for word in _WORDS:
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            await response.write(b"data: %b\n\n" % _encoded("chat.completion.chunk", [choice]))
            await asyncio.sleep(_PAUSE_S)
        if (asked.get("stream_options") or {}).get("include_usage"):
            last = _encoded("chat.completion.chunk", [], usage=self._usage(_STREAM_TOKENS))
            await response.write(b"data: %b\n\n" % last)
        await response.write(b"data: [DONE]\n\n")
        return response

    def _usage(self, completion_tokens: int) -> dict[str, int]:
        self.reported_tokens = _PROMPT_TOKENS + completion_tokens
        return {
            "prompt_tokens": _PROMPT_TOKENS,
            "completion_tokens": completion_tokens,
            "total_tokens": self.reported_tokens,
        }


def _encoded(kind: str, choices: list[dict[str, Any]], **more: object) -> bytes:
    return msgspec.json.encode(
        {"id": "chatcmpl-toy", "object": kind, "created": 0, "model": "toy", "choices": choices, **more}
    )
