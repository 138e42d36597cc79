"""Reads the books of a payer as they lie in the store, all at one moment, for who checks them. It changes nothing.

What cannot be read is part of the answer, not an error: a damaged record is what an audit looks for.
"""

import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from sidecar.domain.counters import Stand
from sidecar.domain.errors import StoreCorrupt, StoreUnavailable
from sidecar.domain.ids import is_customer_id
from sidecar.domain.journal import BlockImage, Position, Totals
from sidecar.domain.outcomes import HoldState
from sidecar.store.account_text import BLOCK, HEADER, IMAGE
from sidecar.store.accounts import totals_of
from sidecar.store.commands import AUDIT
from sidecar.store.counter_text import FIELD, LIST, listed, stand_of
from sidecar.store.customers import PoolShare
from sidecar.store.hold_record import StoredHold, stored_hold
from sidecar.store.journal_lines import block_image
from sidecar.store.keys import Keys, is_unit
from sidecar.store.lane import Lane

HOLDS_AT_ONCE = 2_000
"""With more holds than this, a payer's holds are copied in the store and read in pieces."""
COPY_KEPT_MS = 120_000
_SCANNED_AT_ONCE = 2_000
_SLOTS = b"in_flight:"
_CAPS = b"caps:"
_OVERHELD = b"overheld:"
_SHARE = struct.Struct(">3d")


class Torn(msgspec.Struct, frozen=True):
    """Something that our scripts never write. `unit` is empty when it belongs to no account."""

    unit: str
    what: str
    detail: str


class AccountBooks(msgspec.Struct, frozen=True, kw_only=True):
    """One account as it is, whatever is due."""

    unit: str
    seq: int
    totals: Totals
    blocks: tuple[BlockImage, ...]
    """The live ones in the order in which they burn."""
    block_ids: dict[int, str]
    """By number, those whose terms are there."""


class PayerBooks(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has of one customer: the record, and the accounts with what is held of them."""

    customer_id: str
    position: Position
    """The newest line of the partition's journal at that moment."""
    status: str | None
    """None: there is no such customer."""
    external_id: str
    parent_id: str
    credentials: dict[str, str]
    """Of its proxy keys: the key's id, and what the scripts know of its limits."""
    units: frozenset[str]
    """The units that it lists: those of which a sweep looks at the account."""
    accounts: dict[str, AccountBooks]
    shares: dict[tuple[str, str], PoolShare]
    """What counts against the caps of the members of its pool, by member and unit."""
    holds: int
    """How many are open."""
    held: Counter[tuple[str, int]]
    """What open holds keep, by unit and block; by 0, what they may yet owe."""
    held_by_member: Counter[tuple[str, str]]
    counters: dict[str, Stand]
    """By key, those that are kept."""
    claimed: Counter[str]
    """What open holds may count, by the counter's key."""
    slots: Counter[str]
    """How many slots of limits are taken, by bucket."""
    slots_held: Counter[str]
    """How many of them open holds have."""
    overage: str
    """What it may owe, by unit, as the scripts know it."""
    overheld: dict[str, int]
    """By unit, what its holds may yet owe."""
    spend_caps: dict[str, str]
    """The customer's own, by unit, if nobody else pays for it."""
    torn: tuple[Torn, ...]


class Audit:
    """The books of one tenant's environment. Everything may raise StoreError."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str, holds_at_once: int = HOLDS_AT_ONCE) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)
        self._holds_at_once = holds_at_once

    def partition(self, customer_id: str) -> int:
        return self._keys.partition(customer_id)

    async def external(self, external_id: str) -> str | None:
        """The customer that the index has for an external id."""
        reply: bytes | None = await self._lane.execute("GET", self._keys.external(external_id))
        return None if reply is None else reply.decode(errors="replace")

    async def cap(self, payer_id: str, member_id: str, unit: str) -> int | None:
        """What a member of the payer's pool may hold and spend; None: no limit. StoreCorrupt for what is no share."""
        packed = await self._lane.execute("HGET", self._keys.of(payer_id).customer, f"member:{member_id}:{unit}")
        return None if packed is None else _share(unit, packed).cap

    async def spend_caps(self, payer_id: str, member_id: str, unit: str) -> str | None:
        """The spend caps of a member of the payer's pool."""
        field = f"{_CAPS.decode()}{member_id}:{unit}"
        lines: bytes | None = await self._lane.execute("HGET", self._keys.of(payer_id).customer, field)
        return None if lines is None else lines.decode(errors="replace")

    async def on_its_way(self, from_id: str, transfer_id: str) -> bool:
        """Whether what a customer gave has not arrived at the other."""
        found: int = await self._lane.execute("HEXISTS", self._keys.transfers(self.partition(from_id)), transfer_id)
        return found == 1

    async def names(self, partition: int) -> AsyncIterator[tuple[str, str]]:
        """Every customer of a partition as (customer id, ""), and every account as (customer id, unit).

        In no order, some more than once; what comes or goes meanwhile may be missing.
        """
        prefix = self._keys.prefix(partition)
        cursor = b"0"
        while True:
            cursor, found = await self._lane.execute(
                "SCAN", cursor, "MATCH", prefix + b"[ac]*", "COUNT", _SCANNED_AT_ONCE
            )
            for key in found:
                kind, _, rest = key[len(prefix) :].decode(errors="replace").partition(":")
                customer_id, _, unit = rest.partition(":")
                if kind in {"customer", "account"} and is_customer_id(customer_id):
                    yield customer_id, unit
            if cursor == b"0":
                return

    async def payer(self, customer_id: str, units: Iterable[str] = ()) -> PayerBooks:
        """All books of one customer at one moment: the accounts that it lists, and those in `units`.

        However many holds there are, the store is kept from its work for no more than it takes to copy them.
        """
        wanted, books = set(units), _Reading(customer_id)
        while True:
            reply = await self._read(customer_id, sorted(wanted))
            fields = dict(zip(reply[1][0::2], reply[1][1::2], strict=True))
            listed = books.units(fields)
            if listed <= wanted:
                break
            wanted |= listed
        accounts = {
            unit: account
            for unit, text, terms in zip(sorted(wanted), reply[4::2], reply[5::2], strict=True)
            if text is not None and (account := books.account(unit, text, terms)) is not None
        }
        if reply[2] > self._holds_at_once:
            await self._read_copy(customer_id, reply[2], books)
        else:
            books.take_holds(reply[3])
        return PayerBooks(
            customer_id=customer_id,
            position=Position.parse(reply[0].decode()),
            status=_text(fields, b"status"),
            external_id=_text(fields, b"external_id") or "",
            parent_id=_text(fields, b"parent") or "",
            credentials={
                name.decode(errors="replace"): value.decode(errors="replace")
                for name, value in fields.items()
                if name.startswith(b"key:")
            },
            units=frozenset(listed),
            accounts=accounts,
            shares=books.shares(fields),
            holds=books.holds,
            held=books.held,
            held_by_member=books.held_by_member,
            counters=books.counters(fields),
            claimed=books.claimed,
            slots=books.slots(fields),
            slots_held=books.slots_held,
            overage=_text(fields, b"overage") or "",
            overheld=books.overheld(fields),
            spend_caps=books.spend_caps(fields),
            torn=tuple(books.torn),
        )

    async def _read(self, customer_id: str, units: list[str]) -> list[Any]:
        places = [self._keys.account(customer_id, unit) for unit in units]
        keys = [*self._keys.of(customer_id).ledger, self._keys.holds_copy(customer_id)]
        for place in places:
            keys += [place.account, place.terms]
        reply: list[Any] = await self._lane.send(AUDIT.pack(keys, [self._holds_at_once, COPY_KEPT_MS]))
        return reply

    async def _read_copy(self, customer_id: str, count: int, books: "_Reading") -> None:
        copy, cursor, seen = self._keys.holds_copy(customer_id), b"0", 0
        try:
            while True:
                cursor, found = await self._lane.execute("HSCAN", copy, cursor, "COUNT", self._holds_at_once)
                books.take_holds(found)
                seen += len(found) // 2
                if cursor == b"0":
                    break
        finally:
            await self._lane.execute("UNLINK", copy)
        if seen != count:
            raise StoreUnavailable(
                f"The copy of the {count} holds of {customer_id} did not last until it was read; nothing was "
                "changed, check again."
            )


class _Reading:
    """Makes sense of what the script answered, and notes what makes none."""

    def __init__(self, customer_id: str) -> None:
        self._customer_id = customer_id
        self.torn: list[Torn] = []
        self.holds = 0
        self.held: Counter[tuple[str, int]] = Counter()
        self.held_by_member: Counter[tuple[str, str]] = Counter()
        self.claimed: Counter[str] = Counter()
        self.slots_held: Counter[str] = Counter()

    def units(self, fields: dict[bytes, bytes]) -> set[str]:
        """The units that the customer lists."""
        names = set((_text(fields, b"units") or "").split())
        known = {name for name in names if is_unit(name)}
        self.torn = [Torn("", "units", f"{name!r} is no unit") for name in sorted(names - known)]
        return known

    def account(self, unit: str, text: bytes, terms: list[bytes]) -> AccountBooks | None:
        try:
            seq, totals = totals_of(text[: IMAGE.size])
        except StoreCorrupt as error:
            self.torn.append(Torn(unit, "account", error.detail))
            return None
        size = len(text) - HEADER.size
        if size < 0 or size % BLOCK.size:
            self.torn.append(Torn(unit, "account", f"{len(text)} bytes are not a header and whole blocks"))
            return None
        blocks = []
        for at in range(HEADER.size, len(text), BLOCK.size):
            try:
                blocks.append(block_image(text[at : at + BLOCK.size]))
            except (KeyError, ValueError, OverflowError) as error:
                self.torn.append(Torn(unit, f"block at byte {at}", f"{type(error).__name__}: {error}"))
        return AccountBooks(
            unit=unit, seq=seq, totals=totals, blocks=tuple(blocks), block_ids=self._block_ids(unit, terms)
        )

    def take_holds(self, pairs: list[bytes]) -> None:
        """Add up the open ones of these reservation ids and records."""
        for reservation_id, record in zip(pairs[0::2], pairs[1::2], strict=True):
            try:
                stored = stored_hold(record)
                if stored is not None and stored.state is HoldState.OPEN:
                    self._take_hold(stored)
            except (StoreCorrupt, IndexError) as error:
                self.torn.append(Torn("", f"hold {reservation_id.decode(errors='replace')}", str(error)))

    def shares(self, fields: dict[bytes, bytes]) -> dict[tuple[str, str], PoolShare]:
        found: dict[tuple[str, str], PoolShare] = {}
        for name, packed in fields.items():
            if not name.startswith(b"member:"):
                continue
            _, member, unit = name.decode(errors="replace").split(":", 2)
            try:
                found[member, unit] = _share(unit, packed)
            except StoreCorrupt as error:
                self.torn.append(Torn(unit, f"share of {member}", error.detail))
        return found

    def counters(self, fields: dict[bytes, bytes]) -> dict[str, Stand]:
        """Those that have a field; what is listed has one, and no other has."""
        found: dict[str, Stand] = {}
        for name, packed in fields.items():
            if not name.startswith(FIELD.encode()):
                continue
            key = name.decode(errors="replace").removeprefix(FIELD)
            try:
                found[key] = stand_of(packed)
            except StoreCorrupt as error:
                self.torn.append(Torn("", f"counter {key}", error.detail))
        text = fields.get(LIST.encode(), b"")
        try:
            known = listed(text)
        except ValueError:
            self.torn.append(Torn("", "counters", f"{text!r} is no list of counters"))
            return found
        self.torn += [
            Torn("", f"counter {key}", "it is listed, or there, but not both")
            for key in sorted(known.keys() ^ found.keys())
        ]
        return found

    def slots(self, fields: dict[bytes, bytes]) -> Counter[str]:
        """What the payer counts of slots of limits."""
        found: Counter[str] = Counter()
        for name, count in fields.items():
            if name.startswith(_SLOTS):
                bucket = name.removeprefix(_SLOTS).decode(errors="replace")
                if count.isdigit():
                    found[bucket] = int(count)
                else:
                    self.torn.append(Torn("", f"slots of {bucket}", f"{count!r} is no number"))
        return found

    def overheld(self, fields: dict[bytes, bytes]) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, packed in fields.items():
            if name.startswith(_OVERHELD):
                unit = name.removeprefix(_OVERHELD).decode(errors="replace")
                try:
                    found[unit] = _whole(*struct.unpack(">d", packed))
                except (struct.error, ValueError, OverflowError):
                    self.torn.append(Torn(unit, "overage held", f"{packed!r} is no whole amount"))
        return found

    def spend_caps(self, fields: dict[bytes, bytes]) -> dict[str, str]:
        prefix = _CAPS + self._customer_id.encode() + b":"
        return {
            name.removeprefix(prefix).decode(errors="replace"): lines.decode(errors="replace")
            for name, lines in fields.items()
            if name.startswith(prefix)
        }

    def _take_hold(self, stored: StoredHold) -> None:
        self.holds += 1
        self.claimed.update(stored.claims)
        self.slots_held.update(stored.slots)
        for part, key in stored.caps:
            self.claimed[key] += sum(each.amount for each in stored.drawn(part))
        slices = [(stored.parts[part - 1][0], slice_) for part, slice_ in stored.slices]
        for unit, slice_ in slices:
            self.held[unit, slice_.block] += slice_.amount
            if stored.customer_id != self._customer_id:
                self.held_by_member[stored.customer_id, unit] += slice_.amount

    def _block_ids(self, unit: str, terms: list[bytes]) -> dict[int, str]:
        ids: dict[int, str] = {}
        for name, value in zip(terms[0::2], terms[1::2], strict=True):
            if not name.isdigit():
                continue
            try:
                ids[int(name)] = msgspec.json.decode(value, type=_Terms).block_id
            except msgspec.DecodeError as error:
                self.torn.append(Torn(unit, f"terms of block {name.decode()}", str(error)))
        return ids


class _Terms(msgspec.Struct):
    block_id: str


def _text(fields: dict[bytes, bytes], name: bytes) -> str | None:
    value = fields.get(name)
    return None if value is None else value.decode(errors="replace")


def _share(unit: str, packed: bytes) -> PoolShare:
    try:
        cap, held, spent = map(_whole, _SHARE.unpack(packed))
    except (struct.error, ValueError, OverflowError) as error:
        raise StoreCorrupt(f"A member's share is {packed!r}: not three whole amounts.") from error
    return PoolShare(unit=unit, cap=None if cap < 0 else cap, held=held, spent=spent)


def _whole(value: float) -> int:
    if not value.is_integer():
        raise ValueError(f"{value!r} is no whole number")
    return int(value)
