"""Which credit block burns first, and what a request may draw from.

An active block is drawn from in this order: lowest priority, then the earliest to expire (never comes last), then
free before paid, then the oldest, then the one that was granted first. A block that is restricted to features or
rules serves only requests of one of these.

Functions of what is read, for the model of the ledger and for who asks which blocks an amount would take.
"""

from collections.abc import Iterable

from sidecar.domain.blocks import NEVER_MS, Block, BlockState, Grant, Slice


def burn_rank(block: Block) -> tuple[int, int, bool, int, int]:
    """The block with the lowest rank burns first; no two blocks of an account have the same one."""
    expires_at_ms = NEVER_MS if block.expires_at_ms is None else block.expires_at_ms
    return block.grant.priority, expires_at_ms, bool(block.grant.price_paid), block.created_at_ms, block.number


def shown_order(block: Block) -> tuple[bool, tuple[int, int, bool, int, int]]:
    """Active blocks in burn order, then the others."""
    return block.state is not BlockState.ACTIVE, burn_rank(block)


def eligible(grant: Grant, feature: str, rule: str) -> bool:
    """Whether requests of this feature and rule may draw from what was granted so."""
    unrestricted = not grant.eligible_features and not grant.eligible_rules
    return unrestricted or feature in grant.eligible_features or rule in grant.eligible_rules


def drawable(blocks: Iterable[Block], feature: str, rule: str) -> list[Block]:
    """The active blocks that such a request may draw from, in burn order."""
    may = [block for block in blocks if block.state is BlockState.ACTIVE and eligible(block.grant, feature, rule)]
    return sorted(may, key=burn_rank)


def draw(blocks: Iterable[Block], amount: int, feature: str, rule: str) -> tuple[tuple[Slice, ...], int]:
    """The slices that `amount` would take, in burn order, and what no block covers."""
    slices: list[Slice] = []
    missing = amount
    for block in drawable(blocks, feature, rule):
        taken = min(block.available, missing)
        if taken:
            slices.append(Slice(block.number, taken))
            missing -= taken
    return tuple(slices), missing
