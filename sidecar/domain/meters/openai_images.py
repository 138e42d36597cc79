"""OpenAI images: the tokens of models that are charged by tokens, text and images apart.

Others (DALL·E) report nothing: they cost by image, which the request tells (see `request_meters`).
"""

import msgspec

from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, sound


class _Details(msgspec.Struct, gc=False):
    text_tokens: int | None = None
    image_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int
    output_tokens: int
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None

    def reading(self) -> Reading | None:
        """Image tokens are inside the input, text tokens inside the output; None for a contradiction."""
        image = (self.input_tokens_details and self.input_tokens_details.image_tokens) or 0
        text = (self.output_tokens_details and self.output_tokens_details.text_tokens) or 0
        return sound(
            {
                "input_tokens": self.input_tokens - image,
                "input_image_tokens": image,
                "output_tokens": self.output_tokens - text,
                "output_text_tokens": text,
            }
        )


class _Answer(msgspec.Struct, gc=False):
    usage: _Usage


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)
_event = msgspec.json.Decoder(_Event)


def read_json(body: bytes) -> Reading | None:
    answer = decoded(_answer, body)
    return answer.usage.reading() if answer is not None else None


class Stream(Silence):
    """``image_generation.completed`` and ``image_edit.completed`` carry the usage."""

    def read(self, data: bytes) -> None:
        event = decoded(_event, data)
        if event is None:
            return
        self.failed = self.failed or event.type == "error" or event.type.endswith(".failed")
        reading = event.usage.reading() if event.usage is not None else None
        if reading is not None:
            self.usage = reading
            self.seen = self.final = True


READER = Reader(
    meters=("input_tokens", "input_image_tokens", "output_tokens", "output_text_tokens"),
    falls_back={"input_image_tokens": "input_tokens", "output_text_tokens": "output_tokens"},
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "6240 * (request.n or 1)",
    },
    read_json=read_json,
    open_stream=Stream,
    needles=(b'"usage"', b'"error"', b'.failed"'),
)
