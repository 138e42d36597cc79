"""What an operator wants to be told of a balance, or done about it: records that the archive keeps and looks at."""

from enum import StrEnum
from typing import Final

import msgspec

EVERYBODY: Final = ""
"""In place of a customer's id: what holds for those who have none of their own."""


class WatchKind(StrEnum):
    """What a watch is for."""

    THRESHOLDS = "thresholds"
    AUTO_TOPUP = "auto_topup"


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms go off when what is left falls to one of these."""

    amounts: tuple[int, ...]
    """The highest first; none: no alarms, whatever holds for everybody."""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, as it is kept: of one kind there is one for each balance."""

    kind: WatchKind
    customer_id: str
    """Or `EVERYBODY`."""
    unit: str
    body: bytes
    """JSON of the record of its kind."""
    version: int
    updated_at_ms: int
    low: tuple[int, ...] = ()
    """Of thresholds, those that have gone off and not been risen above since."""
