"""What is wrong with one customer's books: the store's with themselves, with its open holds, and with the archive.

Pure. The archive's sums are those up to the moment at which the books were read, so that both speak of the same time.
"""

from collections.abc import Iterator, Mapping

import msgspec

from sidecar.archive.fold import Fold, Sums
from sidecar.domain.blocks import BlockState
from sidecar.domain.book_overage import NO_BLOCK
from sidecar.domain.counters import AT_ZERO
from sidecar.domain.history import AccountState, CustomerState
from sidecar.domain.journal import BlockImage
from sidecar.store.audit import AccountBooks, PayerBooks
from sidecar.store.overage_text import overage_lines_of
from sidecar.store.proxy_keys import fields_of

_HERE, _NOT_ARCHIVED, _MISSING = "in the store", "only in the store", "missing"
_ARCHIVED = "in the archive"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be. Amounts are base units."""

    customer_id: str = ""
    """Empty, as `unit`, for what belongs to nobody alone."""
    unit: str = ""
    what: str
    expected: str
    found: str


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive says of a customer."""

    state: CustomerState | None
    """As it was noted beside the ledger, now or a moment ago."""
    folds: Mapping[str, Fold]
    """By unit, what the ledger adds up to at the moment at which the books were read."""
    counted: Mapping[str, int]
    """At that moment, by counter: those that are kept, and no other."""
    upto: str
    """The id of the last entry that can be in them."""


def differences(books: PayerBooks, archived: Archived, indexed: str | None) -> Iterator[Difference]:
    """All that is wrong; `indexed` is who the index of external ids has for this customer's external id."""
    found = _Found(books.customer_id)
    for torn in books.torn:
        yield found.at(torn.unit, f"torn: {torn.what}", "as our scripts write it", torn.detail)
    yield from _record(found, books, archived.state, indexed)
    for unit in sorted({*books.accounts, *archived.folds, *(unit for unit, _ in books.held)}):
        account, fold = books.accounts.get(unit), archived.folds.get(unit)
        if account is None:
            kept = sum(held for (of_unit, _), held in books.held.items() if of_unit == unit)
            if kept or (fold is not None and fold.entries):
                yield found.at(unit, "account", _HERE, _MISSING)
            continue
        yield from _alone(found, books, account)
        yield from _holds(found, books, account)
        state = (
            next((each for each in archived.state.accounts if each.unit == unit), None) if archived.state else None
        )
        if fold is None or (account.seq and not fold.entries):
            yield found.at(unit, "account", _ARCHIVED, _NOT_ARCHIVED)
            continue
        yield from _against_ledger(found, account, fold)
        if state is not None:
            yield from _beside_ledger(found, account, state, fold, archived.upto)
    yield from _shares(found, books, archived)
    yield from _counters(found, books, archived.counted)
    yield from _slots(found, books)


class _Found:
    """Makes differences of one customer."""

    def __init__(self, customer_id: str) -> None:
        self._customer_id = customer_id

    def at(self, unit: str, what: str, expected: object, found: object) -> Difference:
        return Difference(
            customer_id=self._customer_id, unit=unit, what=what, expected=str(expected), found=str(found)
        )

    def unequal(self, unit: str, what: str, expected: object, found: object) -> Iterator[Difference]:
        if expected != found:
            yield self.at(unit, what, expected, found)


def _record(
    found: _Found, books: PayerBooks, state: CustomerState | None, indexed: str | None
) -> Iterator[Difference]:
    data = None if state is None else state.data
    if data is None or books.status is None:
        if data is not None:
            yield found.at("", "customer", _HERE, _MISSING)
        elif books.status is not None:
            yield found.at("", "customer", _ARCHIVED, _NOT_ARCHIVED)
        return
    yield from found.unequal("", "status", data.get("status"), books.status)
    yield from found.unequal("", "external id", data.get("external_id"), books.external_id)
    yield from found.unequal("", "parent", data.get("parent_id") or "none", books.parent_id or "none")
    yield from found.unequal("", "overage", overage_lines_of(data), books.overage)
    yield from found.unequal("", "index of external ids", books.customer_id, indexed or _MISSING)
    assert state is not None
    wanted: dict[str, str] = {}
    for key in state.keys:
        wanted |= {} if key.revoked else fields_of(key.data)
    for credential, field in wanted.items():
        works = _works(field, books.credentials.get(credential))
        yield from found.unequal("", f"proxy key {_key_id(field)}", "works", works)
    for credential, field in books.credentials.items():
        if credential not in wanted:
            yield found.at("", f"proxy key {_key_id(field)}", "does not work", "works")


def _works(wanted: str, field: str | None) -> str:
    if field is None or _key_id(field) != _key_id(wanted):
        return "does not work"
    return "works" if field == wanted else "has other limits"


def _key_id(field: str) -> str:
    return field.partition(" ")[0]


def _alone(found: _Found, books: PayerBooks, account: AccountBooks) -> Iterator[Difference]:
    """The account with its own blocks."""
    unit, totals = account.unit, account.totals
    if unit not in books.units:
        yield found.at(unit, "units of the customer", f"{unit} among them", _MISSING)
    parts = totals.scheduled + totals.available + totals.held + totals.spent + totals.expired + totals.voided
    yield from found.unequal(unit, "conservation: granted", parts, totals.granted)
    waiting, active = {BlockState.SCHEDULED, BlockState.QUEUED}, {BlockState.ACTIVE}
    yield from found.unequal(unit, "scheduled by blocks", _left(account, waiting), totals.scheduled)
    yield from found.unequal(unit, "available by blocks", _left(account, active), totals.available)
    yield from found.unequal(unit, "held by blocks", sum(block.held for block in account.blocks), totals.held)
    for block in account.blocks:
        if _spent(block) < 0:
            parts = block.available + block.held + block.lapsed
            yield found.at(unit, f"block {block.number}: conservation", f"{block.granted} at most", parts)
        if block.available and block.state in {BlockState.EXPIRED, BlockState.VOIDED}:
            yield found.at(unit, f"block {block.number}: available", f"0: it is {block.state}", block.available)
        if block.number not in account.block_ids:
            yield found.at(unit, f"block {block.number}: terms", _HERE, _MISSING)


def _left(account: AccountBooks, states: set[BlockState]) -> int:
    return sum(block.available for block in account.blocks if block.state in states)


def _spent(block: BlockImage) -> int:
    return block.granted - block.available - block.held - block.lapsed


def _holds(found: _Found, books: PayerBooks, account: AccountBooks) -> Iterator[Difference]:
    unit = account.unit
    held = {number: amount for (of_unit, number), amount in books.held.items() if of_unit == unit}
    yield from found.unequal(unit, "held as overage", held.pop(NO_BLOCK, 0), books.overheld.get(unit, 0))
    yield from found.unequal(unit, "held by open holds", sum(held.values()), account.totals.held)
    for block in account.blocks:
        expected = held.pop(block.number, 0)
        yield from found.unequal(unit, f"block {block.number}: held by open holds", expected, block.held)
    for number, amount in held.items():
        yield from found.unequal(unit, f"block {number}: held by open holds", amount, _MISSING)


def _against_ledger(found: _Found, account: AccountBooks, fold: Fold) -> Iterator[Difference]:
    unit, totals, sums = account.unit, account.totals, fold.sums
    yield from found.unequal(unit, "journal lines", account.seq, fold.last_seq)
    for legs in fold.strangers:
        yield found.at(unit, "postings", "legs that belong together", legs)
    for name in ("granted", "spent", "expired", "voided", "owed"):
        yield from found.unequal(unit, name, getattr(sums, name), getattr(totals, name))
        yield from found.unequal(unit, f"{name} in its last entry", getattr(sums, name), getattr(fold.noted, name))
    yield from found.unequal(unit, "scheduled", fold.noted.scheduled, totals.scheduled)
    balance = totals.scheduled + totals.available + totals.held
    yield from found.unequal(unit, "balance", sums.remaining, balance)
    live = {block.number: block for block in account.blocks}
    for number, of_block in sorted(fold.blocks.items()):
        block = live.pop(number, None)
        if block is not None:
            yield from _block(found, unit, block, of_block)
        elif of_block.remaining:
            yield found.at(unit, f"block {number}", f"{of_block.remaining} left", _MISSING)
    for number in live:
        yield found.at(unit, f"block {number}", _ARCHIVED, _NOT_ARCHIVED)


def _block(found: _Found, unit: str, block: BlockImage, sums: Sums) -> Iterator[Difference]:
    # What expired with its period of a block that went on, and was voided later, stands in the store as one amount.
    voided = max(block.lapsed - sums.expired, 0) if block.state == BlockState.VOIDED else 0
    amounts = {
        "granted": block.granted,
        "spent": _spent(block),
        "expired": block.lapsed - voided,
        "voided": voided,
    }
    for name, amount in amounts.items():
        yield from found.unequal(unit, f"block {block.number}: {name}", getattr(sums, name), amount)


def _beside_ledger(
    found: _Found, account: AccountBooks, state: AccountState, fold: Fold, upto: str
) -> Iterator[Difference]:
    """What the archive has noted beside the ledger, which a rebuild would start from."""
    if state.entry_id > upto or state.seq < fold.last_seq:
        return
    unit = account.unit
    for name in ("granted", "spent", "expired", "voided", "owed"):
        noted = getattr(state.totals, name)
        yield from found.unequal(unit, f"archive's account: {name}", getattr(fold.sums, name), noted)
    left = {number: sums.remaining for number, sums in fold.blocks.items() if sums.remaining}
    noted = {block.number: block for block in state.blocks}
    for number in sorted({*left, *noted}):
        block = noted.get(number)
        amount = 0 if block is None else block.available
        yield from found.unequal(unit, f"archive's block {number}: left", left.get(number, 0), amount)
        known_as = account.block_ids.get(number)
        if block is not None and known_as is not None:
            yield from found.unequal(unit, f"block {number}: id", block.grant.block_id, known_as)


def _shares(found: _Found, books: PayerBooks, archived: Archived) -> Iterator[Difference]:
    charged = {
        (member, unit): amount for unit, fold in archived.folds.items() for member, amount in fold.members.items()
    }
    for member, unit in sorted({*charged, *books.shares, *books.held_by_member}):
        share = books.shares.get((member, unit))
        held, spent = books.held_by_member[member, unit], charged.get((member, unit), 0)
        yield from found.unequal(unit, f"share of {member}: held", held, 0 if share is None else share.held)
        yield from found.unequal(unit, f"share of {member}: spent", spent, 0 if share is None else share.spent)


def _counters(found: _Found, books: PayerBooks, counted: Mapping[str, int]) -> Iterator[Difference]:
    for key in sorted({*counted, *books.counters, *books.claimed}):
        stand = books.counters.get(key, AT_ZERO)
        yield from found.unequal("", f"counter {key}: position", counted.get(key, 0), stand.used)
        yield from found.unequal("", f"counter {key}: held by open holds", books.claimed[key], stand.held)


def _slots(found: _Found, books: PayerBooks) -> Iterator[Difference]:
    for bucket in sorted({*books.slots, *books.slots_held}):
        yield from found.unequal("", f"slots of {bucket}", books.slots_held[bucket], books.slots[bucket])
