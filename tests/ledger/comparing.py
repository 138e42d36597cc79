"""What of an answer, a hold or a line both the model and the store must say alike."""

from typing import Any

from msgspec.structs import replace

from sidecar.domain.blocks import Block
from sidecar.domain.errors import SidecarError
from sidecar.domain.journal import Kind, Line, Position
from sidecar.domain.outcomes import Account, Bought, Changed, Granted, Refunded, Sent, Taken, TakenBack
from sidecar.domain.periods import Turned
from tests.ledger.drivers import Driver


async def answer_of(driver: Driver, operation: str, *asked: Any, **terms: Any) -> Any:
    """The outcome without what only one of the two can know, or the error's type."""
    try:
        answer = await getattr(driver, operation)(*asked, **terms)
    except SidecarError as error:
        return type(error)
    if isinstance(answer, Bought | Granted | Changed | Taken | Refunded | TakenBack | Turned):
        return replace(answer, entry="")
    if isinstance(answer, Sent):
        return replace(answer, taken=replace(answer.taken, entry=""))
    if isinstance(answer, Account):
        return replace(answer, blocks=tuple(sorted(answer.blocks, key=_number)))
    return answer


def _number(block: Block) -> int:
    return block.number


def bare(hold: Any) -> Any:
    """The store has no time of the reserve; it is guessed from the deadline."""
    return replace(hold, created_at_ms=0, others=tuple(map(bare, hold.others)))


def bare_line(line: Line) -> Line:
    hold = line.hold and replace(line.hold, reserved_at_ms=0)
    block = line.block
    if block is not None and line.kind is Kind.VOID:
        # The times of a block that was voided mean nothing any more.
        block = replace(block, starts_at_ms=None, expires_at_ms=None)
    return replace(line, partition=0, position=Position(), hold=hold, block=block)
