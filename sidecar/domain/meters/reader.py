"""The two faces of a reader: the whole of a JSON answer, or an event stream as it passes."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from sidecar.domain.price import Number

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


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """How an API reports usage, and what it may cost at most.

    `meters` are what it reads, no token in two of them. `falls_back` names, for a meter without a rate of its own,
    the meter whose rate it takes. `hold` estimates a request's usage (see `hold_terms`). `needles`: an event without
    any of them says nothing about usage; `silent` knows at a glance pieces that hold one and still say nothing.
    `asks`: streams report usage only on request (see `openai_chat`).
    """

    meters: tuple[str, ...]
    read_json: Callable[[bytes], Reading | None]
    open_stream: Callable[[], StreamReading]
    needles: tuple[bytes, ...]
    falls_back: Mapping[str, str] = {}
    hold: Mapping[str, str] = {}
    silent: Callable[[bytes], bool] | None = None
    asks: bool = False
