"""The ends of streams of Gemini, Cohere and Ollama."""

from typing import Any

import msgspec

from sidecar.domain.meters.endings import CODE, NOTE, LatestEvents, data_in, event, json, tokens
from sidecar.domain.meters.reader import decoded
from sidecar.domain.price import Usage

_object: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class GeminiEnding(LatestEvents):
    """A chunk that gives the candidates of the latest one their reason to finish."""

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        latest = decoded(_object, data_in(self.latest or refused)) or {}
        into, out = tokens(usage)
        counts = {"promptTokenCount": into, "candidatesTokenCount": out, "totalTokenCount": into + out}
        candidates = latest.get("candidates")
        indexes = [each.get("index", 0) for each in candidates if isinstance(each, dict)] if candidates else [0]
        chunk = latest | {
            "candidates": [
                {
                    "content": {"parts": [{"text": ""}], "role": "model"},
                    "finishReason": "MAX_TOKENS",
                    "index": index,
                }
                for index in indexes
            ],
            "usageMetadata": latest.get("usageMetadata") or counts,
        }
        return NOTE + event(json(chunk))


class CohereEnding(LatestEvents):
    """The open content ends, then the message."""

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        latest = decoded(_object, data_in(self.latest)) or {}
        into, out = tokens(usage)
        counts = {"input_tokens": into, "output_tokens": out}
        delta = {"finish_reason": "MAX_TOKENS", "usage": {"billed_units": counts, "tokens": counts}}
        stop = b""
        if latest.get("type") in {"content-start", "content-delta"}:
            stop = event(json({"type": "content-end", "index": latest.get("index", 0)}), "content-end")
        return NOTE + stop + event(json({"type": "message-end", "delta": delta}), "message-end")


class OllamaEnding(LatestEvents):
    """A line that says that it is done."""

    framing = "lines"

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        lines = (self.latest or refused).splitlines() or [b""]
        latest = decoded(_object, lines[-1]) or {}
        into, out = tokens(usage)
        line: dict[str, Any] = {name: latest[name] for name in ("model", "created_at") if name in latest}
        line |= {"response": ""} if "response" in latest else {"message": {"role": "assistant", "content": ""}}
        line |= {"done": True, "done_reason": "length", "prompt_eval_count": into, "eval_count": out, CODE: True}
        return json(line) + b"\n"
