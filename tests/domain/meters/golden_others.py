"""Answers of APIs as their makers document them, shortened, whole and as streams; see also `golden`."""

from tests.domain.meters.golden import event

COMPLETION_JSON = b"""{"id": "cmpl-1", "object": "text_completion", "model": "gpt-3.5-turbo-instruct",
  "choices": [{"text": "\\n\\nThis is a test", "index": 0, "logprobs": null, "finish_reason": "length"}],
  "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}"""
COMPLETION_USAGE = {"input_tokens": 5, "cached_input_tokens": 0, "output_tokens": 7}


def completion_stream(newline: bytes = b"\n") -> bytes:
    head = b'{"id":"cmpl-1","object":"text_completion","model":"gpt-3.5-turbo-instruct","choices":['
    chunks = [
        head + b'{"text":"This","index":0,"logprobs":null,"finish_reason":null}],"usage":null}',
        head + b'{"text":" is","index":0,"logprobs":null,"finish_reason":"length"}],"usage":null}',
        head + b'],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}',
        b"[DONE]",
    ]
    return b"".join(event(chunk, newline=newline) for chunk in chunks)


_IMAGE_USAGE = (
    b'{"total_tokens": 6390, "input_tokens": 150, "output_tokens": 6240,'
    b' "input_tokens_details": {"text_tokens": 50, "image_tokens": 100}}'
)
IMAGE_JSON = b'{"created": 1713833628, "data": [{"b64_json": "aaaa"}], "usage": ' + _IMAGE_USAGE + b"}"
IMAGE_USAGE = {"input_tokens": 50, "input_image_tokens": 100, "output_tokens": 6240, "output_text_tokens": 0}


def image_stream(newline: bytes = b"\n") -> bytes:
    partial = b'{"type":"image_generation.partial_image","b64_json":"aaaa","partial_image_index":0}'
    done = b'{"type":"image_generation.completed","b64_json":"aaaa","usage":' + _IMAGE_USAGE + b"}"
    return event(partial, b"image_generation.partial_image", newline) + event(
        done, b"image_generation.completed", newline
    )


_TRANSCRIPT_USAGE = (
    b'{"type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 4, "audio_tokens": 10},'
    b' "output_tokens": 45, "total_tokens": 59}'
)
TRANSCRIPT_JSON = b'{"text": "Imagine the wildest \\"usage\\"", "usage": ' + _TRANSCRIPT_USAGE + b"}"
TRANSCRIPT_USAGE = {"input_tokens": 4, "input_audio_tokens": 10, "output_tokens": 45}
WHISPER_JSON = b'{"text": "Imagine", "usage": {"type": "duration", "seconds": 9}}'
WHISPER_USAGE = {"seconds": 9}


def transcript_stream(newline: bytes = b"\n") -> bytes:
    delta = b'{"type":"transcript.text.delta","delta":"Imagine the"}'
    done = b'{"type":"transcript.text.done","text":"Imagine the wildest","usage":' + _TRANSCRIPT_USAGE + b"}"
    return event(delta, newline=newline) + event(done, newline=newline)


def speech_stream(newline: bytes = b"\n") -> bytes:
    delta = b'{"type":"speech.audio.delta","audio":"aaaa"}'
    done = b'{"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}'
    return event(delta, newline=newline) + event(done, newline=newline)


SPEECH_USAGE = {"input_tokens": 14, "input_audio_tokens": 0, "output_audio_tokens": 101}

_GEMINI_USAGE = (
    b'{"promptTokenCount": 1000, "cachedContentTokenCount": 300, "candidatesTokenCount": 80,'
    b' "toolUsePromptTokenCount": 25, "thoughtsTokenCount": 120, "totalTokenCount": 1225,'
    b' "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 750}, {"modality": "AUDIO", "tokenCount": 250}],'
    b' "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 250}, {"modality": "AUDIO", "tokenCount": 50}],'
    b' "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "IMAGE", "tokenCount": 60}]}'
)
GEMINI_JSON = (
    b'{"candidates": [{"content": {"parts": [{"text": "\\"usageMetadata\\""}], "role": "model"},'
    b' "finishReason": "STOP", "index": 0}], "modelVersion": "gemini-2.5-flash", "usageMetadata": '
    + _GEMINI_USAGE
    + b"}"
)
GEMINI_USAGE = {
    "input_tokens": 500 + 25,
    "input_audio_tokens": 200,
    "cached_input_tokens": 250,
    "cached_input_audio_tokens": 50,
    "output_tokens": 20 + 120,
    "output_image_tokens": 60,
    "output_audio_tokens": 0,
}


def gemini_chunks() -> list[bytes]:
    head = b'{"candidates":[{"content":{"parts":[{"text":"He"}],"role":"model"},"index":0}],"usageMetadata":'
    return [
        head + b'{"promptTokenCount":1000,"totalTokenCount":1000,"thoughtsTokenCount":60}}',
        head
        + b'{"promptTokenCount":1000,"candidatesTokenCount":40,"totalTokenCount":1160,"thoughtsTokenCount":120}}',
        GEMINI_JSON,
    ]


def gemini_stream(newline: bytes = b"\r\n") -> bytes:
    return b"".join(event(chunk, newline=newline) for chunk in gemini_chunks())


GEMINI_ARRAY = b"[" + b"\n,\r\n".join(gemini_chunks()) + b"]\n"

_MISTRAL_USAGE = (
    b'{"prompt_tokens": 16, "total_tokens": 50, "completion_tokens": 34, "prompt_audio_seconds": 12,'
    b' "prompt_tokens_details": {"cached_tokens": 6}}'
)
MISTRAL_JSON = (
    b'{"id": "cmpl-e5", "object": "chat.completion", "model": "mistral-small-latest", "usage": '
    + _MISTRAL_USAGE
    + b', "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}'
)
MISTRAL_USAGE = {"input_tokens": 10, "cached_input_tokens": 6, "input_audio_seconds": 12, "output_tokens": 34}


def mistral_stream(newline: bytes = b"\n") -> bytes:
    head = b'{"id":"cmpl-e5","object":"chat.completion.chunk","model":"mistral-small-latest","choices":'
    chunks = [
        head + b'[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
        head + b'[{"index":0,"delta":{"content":"the \\"usage\\""},"finish_reason":null}]}',
        head + b'[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":' + _MISTRAL_USAGE + b"}",
        b"[DONE]",
    ]
    return b"".join(event(chunk, newline=newline) for chunk in chunks)


_COHERE_USAGE = (
    b'{"billed_units": {"input_tokens": 5, "output_tokens": 418.0, "search_units": 1},'
    b' "tokens": {"input_tokens": 71, "output_tokens": 418}}'
)
COHERE_JSON = (
    b'{"id": "c14c", "finish_reason": "COMPLETE", "message": {"role": "assistant",'
    b' "content": [{"type": "text", "text": "Hi"}]}, "usage": ' + _COHERE_USAGE + b"}"
)
COHERE_USAGE = {"input_tokens": 5, "output_tokens": 418, "search_units": 1}


def cohere_stream(newline: bytes = b"\n") -> bytes:
    events = [
        (b"message-start", b'"id":"29f1","delta":{"message":{"role":"assistant","content":[]}}'),
        (b"content-delta", b'"index":0,"delta":{"message":{"content":{"text":"a \\"message-end\\""}}}'),
        (b"content-end", b'"index":0'),
        (b"message-end", b'"delta":{"finish_reason":"COMPLETE","usage":' + _COHERE_USAGE + b"}"),
    ]
    return b"".join(event(b'{"type":"' + name + b'",' + rest + b"}", name, newline) for name, rest in events)


_OLLAMA_COUNTS = (
    b'"total_duration":4883583458,"load_duration":1334875,"prompt_eval_count":26,"prompt_eval_duration":342546000,'
    b'"eval_count":282,"eval_duration":4535599000'
)
_OLLAMA_HEAD = b'{"model":"llama3.2","created_at":"2025-08-04T19:22:45.499127Z",'
OLLAMA_JSON = (
    _OLLAMA_HEAD
    + b'"message":{"role":"assistant","content":"\\"eval_count\\""},"done_reason":"stop","done":true,'
    + _OLLAMA_COUNTS
    + b"}"
)
OLLAMA_USAGE = {"input_tokens": 26, "output_tokens": 282, "duration_ns": 4_883_583_458}
OLLAMA_EMBED_JSON = b"""{"model": "all-minilm", "embeddings": [[0.01, -0.0017]],
  "total_duration": 14143917, "load_duration": 1019500, "prompt_eval_count": 8}"""
OLLAMA_EMBED_USAGE = {"input_tokens": 8, "output_tokens": 0, "duration_ns": 14_143_917}


def ollama_stream(newline: bytes = b"\n") -> bytes:
    lines = [
        _OLLAMA_HEAD + b'"message":{"role":"assistant","content":"The"},"done":false}',
        _OLLAMA_HEAD + b'"message":{"role":"assistant","content":"\\"eval_count\\""},"done":false}',
        _OLLAMA_HEAD
        + b'"message":{"role":"assistant","content":""},"done_reason":"stop","done":true,'
        + _OLLAMA_COUNTS
        + b"}",
    ]
    return b"".join(line + newline for line in lines)
