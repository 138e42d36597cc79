"""What a caller of the API has said of a reservation or of usage: kept with the hold, and in the ledger at its end.

In the store a note is one word of the hold's text, so it has no spaces. The proxy's holds have none.
"""

import base64
import binascii
from collections.abc import Mapping

import msgspec

from sidecar.domain.customers import checked_metadata
from sidecar.domain.errors import InvalidInput

NOTE_MAX_CHARACTERS = 8_192
_METADATA = "metadata."
"""What the names of metadata begin with among the details of a ledger entry."""

_encode = msgspec.json.Encoder().encode


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`asked` is who asked, for whom and why; `event_at_ms` when it really happened, if that was not now."""

    metadata: dict[str, str] = {}
    asked: dict[str, str] = {}
    event_at_ms: int | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, str], asked: Mapping[str, str], event_at_ms: int | None = None) -> "Note":
        """A note that is small enough to be kept; or InvalidInput.

        The id of the request is left out: what is asked again says the same.
        """
        asked = {name: text for name, text in asked.items() if name != "request_id"}
        note = cls(metadata=checked_metadata(metadata), asked=asked, event_at_ms=event_at_ms)
        if len(note.word) > NOTE_MAX_CHARACTERS:
            raise InvalidInput("metadata must have at most about 6000 characters in all.", "metadata")
        return note

    @property
    def word(self) -> str:
        """The note as one word; empty if it says nothing."""
        packed = _encode(self)
        return "" if packed == b"{}" else base64.urlsafe_b64encode(packed).decode()

    @property
    def detail(self) -> dict[str, str]:
        """What a ledger entry keeps of it."""
        return self.asked | {f"{_METADATA}{name}": value for name, value in self.metadata.items()}


NO_NOTE = Note()

_decoder = msgspec.json.Decoder(Note)


def note_of(word: str) -> Note:
    """What a word says. Raises ValueError for what is no note."""
    if not word:
        return NO_NOTE
    try:
        return _decoder.decode(base64.urlsafe_b64decode(word))
    except (binascii.Error, msgspec.MsgspecError) as error:
        raise ValueError(f"{word!r} is no note") from error


def told_apart(detail: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Of the details of a ledger entry: who asked, and the metadata."""
    asked = {name: value for name, value in detail.items() if not name.startswith(_METADATA)}
    metadata = {name.removeprefix(_METADATA): detail[name] for name in detail if name.startswith(_METADATA)}
    return asked, metadata
