"""An imitation of the Anthropic API, faithful in shape, headers, streaming and errors; the content is fixed.

Messages, plain and streaming, and token counting. `test_imitations` holds it against the stock SDK without a proxy.
"""

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

_FIELDS = (
    ("Date", "Sun, 22 Nov 2026 12:00:00 GMT"),
    ("request-id", "req_fixed"),
    ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
)
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class AnthropicApi:
    """A script for `Upstream`. `failures`: statuses that the next requests get, in the API's own error shape."""

    def __init__(self, *, key: str = "sk-ant-upstream", delivery: Delivery | None = None) -> None:
        self.key = key
        self.delivery = delivery or Delivery()
        self.failures: deque[int] = deque()
        self.cache_read_tokens = 0
        self.cache_write_tokens = 0
        """Reported beside the input tokens, not inside them: that is this API's convention."""

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.body()
        try:
            await self._answer(exchange, self._checked(exchange, body))
        except Refused as refused:
            document = msgspec.json.encode(refused.body)
            await send_json(exchange, self.delivery, refused.status, document, *_FIELDS, *refused.fields)

    def _checked(self, exchange: Exchange, body: bytes) -> dict[str, Any]:
        # Older SDKs send the key as X-Api-Key, newer ones as a bearer token; the API takes both.
        keys = {exchange.request.get(b"x-api-key"), (exchange.request.get(b"authorization") or b"")[len("Bearer ") :]}
        if self.key.encode() not in keys:
            raise _error(401, "invalid x-api-key")
        if exchange.request.get(b"anthropic-version") is None:
            raise _error(400, "anthropic-version: header is required")
        if self.failures:
            raise _error(self.failures.popleft(), "As the test asked.")
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise _error(400, "The request body is not valid JSON") from None
        if "model" not in asked:
            raise _error(400, "model: Field required")
        return asked

    async def _answer(self, exchange: Exchange, asked: dict[str, Any]) -> None:
        path = exchange.request.target.partition(b"?")[0].decode()
        match path, asked.get("stream", False):
            case "/v1/messages", True:
                await send_events(exchange, self.delivery, self._events(asked), *_FIELDS)
            case "/v1/messages", _:
                await self._plain(exchange, self._message(asked))
            case "/v1/messages/count_tokens", _:
                await self._plain(exchange, {"input_tokens": tokens_of(*_texts(asked))})
            case _:
                raise _error(404, f"Not found: {path}")

    async def _plain(self, exchange: Exchange, document: dict[str, Any]) -> None:
        await send_json(exchange, self.delivery, 200, msgspec.json.encode(document), *_FIELDS)

    def _usage(self, asked: dict[str, Any], output_tokens: int) -> dict[str, Any]:
        return {
            "input_tokens": tokens_of(*_texts(asked)),
            "cache_creation_input_tokens": self.cache_write_tokens,
            "cache_read_input_tokens": self.cache_read_tokens,
            "cache_creation": {"ephemeral_5m_input_tokens": self.cache_write_tokens, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output_tokens,
            "service_tier": "standard",
        }

    def _message(self, asked: dict[str, Any]) -> dict[str, Any]:
        words = _words(asked)
        return {
            "model": asked["model"],
            "id": "msg_fixed",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "".join(words)}],
            "stop_reason": _stop_reason(asked, words),
            "stop_sequence": None,
            "usage": self._usage(asked, len(words)),
        }

    def _events(self, asked: dict[str, Any]) -> list[bytes]:
        words = _words(asked)
        opening = self._message(asked) | {"content": [], "stop_reason": None, "usage": self._usage(asked, 1)}
        # The counts of message_delta are cumulative: they replace those of message_start.
        closing = {key: value for key, value in self._usage(asked, len(words)).items() if key.endswith("tokens")}
        delta = {"stop_reason": _stop_reason(asked, words), "stop_sequence": None}
        story: list[dict[str, Any]] = [
            {"type": "message_start", "message": opening},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
                for word in words
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": delta, "usage": closing},
            {"type": "message_stop"},
        ]
        return [event(self.delivery, msgspec.json.encode(each).decode(), each["type"]) for each in story]


def _texts(asked: dict[str, Any]) -> list[str]:
    return texts_of(asked["messages"])


def _words(asked: dict[str, Any]) -> list[str]:
    return output(asked["max_tokens"], _texts(asked)[-1])


def _stop_reason(asked: dict[str, Any], words: list[str]) -> str:
    return "max_tokens" if len(words) == asked["max_tokens"] else "end_turn"


def _error(status: int, message: str) -> Refused:
    error = {"type": _KINDS[status], "message": message}
    fields = [("retry-after", "7")] if status == 429 else []
    return Refused(status, {"type": "error", "error": error, "request_id": "req_fixed"}, *fields)
