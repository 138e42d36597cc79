"""Writes the journal of one account as the ledger would: totals, blocks and moves always fit together."""

import itertools
from collections.abc import Iterator

from msgspec.structs import replace

from sidecar.domain.blocks import Grant
from sidecar.domain.counters import Counted
from sidecar.domain.journal import BlockImage, HoldStory, Kind, Line, Move, Moved, Position, Record, Totals


class Clock:
    """Positions of one partition's journal, each after the one before."""

    def __init__(self, partition: int = 3) -> None:
        self.partition = partition
        self.now_ms = 1_700_000_000_000
        self._numbers: Iterator[int] = itertools.count()

    def tick(self, ms: int = 1) -> None:
        self.now_ms += ms
        self._numbers = itertools.count()

    def position(self) -> Position:
        return Position(self.now_ms, next(self._numbers))


class Teller:
    def __init__(self, clock: Clock, customer_id: str = "cus_a", unit: str = "credits") -> None:
        self.clock, self.customer_id, self.unit = clock, customer_id, unit
        self.totals = Totals()
        self.blocks: dict[int, BlockImage] = {}
        self.seq = 0
        self._holds = itertools.count(1)

    def grant(self, amount: int, *, ends_at_ms: int | None = None, **terms: object) -> Line:
        number = len(self.blocks) + 1
        given: dict[str, object] = {"block_id": f"blk_{self.customer_id}_{self.unit}_{number}", "source": "pack"}
        grant = Grant(unit=self.unit, amount=amount, expires_at_ms=ends_at_ms, **(given | terms))  # type: ignore[arg-type]  # fields of Grant
        self.blocks[number] = BlockImage(
            number=number,
            state="active",
            priority=grant.priority,
            paid=bool(grant.price_paid),
            granted=amount,
            available=amount,
            held=0,
            lapsed=0,
            created_at_ms=self.clock.now_ms,
            starts_at_ms=self.clock.now_ms,
            expires_at_ms=ends_at_ms,
        )
        self.totals = replace(
            self.totals, granted=self.totals.granted + amount, available=self.totals.available + amount
        )
        moves = [Move(Moved.GRANTED, number, amount)]
        if repaid := min(amount, self.totals.owed):
            self._take(number, repaid)
            self.totals = replace(self.totals, owed=self.totals.owed - repaid)
            moves.append(Move(Moved.REPAID, number, repaid))
        return self._line(Kind.GRANT, moves, block=self.blocks[number], grant=grant)

    def commit(
        self,
        *slices: tuple[int, int],
        owed: int = 0,
        uncollected: int = 0,
        kind: Kind = Kind.COMMIT,
        asker: str = "",
        feature: str = "chat",
        rule: str = "chat-completions",
        rules_version: str = "",
        source: str = "reported",
        usage: str = "",
        reservation_id: str = "",
        counted: tuple[Counted, ...] = (),
        held: int | None = None,
        charged_before: int = 0,
    ) -> Line:
        """`slices` are what blocks pay: number, amount."""
        charged = sum(amount for _, amount in slices) + owed
        hold = HoldStory(
            reservation_id=reservation_id or f"req_{self.customer_id}_{next(self._holds)}",
            customer_id=asker or self.customer_id,
            feature=feature,
            rule=rule,
            rules_version=rules_version,
            held=charged if held is None else held,
            reserved_at_ms=self.clock.now_ms,
            charged_before=charged_before,
        )
        moves = [Move(Moved.SPENT, number, amount) for number, amount in slices]
        for number, amount in slices:
            self._take(number, amount)
        if owed:
            moves.append(Move(Moved.OWED, 0, owed))
            self.totals = replace(self.totals, owed=self.totals.owed + owed)
        more = {"uncollected": uncollected, "source": source, "usage": usage, "counted": counted}
        return self._line(kind, moves, hold=hold, charged=charged, **more)

    def expire(self, number: int) -> Line:
        block = self.blocks[number]
        lapsed = block.available
        self.blocks[number] = replace(block, state="expired", available=0, lapsed=lapsed)
        self.totals = replace(
            self.totals, available=self.totals.available - lapsed, expired=self.totals.expired + lapsed
        )
        return self._line(Kind.EXPIRY, [Move(Moved.EXPIRED, number, lapsed)], block=self.blocks[number])

    def void(self, number: int) -> Line:
        block = self.blocks[number]
        lapsed = block.available
        self.blocks[number] = replace(block, state="voided", available=0, lapsed=lapsed)
        self.totals = replace(
            self.totals, available=self.totals.available - lapsed, voided=self.totals.voided + lapsed
        )
        moves = [Move(Moved.VOIDED, number, lapsed)]
        return self._line(Kind.VOID, moves, block=self.blocks[number], detail={"actor": "ann", "reason": "a mistake"})

    def record(self, what: str, **data: object) -> Record:
        return Record(
            partition=self.clock.partition,
            position=self.clock.position(),
            what=what,
            customer_id=self.customer_id,
            data=data,
        )

    def _take(self, number: int, amount: int) -> None:
        block = self.blocks[number]
        self.blocks[number] = replace(block, available=block.available - amount)
        self.totals = replace(self.totals, available=self.totals.available - amount, spent=self.totals.spent + amount)

    def _line(self, kind: Kind, moves: list[Move], **more: object) -> Line:
        self.seq += 1
        return Line(
            partition=self.clock.partition,
            position=self.clock.position(),
            kind=kind,
            customer_id=self.customer_id,
            unit=self.unit,
            seq=self.seq,
            after=self.totals,
            moves=tuple(moves),
            **more,  # type: ignore[arg-type]  # fields of Line
        )
