"""What models on Amazon Bedrock have written: Converse in one way, InvokeModel in the way of each model's maker."""

import binascii
from typing import Any

import msgspec

from sidecar.domain.meters import openai_chat
from sidecar.domain.meters.frames import payload_of
from sidecar.domain.meters.reader import decoded
from sidecar.domain.meters.text import joined


class _Tool(msgspec.Struct, gc=False):
    input: Any = None


class _ReasoningText(msgspec.Struct, gc=False):
    text: Any = None


class _Reasoning(msgspec.Struct, gc=False, rename="camel"):
    text: Any = None
    reasoning_text: _ReasoningText | None = None


class _Block(msgspec.Struct, gc=False):
    """A block of content, or what is added to one, of Converse or of Anthropic's models."""

    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    input: Any = None
    tool_use: _Tool | None = msgspec.field(default=None, name="toolUse")
    reasoning: _Reasoning | None = msgspec.field(default=None, name="reasoningContent")

    def texts(self) -> tuple[Any, ...]:
        reasoning = self.reasoning
        thought = reasoning and (reasoning.text or (reasoning.reasoning_text and reasoning.reasoning_text.text))
        tool = self.tool_use and self.tool_use.input
        return self.text, self.thinking, self.partial_json, self.input, tool, thought


class _Message(msgspec.Struct, gc=False):
    content: list[_Block] = []


class _Output(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Added(msgspec.Struct, gc=False):
    delta: _Block | None = None


class _Result(msgspec.Struct, gc=False, rename="camel"):
    text: Any = None
    output_text: Any = None


class _Written(msgspec.Struct, gc=False, rename="camel"):
    """Converse and Nova: `output`; Claude: `content`; Llama: `generation`; Titan: `results`; Mistral: `outputs`."""

    output: _Output | None = None
    content: list[_Block] | None = None
    delta: _Block | None = None
    content_block_delta: _Added | None = None
    generation: Any = None
    completion: Any = None
    output_text: Any = None
    results: list[_Result] | None = None
    outputs: list[_Result] | None = None
    choices: Any = None


class _Payload(msgspec.Struct, gc=False):
    bytes: str | None = None


_written = msgspec.json.Decoder(_Written)
_payload = msgspec.json.Decoder(_Payload)


def text_of(data: bytes) -> str | None:
    """Text, thoughts and the input of tools, of a JSON answer or of a whole message of a stream."""
    if data[:1] != b"\0":
        return _text_of_json(data)
    text = payload_of(data)
    payload = decoded(_payload, text)
    if payload is None or payload.bytes is None:
        return _text_of_json(text)
    try:
        return _text_of_json(binascii.a2b_base64(payload.bytes))
    except ValueError:
        return None


def _text_of_json(data: bytes) -> str | None:
    written = decoded(_written, data)
    if written is None:
        return None
    if written.choices is not None:
        return openai_chat.text_of(data)
    message, added = written.output and written.output.message, written.content_block_delta
    blocks = (*(message.content if message else ()), *(written.content or ()), written.delta, added and added.delta)
    texts = [text for block in blocks if block is not None for text in block.texts()]
    texts += (written.generation, written.completion, written.output_text)
    texts += (
        text
        for each in (*(written.results or ()), *(written.outputs or ()))
        for text in (each.text, each.output_text)
    )
    return joined(texts)
