"""The faces of a reader: the head of an answer, the whole of a JSON answer, or a stream of events as it passes."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.fields import Fields
from sidecar.domain.meters.endings import Ending
from sidecar.domain.meters.text import PlainText, TextOf
from sidecar.domain.price import Number

_T = TypeVar("_T")

Reading = dict[str, Number]


class StreamReading(Protocol):
    """What one event stream has said so far; it sees the data of each event that holds one of the reader's needles.

    `usage` is the latest word on each meter, `seen` whether it is all that the stream has to say if it ends in order,
    `final` whether nothing can follow that changes it, and `failed` whether the stream reported an error.
    """

    @property
    def usage(self) -> Reading: ...

    @property
    def seen(self) -> bool: ...

    @property
    def final(self) -> bool: ...

    @property
    def failed(self) -> bool: ...

    def read(self, data: bytes) -> None: ...


class Silence:
    """A stream that has said nothing: what other readings begin as, and all there is of an API without streams."""

    def __init__(self) -> None:
        self.usage: Reading = {}
        self.seen = False
        self.final = False
        self.failed = False

    def read(self, data: bytes) -> None:
        """Nothing to read."""


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """How an API reports usage, and what it may cost at most.

    `meters` are what it reads, no token in two of them. `falls_back` names, for a meter without a rate of its own,
    the meter whose rate it takes. `apart` are meters of which an answer may report only one kind: a price that has
    a rate for any of them needs one for each. `hold` estimates a request's usage (see `hold_terms`). `needles`: an
    event without any of them says nothing about usage; `silent` knows at a glance pieces that hold one and still say
    nothing. `asks`: streams report usage only on request (see `openai_chat`).

    `read_head` looks for usage in the fields of an answer's head, where some APIs have it. `open_lines` is for a
    stream of lines if that is not read as events are, `open_messages` for the messages of a WebSocket.
    `whole_events`: a stream's reading takes events as they came.

    `estimates` are the meters that can be estimated: ``input_tokens`` from the request, ``output_tokens`` from the
    answer's text, which `text_of` finds in the whole of a JSON answer and in what `read` gets of a stream;
    `plain_text` knows where a stream usually has it. `ending` ends a stream before its upstream does.
    """

    meters: tuple[str, ...]
    read_json: Callable[[bytes], Reading | None]
    open_stream: Callable[[], StreamReading]
    needles: tuple[bytes, ...]
    falls_back: Mapping[str, str] = {}
    apart: tuple[str, ...] = ()
    hold: Mapping[str, str] = {}
    silent: Callable[[bytes], bool] | None = None
    asks: bool = False
    read_head: Callable[[Fields], Reading | None] | None = None
    open_lines: Callable[[], StreamReading] | None = None
    open_messages: Callable[[], StreamReading] | None = None
    whole_events: bool = False
    estimates: tuple[str, ...] = ()
    text_of: TextOf | None = None
    plain_text: PlainText | None = None
    ending: Callable[[], Ending] | None = None


def decoded(decoder: msgspec.json.Decoder[_T], text: bytes) -> _T | None:
    """What `decoder` makes of a text, None when it cannot: no answer whatsoever is an error here."""
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def sound(reading: Reading) -> Reading | None:
    """`reading`, unless a number in it is none that usage can be: then whoever wrote it contradicts himself."""
    for read in reading.values():
        if not 0 <= read <= MAX_AMOUNT:
            return None
    return reading


def over(latest: _T, earlier: _T) -> _T:
    """The latest word on each field of a record: that of `latest` where it has one."""
    fields = latest.__struct_fields__  # type: ignore[attr-defined] # records of msgspec only
    values = ((getattr(latest, name), getattr(earlier, name)) for name in fields)
    return type(latest)(*(later if later is not None else before for later, before in values))
