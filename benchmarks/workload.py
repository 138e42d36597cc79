"""What every case is sent and what the upstream answers: a small chat completion, plain or as a paced stream."""

CHAT_PATH = "/v1/chat/completions"
FREE_PATH = "/v1/free/completions"
BULK_PATH = "/v1/bulk"

CUSTOMERS = 1_000
BODY_BYTES = 240
ANSWER_BYTES = 205
CHUNKS_PER_ANSWER = 200
CHUNK_INTERVAL_S = 0.005
BULK_BYTES = 1 << 30

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": "benchmark/1",
}
"""With Host, Authorization and Content-Length each request has seven."""


def request_body(*, stream: bool) -> bytes:
    """A chat completion's request, `BODY_BYTES` long."""
    start = '{"model":"gpt-4o-mini","max_tokens":64,' + ('"stream":true,' if stream else "")
    start += '"messages":[{"role":"user","content":"'
    end = '"}]}'
    return (start + "why is the sky blue? ".ljust(BODY_BYTES - len(start) - len(end), "x") + end).encode()


def answer_body() -> bytes:
    """A chat completion's answer with its usage, `ANSWER_BYTES` long."""
    start = '{"id":"c1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":'
    start += '{"role":"assistant","content":"'
    end = '"}}],"usage":{"prompt_tokens":31,"completion_tokens":12,"total_tokens":43}}'
    return (start.ljust(ANSWER_BYTES - len(end), "y") + end).encode()


def event(sent_at_ns: int) -> bytes:
    """One piece of a streamed answer; its id is the instant at which it was sent, so that a reader sees its delay."""
    return (
        b'data: {"id":"chatcmpl-%d","object":"chat.completion.chunk","model":"gpt-4o-mini",'
        b'"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n' % sent_at_ns
    )


LAST_EVENTS = (
    b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","model":"gpt-4o-mini","choices":[],'
    b'"usage":{"prompt_tokens":31,"completion_tokens":200,"total_tokens":231}}\n\n'
    b"data: [DONE]\n\n"
)
