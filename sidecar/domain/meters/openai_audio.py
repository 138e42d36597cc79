"""OpenAI audio: what transcriptions, translations and streamed speech report, tokens or seconds by model.

Speech that comes as sound, and transcripts that come as text or subtitles, report nothing.
"""

from decimal import Decimal

import msgspec

from sidecar.domain.meters.pointers import number
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, sound


class _Details(msgspec.Struct, gc=False):
    audio_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    type: str = "tokens"
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _Details | None = None
    seconds: Decimal | None = None

    def reading(self, spoken: str) -> Reading | None:
        """Sound is inside the input of a transcript; `spoken` is the meter of the output."""
        if self.type == "duration":
            seconds = number(self.seconds)
            return {"seconds": seconds} if seconds is not None else None
        if self.input_tokens is None or self.output_tokens is None:
            return None
        audio = (self.input_token_details and self.input_token_details.audio_tokens) or 0
        return sound(
            {
                "input_tokens": self.input_tokens - audio,
                "input_audio_tokens": audio,
                spoken: self.output_tokens,
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
    return answer.usage.reading("output_tokens") if answer is not None else None


class Stream(Silence):
    """``transcript.text.done`` and ``speech.audio.done`` carry the usage; the output of speech is sound."""

    def read(self, data: bytes) -> None:
        event = decoded(_event, data)
        if event is None:
            return
        self.failed = self.failed or event.type == "error"
        spoken = "output_audio_tokens" if event.type.startswith("speech.") else "output_tokens"
        reading = event.usage.reading(spoken) if event.usage is not None else None
        if reading is not None:
            self.usage = reading
            self.seen = self.final = True


READER = Reader(
    meters=("input_tokens", "input_audio_tokens", "output_tokens", "output_audio_tokens", "seconds"),
    falls_back={"input_audio_tokens": "input_tokens", "output_audio_tokens": "output_tokens"},
    apart=("output_tokens", "seconds"),
    # Sound of 64 kbit/s, at ten tokens a second, spoken at five.
    hold={
        "input_tokens": "1024",
        "input_audio_tokens": "request.body_bytes / 800",
        "output_tokens": "request.body_bytes / 1600",
        "seconds": "request.body_bytes / 8000",
    },
    read_json=read_json,
    open_stream=Stream,
    needles=(b'"usage"', b'"error"'),
)
