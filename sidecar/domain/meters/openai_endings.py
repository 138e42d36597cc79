"""The ends of OpenAI's streams: chat and text completions, and what speaks their dialect; responses."""

from typing import Any, ClassVar

import msgspec

from sidecar.domain.meters.endings import NOTE, LatestEvents, data_in, error_event, event, json, tokens
from sidecar.domain.meters.events import data_of, events_in
from sidecar.domain.meters.reader import decoded
from sidecar.domain.meters.text import DONE
from sidecar.domain.price import Usage

_INDEX = b'"index":'
_FIRST = (b'"index":0', b'"index": 0')
_FINISHED = (b'"finish_reason":"', b'"finish_reason": "')


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] = []


class _About(msgspec.Struct, gc=False, omit_defaults=True):
    """What all chunks of an answer say alike; `usage` is there if the client has asked for it."""

    id: Any = msgspec.UNSET
    object: Any = msgspec.UNSET
    created: Any = msgspec.UNSET
    model: Any = msgspec.UNSET
    system_fingerprint: Any = msgspec.UNSET
    service_tier: Any = msgspec.UNSET
    usage: Any = msgspec.UNSET


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    sequence_number: int = 0
    response: dict[str, Any] | None = None


_chunk = msgspec.json.Decoder(_Chunk)
_about = msgspec.json.Decoder(_About)
_event = msgspec.json.Decoder(_Event)


class ChatEnding(LatestEvents):
    """A chunk that gives each open choice its reason to finish, usage if it was asked for, and ``[DONE]``."""

    empty: ClassVar[dict[str, Any]] = {"delta": {}}

    def __init__(self) -> None:
        super().__init__()
        self._indexes = {0}
        self._finished: set[int] = set()

    def pass_on(self, events: bytes) -> None:
        self.latest = events
        if events.count(_INDEX) != events.count(_FIRST[0]) + events.count(_FIRST[1]) or any(
            events.find(mark) >= 0 for mark in _FINISHED
        ):
            self._look(events)

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        about = _said_by_all(self.latest) or _said_by_all(refused) or _About()
        asked, about.usage = about.usage, msgspec.UNSET
        said = msgspec.to_builtins(about)
        into, out = tokens(usage)
        counts = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
        choices = [
            {"index": index, **self.empty, "logprobs": None, "finish_reason": "length"}
            for index in sorted(self._indexes - self._finished)
        ]
        return NOTE + b"".join(map(event, map(json, self._chunks(said, choices, counts, asked)))) + event(DONE)

    def _chunks(self, said: Any, choices: list[Any], counts: Any, asked: Any) -> list[Any]:
        chunks = [said | {"choices": choices}]
        if asked is not msgspec.UNSET:
            chunks[0]["usage"] = None
            chunks.append(said | {"choices": [], "usage": counts})
        return chunks

    def _look(self, events: bytes) -> None:
        for each in events_in(events):
            chunk = decoded(_chunk, data_of(each))
            for choice in chunk.choices if chunk is not None else ():
                self._indexes.add(choice.index)
                if choice.finish_reason is not None:
                    self._finished.add(choice.index)


class CompletionEnding(ChatEnding):
    """The same, with text where chat has messages."""

    empty: ClassVar[dict[str, Any]] = {"text": ""}


class UnaskedUsageEnding(ChatEnding):
    """Mistral's: the chunk that ends the answer reports usage."""

    def _chunks(self, said: Any, choices: list[Any], counts: Any, asked: Any) -> list[Any]:  # noqa: ARG002
        return [said | {"choices": choices, "usage": counts}]


class ResponseEnding(LatestEvents):
    """``response.incomplete``, with the response as it was created: what was written is in the deltas only."""

    def __init__(self) -> None:
        super().__init__()
        self._created: dict[str, Any] | None = None

    def pass_on(self, events: bytes) -> None:
        self.latest = events
        if self._created is None:
            self._created = _created(events)

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:
        opening, created = b"", self._created
        if created is None:
            opening, created = refused, _created(refused)
        if created is None:
            return error_event(reservation_id)
        latest = decoded(_event, data_in(self.latest or refused))
        into, out = tokens(usage)
        response = created | {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "usage": {
                "input_tokens": into,
                "input_tokens_details": {"cached_tokens": int(usage.get("cached_input_tokens", 0))},
                "output_tokens": out,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": into + out,
            },
        }
        number = latest.sequence_number + 1 if latest is not None else 0
        said = {"type": "response.incomplete", "sequence_number": number, "response": response}
        return opening + NOTE + event(json(said), "response.incomplete")


def _said_by_all(events: bytes) -> _About | None:
    about = None
    for each in events_in(events):
        found = decoded(_about, data_of(each))
        about = found if found is not None and found.id is not msgspec.UNSET else about
    return about


def _created(events: bytes) -> dict[str, Any] | None:
    for each in events_in(events):
        found = decoded(_event, data_of(each))
        if found is not None and found.response is not None:
            return found.response
    return None
