"""A customer, and what may be said of it."""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.overage import Overage
from sidecar.domain.periods import PeriodTerms

NAME_MAX_CHARACTERS = 255

NO_METADATA: Mapping[str, str] = MappingProxyType({})
ALIASES_MAX = 100
METADATA_MAX = 50
METADATA_NAME_MAX_CHARACTERS = 64
METADATA_VALUE_MAX_CHARACTERS = 500

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Status(StrEnum):
    """Whether a customer may spend."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    MERGED = "merged"
    """It is another customer now, for ever."""


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays. `external_id` is the operator's own name of the customer."""

    customer_id: str
    external_id: str
    display_name: str
    status: str
    created_at_ms: int
    parent_id: str | None = None
    """Who pays for it, if not itself."""
    metadata: Mapping[str, str] = {}
    version: int = 1
    """One more with each change."""
    merged_into: str | None = None
    overage: Mapping[str, Overage] = {}
    """By unit, what becomes of requests that its credit does not cover; they are refused where there is nothing."""
    periods: Mapping[str, PeriodTerms] = {}
    """By unit, what it gets in each period and what of it is carried; none where there is nothing."""
    aliases: tuple[str, ...] = ()
    """External ids of customers that were merged into it; of one that is being merged, what the other gets."""

    @property
    def external_ids(self) -> tuple[str, ...]:
        """All that it is called by."""
        return self.external_id, *self.aliases


def checked_external_id(text: str) -> str:
    """NFC of `text`: 1 to 255 characters, no control characters, no space at its ends; or `InvalidInput`."""
    external_id = checked_name(text, "external_id")
    if not external_id:
        raise InvalidInput("external_id must not be empty.", "external_id")
    return external_id


def checked_name(text: str, what: str) -> str:
    """The same for a name that may be empty."""
    name = unicodedata.normalize("NFC", text)
    if len(name) > NAME_MAX_CHARACTERS:
        raise InvalidInput(f"{what} must have at most {NAME_MAX_CHARACTERS} characters; got {len(name)}.", what)
    if name != name.strip():
        raise InvalidInput(f"{what} must not start or end with a space; got {name!r}.", what)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise InvalidInput(f"{what} must not have control characters; got {name!r}.", what)
    return name


def checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """`metadata` with its names in order, if it is small and without control characters; or `InvalidInput`."""
    if len(metadata) > METADATA_MAX:
        raise InvalidInput(f"metadata must have at most {METADATA_MAX} names; got {len(metadata)}.", "metadata")
    for name, value in metadata.items():
        if not 1 <= len(name) <= METADATA_NAME_MAX_CHARACTERS or _CONTROL.search(name):
            raise InvalidInput(
                f"A name in metadata must have 1 to {METADATA_NAME_MAX_CHARACTERS} characters, "
                "no control characters.",
                "metadata",
            )
        if len(value) > METADATA_VALUE_MAX_CHARACTERS or _CONTROL.search(value):
            raise InvalidInput(
                f"A value in metadata must have at most {METADATA_VALUE_MAX_CHARACTERS} characters, no control "
                "characters.",
                "metadata",
            )
    return dict(sorted(metadata.items()))
