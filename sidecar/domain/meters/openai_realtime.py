"""OpenAI realtime sessions over WebSockets: each response that ends says what it has used, and all of them add up."""

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded

METERS = (
    "input_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "cached_input_tokens",
    "cached_input_audio_tokens",
    "output_tokens",
    "output_audio_tokens",
)


class _Tokens(msgspec.Struct, gc=False):
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _Input(_Tokens, gc=False):
    cached_tokens: int | None = None
    cached_tokens_details: _Tokens | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: _Input | None = None
    output_token_details: _Tokens | None = None

    def reading(self) -> Reading | None:
        """Each class is inside the total of its side, cached sound inside sound and inside what is cached.

        None when the numbers contradict.
        """
        given, written = self.input_token_details or _Input(), self.output_token_details or _Tokens()
        of_cache = given.cached_tokens_details or _Tokens()
        cached, cached_audio = given.cached_tokens or 0, of_cache.audio_tokens or 0
        cached_image = of_cache.image_tokens or 0
        audio, image = (given.audio_tokens or 0) - cached_audio, (given.image_tokens or 0) - cached_image
        output_audio = written.audio_tokens or 0
        reading: Reading = {
            "input_tokens": self.input_tokens - cached - audio - image,
            "input_audio_tokens": audio,
            "input_image_tokens": image,
            "cached_input_tokens": cached - cached_audio,
            "cached_input_audio_tokens": cached_audio,
            "output_tokens": self.output_tokens - output_audio,
            "output_audio_tokens": output_audio,
        }
        return reading if all(0 <= read <= MAX_AMOUNT for read in reading.values()) else None


class _Response(msgspec.Struct, gc=False):
    usage: _Usage | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: _Response | None = None


_event = msgspec.json.Decoder(_Event)


class RealtimeSession(Silence):
    """Sums up ``response.done``; a response that has begun and not ended makes the usage unknown."""

    def __init__(self) -> None:
        super().__init__()
        self.usage = dict.fromkeys(METERS, 0)
        self.seen = True
        self._open = 0

    def read(self, data: bytes) -> None:
        event = decoded(_event, data)
        if event is None:
            return
        if event.type == "response.created":
            self._open += 1
        elif event.type == "response.done":
            self._open = max(self._open - 1, 0)
            usage = event.response.usage if event.response is not None else None
            reading = usage.reading() if usage is not None else {}
            if reading is None:
                self._open = MAX_AMOUNT
            else:
                self.usage = {meter: self.usage[meter] + reading.get(meter, 0) for meter in METERS}
        self.seen = not self._open


READER = Reader(
    meters=METERS,
    falls_back={
        "input_audio_tokens": "input_tokens",
        "input_image_tokens": "input_tokens",
        "cached_input_tokens": "input_tokens",
        "cached_input_audio_tokens": "cached_input_tokens",
        "output_audio_tokens": "output_tokens",
    },
    hold={"input_tokens": "32768", "output_tokens": "4096"},
    read_json=lambda _body: None,
    open_stream=Silence,
    open_messages=RealtimeSession,
    needles=(b'"response.created"', b'"response.done"'),
)
