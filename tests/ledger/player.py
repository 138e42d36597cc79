"""Plays a scenario on a ledger: one method for each verb. What is asked answers what was told, for the table to name;
what is seen is compared whole.
"""

import hashlib
from collections import Counter

import msgspec

from sidecar.domain.blocks import BLOCKS_MAX, BlockState, Grant
from sidecar.domain.book_holds import Part, Reservation
from sidecar.domain.book_overage import NO_BLOCK
from sidecar.domain.errors import SidecarError
from sidecar.domain.once import Once
from sidecar.domain.outcomes import (
    CountersMoved,
    Ended,
    Granted,
    Overrun,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)
from sidecar.domain.periods import SERIES, Carry, Closing
from tests.ledger.drivers import PAYER, Driver
from tests.ledger.scenario import UNIT, Scenario, Step, amount_of, grant_of, ms_of

Outcome = Reserved | Refused | Ended | Settled | UnknownReservation | Resolved | Rejected

_TOTALS = ("scheduled", "available", "held", "spent", "expired", "voided", "owed")


class Told(msgspec.Struct, frozen=True):
    """What came of a step: what a scenario must name, and what it may."""

    must: list[str]
    may: list[str] = []

    def fits(self, expected: list[str]) -> bool:
        return set(self.must) <= set(expected) <= {*self.must, *self.may}


class Player:
    """Plays one scenario. `reservations` are those that it has reserved, by their id."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.reservations: dict[str, Reservation] = {}
        self.names: dict[tuple[str, int], str] = {}
        self.counts: Counter[str] = Counter()
        self.lines_seen = 0

    async def play(self, scenario: Scenario) -> None:
        """AssertionError with the place and what was told instead."""
        for step in scenario.steps:
            try:
                told: Told = await getattr(self, step.verb)(step)
            except SidecarError as error:
                told = Told([error.code])
            assert told.fits(step.expected), f"{step.place}: {step.text}\n  told: {told.must}, and {told.may}"

    # What is asked

    async def grant(self, step: Step) -> Told:
        (name, amount), options = step.words, dict(step.options)
        key = options.pop("key", f"grant {step.place}")
        grant = grant_of(name, amount, options, self.driver.now_ms)
        result = await self.driver.grant(grant, _once(key, f"{name} {amount} {sorted(options.items())}"))
        told = [f"withheld={result.withheld}"] if result.withheld else []
        if result.block_id and not (result.replayed or result.duplicate):
            self.counts[grant.unit] += 1
            self.names[grant.unit, self.counts[grant.unit]] = name
        return Told([_granted(result), *told], [f"amount={result.amount}", f"block={result.block_id}"])

    async def open(self, step: Step) -> Told:
        """The period of this name brings so much."""
        name, amount = step.words
        grant = Grant(
            block_id=name,
            unit=UNIT,
            amount=amount_of(amount),
            source=SERIES,
            series=SERIES,
            period_starts_at_ms=_period(name),
        )
        turned = await self.driver.turn(UNIT, None, grant, _once(f"open {step.place}", step.text))
        assert turned.opened is not None
        if turned.opened.duplicate:
            return Told(["duplicate"], [f"balance={turned.opened.balance}"])
        self.counts[UNIT] += 1
        self.names[UNIT, self.counts[UNIT]] = name
        return Told(["opened"], [f"balance={turned.opened.balance}"])

    async def close(self, step: Step) -> Told:
        """The period before the one of this name ends."""
        options = step.options
        lasts = ms_of(options["lasts"]) if "lasts" in options else None
        limit = amount_of(options["carry"]) if "carry" in options else None
        closing = Closing(ends_at_ms=_period(step.words[0]), carry=Carry(limit=limit, lasts_ms=lasts))
        turned = await self.driver.turn(UNIT, closing, None, _once(f"close {step.place}", step.text))
        closed = turned.closed
        assert closed is not None
        told = {"available": closed.available, "expired": closed.expired, "carried": closed.carried}
        may = [f"{name}={amount}" for name, amount in {**told, "balance": closed.balance}.items()]
        return Told(["duplicate" if closed.duplicate else "closed"], may)

    async def void(self, step: Step) -> Told:
        (name,) = step.words
        key = step.options.get("key", f"void {step.place}")
        changed = await self.driver.void(step.options.get("unit", UNIT), name, _once(key, name))
        return Told(["replayed" if changed.replayed else "voided"], [f"amount={changed.amount}"])

    async def extend(self, step: Step) -> Told:
        (name,) = step.words
        expires = step.options["expires"]
        at_ms = None if expires == "never" else self.driver.now_ms + ms_of(expires)
        key = step.options.get("key", f"extend {step.place}")
        changed = await self.driver.extend(step.options.get("unit", UNIT), name, at_ms, _once(key, f"{name} {at_ms}"))
        return Told(["replayed" if changed.replayed else "extended"])

    async def reserve(self, step: Step) -> Told:
        name, *words = step.words
        options = dict(step.options)
        by, feature, rule, ttl = (options.pop(key, "") for key in ("by", "feature", "rule", "ttl"))
        amounts = {UNIT: words[0]} if words and words[0] != "remember" else options
        reservation = Reservation(
            reservation_id=name,
            customer_id=by or PAYER,
            parts=tuple(Part(unit, amount_of(amount)) for unit, amount in amounts.items()),
            ttl_ms=ms_of(ttl or "60s"),
            feature=feature,
            rule=rule,
            remember="remember" in words,
        )
        self.reservations.setdefault(name, reservation)
        outcome = await self.driver.reserve(reservation)
        assert not isinstance(outcome, CountersMoved), "nothing is claimed"
        return self._told(outcome, reservation)

    async def resize(self, step: Step) -> Told:
        reservation, amounts = self._asked(step)
        ttl_ms = ms_of(step.options["ttl"]) if "ttl" in step.options else None
        return self._told(await self.driver.resize(reservation, amounts, ttl_ms), reservation)

    async def commit(self, step: Step) -> Told:
        reservation, charges = self._asked(step)
        policy = Overrun(step.options.get("policy", "owe"))
        number = int(step.options.get("step", "0"))
        return self._told(await self.driver.commit(reservation, charges, step=number, policy=policy), reservation)

    async def release(self, step: Step) -> Told:
        reservation, _ = self._asked(step)
        told = self._told(await self.driver.release(reservation), reservation)
        return Told(["released"], told.may) if told.must == ["committed"] else told

    async def sweep(self, step: Step) -> Told:
        return Told([f"expired={await self.driver.sweep()}"])

    async def tick(self, step: Step) -> Told:
        await self.driver.tick(ms_of(step.words[0]))
        return Told([])

    async def overage(self, step: Step) -> Told:
        """So much may be owed."""
        await self.driver.allow_overage(step.options.get("unit", UNIT), amount_of(step.words[0]))
        return Told([])

    async def member(self, step: Step) -> Told:
        await self.driver.join(step.words[0])
        return Told([])

    async def cap(self, step: Step) -> Told:
        name, cap = step.words
        unit = step.options.get("unit", UNIT)
        await self.driver.set_cap(name, unit, None if cap == "none" else amount_of(cap))
        return Told([])

    async def suspend(self, step: Step) -> Told:
        await self.driver.suspend(step.words[0])
        return Told([])

    async def resume(self, step: Step) -> Told:
        await self.driver.resume(step.words[0])
        return Told([])

    # What is seen

    async def balance(self, step: Step) -> Told:
        totals = (await self.driver.account(step.words[0] if step.words else UNIT)).totals
        seen = {name: getattr(totals, name) for name in _TOTALS if getattr(totals, name)}
        named = {name: amount_of(value) for name, value in step.options.items()}
        seen |= {name: getattr(totals, name) for name in named}
        assert totals.balanced
        assert seen == named, f"{step.place}: {step.text}\n  seen: {seen}"
        return Told([])

    async def blocks(self, step: Step) -> Told:
        unit = step.words[0] if step.words else UNIT
        seen = {}
        blocks = (await self.driver.account(unit)).blocks
        for block in sorted(blocks, key=lambda block: (block.burn_position or BLOCKS_MAX + 1, block.number)):
            held = f"+{block.held}" if block.held else ""
            state = "" if block.state is BlockState.ACTIVE else f":{block.state}"
            seen[self.names[unit, block.number]] = f"{block.available}{held}{state}"
        assert list(seen.items()) == list(step.options.items()), f"{step.place}: {step.text}\n  seen: {seen}"
        return Told([])

    async def holds(self, step: Step) -> Told:
        seen = {hold.reservation_id: str(hold.held) for hold in await self.driver.open_holds()}
        assert seen == step.options, f"{step.place}: {step.text}\n  seen: {seen}"
        return Told([])

    async def pool(self, step: Step) -> Told:
        (name,), options = step.words, dict(step.options)
        pool = await self.driver.pool(name, options.pop("unit", UNIT))
        seen = {"held": str(pool.held), "spent": str(pool.spent)}
        assert seen == options, f"{step.place}: {step.text}\n  seen: {seen}"
        return Told([])

    async def lines(self, step: Step) -> Told:
        """The kinds of the lines since the last look at them; one may name its block: ``expiry:G1``."""
        lines = await self.driver.lines()
        new = lines[self.lines_seen :]
        self.lines_seen = len(lines)
        seen = [line.kind.value for line in new]
        named = [f"{line.kind}:{self.names[line.unit, line.block.number]}" if line.block else "" for line in new]
        fits = len(new) == len(step.words) and all(map(_either, step.words, seen, named))
        assert fits, f"{step.place}: {step.text}\n  seen: {seen}, of {named}"
        return Told([])

    # What is told

    def _asked(self, step: Step) -> tuple[Reservation, list[int]]:
        """The reservation, and an amount for each of its parts: those named, or the one."""
        name, *words = step.words
        unknown = Reservation(reservation_id=name, customer_id=PAYER, parts=(Part(UNIT, 0),), ttl_ms=1)
        reservation = self.reservations.get(name, unknown)
        amounts = {UNIT: words[0]} if words else step.options
        return reservation, [amount_of(amounts.get(part.unit, "0")) for part in reservation.parts]

    def _told(self, outcome: Outcome, reservation: Reservation) -> Told:
        match outcome:
            case Reserved():
                return self._reserved(outcome, reservation)
            case Settled():
                return _settled(outcome)
            case Refused():
                numbers = [f"{name}={getattr(outcome, name)}" for name in ("required", "available", "held", "unit")]
                return Told(["refused", outcome.code.value], numbers)
            case Rejected():
                return Told(["rejected"], [f"held={outcome.held}"])
            case Resolved():
                return Told(["resolved", outcome.state.value])
            case Ended():
                return Told(["ended"])
            case UnknownReservation():
                return Told(["unknown"])

    def _reserved(self, reserved: Reserved, reservation: Reservation) -> Told:
        slices: Counter[str] = Counter()
        for asked, part in zip(reservation.parts, (reserved, *reserved.others), strict=True):
            for slice_ in part.drawn:
                name = self.names[asked.unit, slice_.block] if slice_.block != NO_BLOCK else "overage"
                slices[name] += slice_.amount
        word = "replayed" if reserved.replayed else "reserved"
        numbers = [f"held={reserved.held}", f"available={reserved.available}"]
        return Told([word, *(f"{name}={amount}" for name, amount in slices.items())], numbers)


def _either(word: str, *words: str) -> bool:
    return word in words


def _settled(settled: Settled) -> Told:
    word = "replayed" if settled.replayed else "late" if settled.late else "committed"
    must = [word]
    for prefix, part in (("", settled), *(("then.", other) for other in settled.others)):
        must += [f"{prefix}owed={part.owed}"] if part.owed else []
        must += [f"{prefix}uncollected={part.uncollected}"] if part.uncollected else []
    return Told(must, [f"charged={settled.charged}", f"available={settled.available}"])


def _granted(granted: Granted) -> str:
    if granted.replayed:
        return "replayed"
    if granted.duplicate:
        return "duplicate"
    return "granted" if granted.block_id else "capped"


def _period(name: str) -> int:
    return int(name.removeprefix("P"))


def _once(key: str, asked: str) -> Once:
    return Once(key, hashlib.sha256(asked.encode()).hexdigest())
