"""Answers as the APIs send them, shortened: what each meter test reads."""

CHAT_JSON = b"""{
  "id": "chatcmpl-1",
  "object": "chat.completion", "created": 1741569952, "model": "gpt-4o-mini-2024-07-18",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "\\"usage\\":null"}, "finish_reason": "x"}],
  "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0}}
}"""
CHAT_USAGE = {"input_tokens": 15, "cached_input_tokens": 4, "output_tokens": 10}

_HEAD = b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o-mini"'
_USAGE = b'{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4}}'
_TEXTS = (b"Hel", b'lo \\"usage\\":null', b"", b"\xc3\xa9\\n\\n")


def event(data: bytes, name: bytes = b"", newline: bytes = b"\n") -> bytes:
    line = b"event: " + name + newline if name else b""
    return line + b"data: " + data + newline + newline


def chat_stream(newline: bytes = b"\n", *, asked: bool, done: bool = True) -> bytes:
    """A stream of chat completion chunks; `asked`: with what ``include_usage`` adds."""
    null = b',"usage":null' if asked else b""
    events = [
        _HEAD + b',"choices":[{"index":0,"delta":{"content":"' + text + b'"},"finish_reason":null}]' + null + b"}"
        for text in _TEXTS
    ]
    events.append(
        _HEAD + b',"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]' + null + b',"obfuscation":"x"}'
    )
    if asked:
        events.append(_HEAD + b',"choices":[],"usage":' + _USAGE + b"}")
    if done:
        events.append(b"[DONE]")
    return b"".join(event(data, newline=newline) for data in events)


def chat_stream_beside(newline: bytes = b"\n") -> bytes:
    """As some servers of this dialect do: usage so far beside every choice, the last of it beside the last one."""
    beside = [b'{"prompt_tokens":19,"completion_tokens":%d,"total_tokens":%d}' % (n, 19 + n) for n in range(1, 4)]
    choice = b',"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}],"usage":%b}'
    chunks = [_HEAD + choice % (text, b"null", so_far) for text, so_far in zip(_TEXTS, beside, strict=False)]
    chunks.append(_HEAD + choice % (b"!", b'"stop"', _USAGE))
    return b"".join(event(data, newline=newline) for data in (*chunks, b"[DONE]"))


RESPONSE_JSON = b"""{"id": "resp_1", "object": "response", "status": "completed", "error": null, "output": [],
  "usage": {"input_tokens": 36, "input_tokens_details": {"cached_tokens": 6}, "output_tokens": 87,
            "output_tokens_details": {"reasoning_tokens": 80}, "total_tokens": 123}}"""
RESPONSE_USAGE = {"input_tokens": 30, "cached_input_tokens": 6, "output_tokens": 87}


def response_stream(newline: bytes = b"\n", ending: bytes = b"completed") -> bytes:
    usage = (
        b"null"
        if ending == b"failed"
        else RESPONSE_JSON[RESPONSE_JSON.index(b'{"input_tokens"') : -1].replace(b"\n", b"")
    )
    events = [
        (b"response.created", b'"response":{"id":"resp_1","status":"in_progress","error":null,"usage":null}'),
        (b"response.output_text.delta", b'"delta":"the \\"usage\\" of it"'),
        (b"response." + ending, b'"response":{"id":"resp_1","usage":' + usage + b"}"),
    ]
    return b"".join(event(b'{"type":"' + name + b'",' + rest + b"}", name, newline) for name, rest in events)


EMBEDDINGS_JSON = b"""{"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -2e-05]}],
  "model": "text-embedding-3-small", "usage": {"prompt_tokens": 8, "total_tokens": 8}}"""
EMBEDDINGS_USAGE = {"input_tokens": 8}

MESSAGE_JSON = b"""{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-20250514",
  "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "stop_sequence": null,
  "usage": {"input_tokens": 12, "cache_creation_input_tokens": 248, "cache_read_input_tokens": 1800,
            "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 503, "service_tier": "standard"}}"""
MESSAGE_USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 148,
    "cache_creation_1h_input_tokens": 100,
    "cache_read_input_tokens": 1800,
    "output_tokens": 503,
}


def message_stream(newline: bytes = b"\n", upto: int = 8) -> bytes:
    """The first `upto` of its eight events."""
    start = MESSAGE_JSON.replace(b"\n", b"").replace(b"503", b"1")
    events = [
        (b"message_start", b'"message":' + start),
        (b"content_block_start", b'"index":0,"content_block":{"type":"text","text":""}'),
        (b"ping", b'"x":1'),
        (b"content_block_delta", b'"index":0,"delta":{"type":"text_delta","text":"\\"usage\\" message_stop"}'),
        (b"content_block_stop", b'"index":0'),
        (b"message_delta", b'"delta":{"stop_reason":null},"usage":{"output_tokens":15}'),
        (b"message_delta", b'"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":503}'),
        (b"message_stop", b'"x":1'),
    ]
    return b"".join(event(b'{"type": "' + name + b'",' + rest + b"}", name, newline) for name, rest in events[:upto])
