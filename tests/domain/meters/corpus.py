"""All golden answers by reader: whole ones, and streams with the framing that they come in."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.domain.meters import golden, golden_bedrock
from tests.domain.meters import golden_others as others

JSON = {b"content-type": b"application/json; charset=utf-8"}
EVENTS = {b"content-type": b"text/event-stream; charset=utf-8"}
LINES = {b"content-type": b"application/x-ndjson"}
FRAMES = {b"content-type": b"application/vnd.amazon.eventstream"}


class Golden(NamedTuple):
    """One answer: what reads it, its head and body, what it says."""

    name: str
    reader: str
    head: Mapping[bytes, bytes]
    body: bytes
    usage: Mapping[str, int]


class Events(NamedTuple):
    """One stream of events, with any end of lines."""

    name: str
    reader: str
    stream: Callable[[bytes], bytes]
    usage: Mapping[str, int]


WHOLE = [
    Golden("chat", "openai.chat", JSON, golden.CHAT_JSON, golden.CHAT_USAGE),
    Golden("response", "openai.responses", JSON, golden.RESPONSE_JSON, golden.RESPONSE_USAGE),
    Golden("completion", "openai.completions", JSON, others.COMPLETION_JSON, others.COMPLETION_USAGE),
    Golden("embeddings", "openai.embeddings", JSON, golden.EMBEDDINGS_JSON, golden.EMBEDDINGS_USAGE),
    Golden("image", "openai.images", JSON, others.IMAGE_JSON, others.IMAGE_USAGE),
    Golden("transcript", "openai.audio", JSON, others.TRANSCRIPT_JSON, others.TRANSCRIPT_USAGE),
    Golden("whisper", "openai.audio", JSON, others.WHISPER_JSON, others.WHISPER_USAGE),
    Golden("message", "anthropic.messages", JSON, golden.MESSAGE_JSON, golden.MESSAGE_USAGE),
    Golden("gemini", "google.gemini", JSON, others.GEMINI_JSON, others.GEMINI_USAGE),
    Golden("gemini array", "google.gemini", JSON, others.GEMINI_ARRAY, others.GEMINI_USAGE),
    Golden("mistral", "mistral.chat", JSON, others.MISTRAL_JSON, others.MISTRAL_USAGE),
    Golden("cohere", "cohere.chat", JSON, others.COHERE_JSON, others.COHERE_USAGE),
    Golden("converse", "bedrock", JSON, golden_bedrock.CONVERSE_JSON, golden_bedrock.CONVERSE_USAGE),
    Golden("ollama", "ollama", JSON, others.OLLAMA_JSON, others.OLLAMA_USAGE),
    Golden("ollama embed", "ollama", JSON, others.OLLAMA_EMBED_JSON, others.OLLAMA_EMBED_USAGE),
]
EVENT_STREAMS = [
    Events("chat", "openai.chat", lambda end: golden.chat_stream(end, asked=True), golden.CHAT_USAGE),
    Events("chat beside", "openai.chat", golden.chat_stream_beside, golden.CHAT_USAGE),
    Events("response", "openai.responses", golden.response_stream, golden.RESPONSE_USAGE),
    Events("completion", "openai.completions", others.completion_stream, others.COMPLETION_USAGE),
    Events("image", "openai.images", others.image_stream, others.IMAGE_USAGE),
    Events("transcript", "openai.audio", others.transcript_stream, others.TRANSCRIPT_USAGE),
    Events("speech", "openai.audio", others.speech_stream, others.SPEECH_USAGE),
    Events("message", "anthropic.messages", golden.message_stream, golden.MESSAGE_USAGE),
    Events("gemini", "google.gemini", others.gemini_stream, others.GEMINI_USAGE),
    Events("mistral", "mistral.chat", others.mistral_stream, others.MISTRAL_USAGE),
    Events("cohere", "cohere.chat", others.cohere_stream, others.COHERE_USAGE),
]


def _in_lines(stream: bytes) -> bytes:
    """The same events, the data of each in several lines."""
    return stream.replace(b',"', b'\ndata: ,"')


def _commented(stream: bytes) -> bytes:
    """The same events, behind a mark of their encoding and with comments and other fields between."""
    return b"\xef\xbb\xbf" + stream.replace(b"\n\n", b'\nid: 7\n\n: {"usage": keep alive\n\n')


WAYS: Mapping[str, Callable[[Events], bytes]] = {
    "LF": lambda events: events.stream(b"\n"),
    "CRLF": lambda events: events.stream(b"\r\n"),
    "CR": lambda events: events.stream(b"\r"),
    "in lines": lambda events: _in_lines(events.stream(b"\n")),
    "commented": lambda events: _commented(events.stream(b"\n")),
}
"""How servers may write the same events."""
STREAMS = [
    *(
        Golden(f"{each.name} {way}", each.reader, EVENTS, write(each), each.usage)
        for way, write in WAYS.items()
        for each in EVENT_STREAMS
    ),
    Golden("ollama", "ollama", LINES, others.ollama_stream(), others.OLLAMA_USAGE),
    Golden("ollama CRLF", "ollama", LINES, others.ollama_stream(b"\r\n"), others.OLLAMA_USAGE),
    Golden("converse", "bedrock", FRAMES, b"".join(golden_bedrock.converse_stream()), golden_bedrock.CONVERSE_USAGE),
    Golden("invoke", "bedrock", FRAMES, b"".join(golden_bedrock.invoke_stream()), golden_bedrock.INVOKE_USAGE),
]
INVOKED = Golden(
    "invoke", "bedrock", golden_bedrock.INVOKE_HEAD, golden_bedrock.INVOKE_JSON, golden_bedrock.INVOKE_USAGE
)
ALL = [*WHOLE, *STREAMS, INVOKED]
