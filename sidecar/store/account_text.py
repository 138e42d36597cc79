"""How an account and its blocks are packed; `lua/shared/account.lua` and `blocks.lua` say what the fields are."""

import struct
from types import MappingProxyType
from typing import Final

from sidecar.domain.blocks import BlockState

IMAGE: Final = struct.Struct(">9d")
"""The number of the last journal line, and the totals after it."""
HEADER: Final = struct.Struct(">10dIBBH")
BLOCK: Final = struct.Struct(">IdddHBBiHIdddd")
STATES: Final = MappingProxyType(
    {
        1: BlockState.ACTIVE,
        2: BlockState.SCHEDULED,
        3: BlockState.QUEUED,
        4: BlockState.EXPIRED,
        5: BlockState.VOIDED,
    }
)
STATE_NUMBERS: Final = MappingProxyType({state: number for number, state in STATES.items()})
PAID: Final = 1
AWAITED: Final = 2
"""Flags of a block: it was paid for; another one waits for it."""
