"""An imitation of the OpenAI API, faithful in shape, headers, streaming and errors; the content is fixed.

Chat completions, responses and embeddings, models. `test_imitations` holds it against the stock SDK without a proxy.
"""

import base64
import struct
from collections import deque
from typing import Any

import msgspec

from tests.support.imitation import (
    Delivery,
    Refused,
    event,
    output,
    send_events,
    send_json,
    texts_of,
    tokens_of,
)
from tests.support.upstream import Exchange

CREATED = 1_760_000_000
_FIELDS = (
    ("Date", "Sun, 22 Nov 2026 12:00:00 GMT"),
    ("openai-version", "2020-10-01"),
    ("openai-processing-ms", "117"),
    ("x-request-id", "req_0123456789abcdef"),
    ("X-RateLimit-Remaining-Requests", "9999"),
    ("Set-Cookie", "__cf_bm=one; path=/; HttpOnly"),
    ("Set-Cookie", "_cfuvid=two; path=/; HttpOnly"),
)
_KINDS = {401: "invalid_request_error", 429: "requests", 500: "server_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 500: None}


class OpenAIApi:
    """A script for `Upstream`. `failures`: statuses that the next requests get, in the API's own error shape."""

    def __init__(self, *, key: str = "sk-upstream", delivery: Delivery | None = None) -> None:
        self.key = key
        self.delivery = delivery or Delivery()
        self.failures: deque[int] = deque()
        self.cached_tokens = 0
        """Part of the input tokens that is reported as read from the cache."""

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.body()
        try:
            await self._answer(exchange, self._checked(exchange, body))
        except Refused as refused:
            document = _json(refused.body, indented=True)
            await send_json(exchange, self.delivery, refused.status, document, *_FIELDS, *refused.fields)

    def _checked(self, exchange: Exchange, body: bytes) -> dict[str, Any]:
        if exchange.request.get(b"authorization") != f"Bearer {self.key}".encode():
            raise _error(401, "Incorrect API key provided.")
        if self.failures:
            raise _error(self.failures.popleft(), "As the test asked.")
        if exchange.request.method == b"GET":
            return {}
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise _error(400, "We could not parse the JSON body of your request.") from None
        if "model" not in asked:
            raise _error(400, "you must provide a model parameter")
        return asked

    async def _answer(self, exchange: Exchange, asked: dict[str, Any]) -> None:
        path = exchange.request.target.partition(b"?")[0].decode()
        match path, asked.get("stream", False):
            case "/v1/models", _:
                await self._plain(exchange, _MODELS)
            case "/v1/chat/completions", True:
                await send_events(exchange, self.delivery, self._chat_events(asked), *_FIELDS)
            case "/v1/chat/completions", _:
                await self._plain(exchange, self._chat(asked))
            case "/v1/responses", True:
                await send_events(exchange, self.delivery, self._response_events(asked), *_FIELDS)
            case "/v1/responses", _:
                await self._plain(exchange, self._response(asked, "completed"))
            case "/v1/embeddings", _:
                await self._plain(exchange, _embeddings(asked))
            case _:
                raise _error(404, f"Invalid URL ({exchange.request.method.decode()} {path})")

    async def _plain(self, exchange: Exchange, document: dict[str, Any]) -> None:
        await send_json(exchange, self.delivery, 200, _json(document, indented=True), *_FIELDS)

    def _words(self, asked: dict[str, Any], messages: list[str]) -> list[str]:
        limit = asked.get("max_completion_tokens", asked.get("max_tokens", asked.get("max_output_tokens")))
        return output(limit, messages[-1])

    def _chat_usage(self, messages: list[str], words: list[str]) -> dict[str, Any]:
        prompt = tokens_of(*messages)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": len(words),
            "total_tokens": prompt + len(words),
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def _chat(self, asked: dict[str, Any]) -> dict[str, Any]:
        messages = texts_of(asked["messages"])
        words = self._words(asked, messages)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(words), "refusal": None, "annotations": []}
        return {
            "id": "chatcmpl-fixed",
            "object": "chat.completion",
            "created": CREATED,
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": self._chat_usage(messages, words),
            "service_tier": "default",
            "system_fingerprint": "fp_fixed",
        }

    def _chat_events(self, asked: dict[str, Any]) -> list[bytes]:
        messages = texts_of(asked["messages"])
        words = self._words(asked, messages)
        options = asked.get("stream_options") or {}
        usage_asked = options.get("include_usage", False)
        deltas: list[tuple[dict[str, Any], str | None]] = [
            ({"role": "assistant", "content": "", "refusal": None}, None)
        ]
        deltas += [({"content": word}, None) for word in words]
        deltas.append(({}, "stop"))
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
            | ({"usage": None} if usage_asked else {})
            | ({} if options.get("include_obfuscation") is False else {"obfuscation": "xK3" * (number % 3)})
            for number, (delta, reason) in enumerate(deltas)
        ]
        if usage_asked:
            chunks.append({"choices": [], "usage": self._chat_usage(messages, words), "obfuscation": ""})
        start: dict[str, Any] = {
            "id": "chatcmpl-fixed",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": asked["model"],
            "service_tier": "default",
            "system_fingerprint": "fp_fixed",
        }
        events = [event(self.delivery, _json(start | each).decode()) for each in chunks]
        return [*events, event(self.delivery, "[DONE]")]

    def _response(self, asked: dict[str, Any], status: str) -> dict[str, Any]:
        given = asked["input"]
        messages = [given] if isinstance(given, str) else texts_of(given)
        words = self._words(asked, messages)
        prompt = tokens_of(*messages)
        done = status == "completed"
        usage = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": self.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": len(words),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + len(words),
        }
        return {
            "id": "resp_fixed",
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": asked.get("max_output_tokens"),
            "model": asked["model"],
            "output": [_message("".join(words), "completed")] if done else [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "temperature": 1.0,
            "top_p": 1.0,
            "usage": usage if done else None,
            "metadata": {},
        }

    def _response_events(self, asked: dict[str, Any]) -> list[bytes]:
        done = self._response(asked, "completed")
        text = done["output"][0]["content"][0]["text"]
        given = asked["input"]
        words = self._words(asked, [given] if isinstance(given, str) else texts_of(given))
        at = {"item_id": "msg_fixed", "output_index": 0, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        story: list[tuple[str, dict[str, Any]]] = [
            ("response.created", {"response": self._response(asked, "in_progress")}),
            ("response.in_progress", {"response": self._response(asked, "in_progress")}),
            ("response.output_item.added", {"output_index": 0, "item": _message(None, "in_progress")}),
            ("response.content_part.added", at | {"part": part}),
            *(("response.output_text.delta", at | {"delta": word, "logprobs": []}) for word in words),
            ("response.output_text.done", at | {"text": text, "logprobs": []}),
            ("response.content_part.done", at | {"part": part | {"text": text}}),
            ("response.output_item.done", {"output_index": 0, "item": _message(text, "completed")}),
            ("response.completed", {"response": done}),
        ]
        return [
            event(self.delivery, _json({"type": name, "sequence_number": number} | data).decode(), name)
            for number, (name, data) in enumerate(story)
        ]


_MODELS: dict[str, Any] = {
    "object": "list",
    "data": [{"id": "gpt-4o-mini", "object": "model", "created": CREATED, "owned_by": "system"}],
}


def _message(text: str | None, status: str) -> dict[str, Any]:
    content: list[Any] = (
        [] if text is None else [{"type": "output_text", "annotations": [], "logprobs": [], "text": text}]
    )
    return {"id": "msg_fixed", "type": "message", "status": status, "content": content, "role": "assistant"}


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    given = asked["input"]
    texts = [given] if isinstance(given, str) else given
    vector = [0.25, -0.5, 1.0, 0.125]
    packed = base64.b64encode(struct.pack("<4f", *vector)).decode()
    # The stock SDK asks for base64 unless the caller says otherwise.
    embedding = packed if asked.get("encoding_format") == "base64" else vector
    tokens = tokens_of(*texts)
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": number, "embedding": embedding} for number in range(len(texts))],
        "model": asked["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _error(status: int, message: str) -> Refused:
    kind = _KINDS.get(status, "invalid_request_error")
    fields = [("Retry-After", "7")] if status == 429 else []
    error = {"message": message, "type": kind, "param": None, "code": _CODES.get(status)}
    return Refused(status, {"error": error}, *fields)


def _json(document: Any, *, indented: bool = False) -> bytes:
    encoded = msgspec.json.encode(document)
    return msgspec.json.format(encoded, indent=2) + b"\n" if indented else encoded
