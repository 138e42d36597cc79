"""Writes into an empty store what the archive knows: accounts, then the customers who may draw from them.

Each of them is there whole or not at all, and what is there already is left alone: who was interrupted begins again.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sidecar.domain.blocks import NEVER_MS, Block, BlockState
from sidecar.domain.counters import Counter, Stand
from sidecar.domain.customers import Customer
from sidecar.domain.errors import Conflict, StoreCorrupt
from sidecar.domain.history import AccountState, BusinessKey, CustomerState
from sidecar.domain.periods import PastPeriods
from sidecar.domain.proxy_keys import external_credential
from sidecar.domain.transfers import Transfer
from sidecar.store.account_text import AWAITED, BLOCK, HEADER, IMAGE, PAID, STATE_NUMBERS
from sidecar.store.accounts import scope_of
from sidecar.store.business_keys import BusinessKeys
from sidecar.store.commands import RESTORE_ACCOUNT, RESTORE_CUSTOMER
from sidecar.store.counter_text import LIST, field_of, list_of
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.overage_text import overage_lines
from sidecar.store.periods import closed_name, opened_name
from sidecar.store.proxy_keys import KeyDetails
from sidecar.store.spend_caps import SpendCaps
from sidecar.store.transfers import Transfers

WHY = msgspec.json.encode({"reason": "The store was made again: what holds kept of this block came back to it."})
_SHARE = struct.Struct(">3d")
_WAITING = (BlockState.SCHEDULED, BlockState.QUEUED)
_AT_ONCE = 500
_KINDS = {"dedup_key": "dedup", "external_payment_id": "payment", "purchase": "purchase", "transfer": "transfer"}

Pairs = list[bytes | str | int]
"""Names with their values, alternately."""


class Restore:
    """Of one tenant's environment. Everything may raise StoreError; all of it can be repeated."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)
        self._business_keys = BusinessKeys(lane, self._keys)
        self._transfers = Transfers(lane, tenant=tenant, environment=environment)
        self._spend_caps = SpendCaps(lane, tenant=tenant, environment=environment)

    async def begun(self) -> bool:
        """Whether a restoration has begun and not come to its end."""
        found: int = await self._lane.execute("EXISTS", self._keys.rebuilding())
        return found == 1

    async def begin(self) -> None:
        await self._lane.execute("SET", self._keys.rebuilding(), "begun")

    async def end(self) -> None:
        await self._lane.execute("DEL", self._keys.rebuilding())

    async def account(
        self,
        customer_id: str,
        state: AccountState,
        used: Sequence[BusinessKey],
        charged: Mapping[str, int],
        refunded: Mapping[str, int],
        periods: PastPeriods,
        position: str,
    ) -> bool:
        """Make one account with its live blocks, in the order in which they burn; nothing is held of it any more.

        `used`: the business keys of its grants. `charged`: what members of the customer's pool have spent of it.
        `refunded`: what was given back of each charge. `periods`: those that were opened and closed.
        `position`: what a repeated grant is told as the place of the first one in the journal. False: it was there.
        Raises Conflict, and nothing is written, when the account does not add up.
        """
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, state.unit)
        header, blocks, terms, scopes = _packed(customer_id, state)
        terms += [text for reference, amount in refunded.items() for text in (f"refunded:{reference}", amount)]
        if await self._lane.execute("EXISTS", account.account):
            return False
        await self._use_business_keys(customer_id, state, used, position)
        await self._set_fields(place.business, _turns(state.unit, periods))
        shares: Pairs = []
        for member, spent in charged.items():
            shares += [f"member:{member}:{state.unit}", _SHARE.pack(-1, 0, spent)]
        await self._set_fields(place.customer, shares)
        packed = RESTORE_ACCOUNT.pack(
            [*place.ledger, account.account, account.terms],
            [account.name, header, blocks, WHY, len(terms) // 2, *terms, *scopes],
        )
        return _restored("restore_account", await self._lane.send(packed))

    async def counters(self, customer_id: str, counted: Mapping[Counter, int]) -> None:
        """Let a customer's counters stand where these are; before its accounts are made, which lets them be swept."""
        customer = self._keys.of(customer_id).customer
        if not counted or await self._lane.execute("HEXISTS", customer, LIST):
            return
        pairs: Pairs = [text for counter, used in counted.items() for text in field_of(counter.key, Stand(used))]
        # Who finds the list finds all of them.
        await self._set_fields(customer, [*pairs, LIST, list_of(counted)])

    async def customer(self, state: CustomerState) -> bool:
        """Make the customer with its proxy keys, its external id and its caps; its accounts must be there.

        False: it was there. Raises Conflict when its record cannot be read, or another has its external id.
        """
        customer = _customer(state)
        for name in customer.external_ids:
            await self._lane.execute("SET", self._keys.external(name), state.customer_id, "NX")
            owner = await self._lane.execute("GET", self._keys.external(name))
            # Of one that is being merged, another may have got it already.
            if owner != state.customer_id.encode() and customer.merged_into is None:
                raise Conflict(f"The external id {name!r} of {state.customer_id} belongs to {owner!r} in the store.")
        payer_id = customer.parent_id or state.customer_id
        for unit, lines in state.spend_caps.items():
            await self._spend_caps.put(payer_id, state.customer_id, unit, lines)
        place, payer = self._keys.of(state.customer_id), self._keys.of(payer_id)
        fields, keys = _fields(customer), _keys(state)
        caps: Pairs = []
        for unit, cap in state.pool_caps.items():
            caps += [f"member:{state.customer_id}:{unit}", -1 if cap is None else cap]
        credentials: Pairs = [text for key in keys for pair in key.fields.items() for text in pair]
        details: Pairs = [text for key in keys for text in (key.key_id, msgspec.json.encode(key))]
        packed = RESTORE_CUSTOMER.pack(
            [place.customer, place.keys, payer.customer],
            [len(caps) // 2, (len(fields) + len(credentials)) // 2, *caps, *fields, *credentials, *details],
        )
        return _restored("restore_customer", await self._lane.send(packed))

    async def transfer(self, transfer: Transfer) -> None:
        """Let it be on its way again; what of it has arrived before is known by its business keys."""
        await self._transfers.put_back(transfer)

    async def _use_business_keys(
        self, customer_id: str, state: AccountState, used: Sequence[BusinessKey], position: str
    ) -> None:
        answers: Pairs = []
        for key in used:
            name, grant = f"{_KINDS[key.name]}:{key.key}", key.grant
            if key.name != "transfer":
                await self._business_keys.claim(customer_id, [name])
            if key.name == "purchase" and grant.purchase is not None:
                answers += [name, f"{grant.purchase.terms} {position} {grant.block_id}"]
                continue
            answer = struct.pack(">dd", key.amount, grant.amount - key.amount) + _image(state)
            bonus = f"+{grant.bonus}" if grant.bonus else ""
            text = f"{grant.amount}{bonus}:{state.unit} ".encode() + answer + f"{position} {grant.block_id}".encode()
            answers += [name, text]
        await self._set_fields(self._keys.of(customer_id).business, answers)

    async def _set_fields(self, key: bytes, pairs: Pairs) -> None:
        for start in range(0, len(pairs), _AT_ONCE):
            await self._lane.execute("HSET", key, *pairs[start : start + _AT_ONCE])


def _turns(unit: str, periods: PastPeriods) -> Pairs:
    pairs: Pairs = []
    for ends_at_ms, closed in periods.closed.items():
        pairs += [closed_name(unit, ends_at_ms), closed.text]
    for starts_at_ms, opened in periods.opened.items():
        pairs += [opened_name(unit, starts_at_ms), opened.text, opened_name(unit), starts_at_ms]
    return pairs


def _restored(script: str, reply: bytes) -> bool:
    if reply not in {b"restored", b"exists"}:
        raise StoreCorrupt(f"The script {script} answered {reply!r}.")
    return reply == b"restored"


def _customer(state: CustomerState) -> Customer:
    try:
        return msgspec.convert(state.data, Customer)
    except msgspec.ValidationError as error:
        raise Conflict(f"The archive's record of {state.customer_id} cannot be read: {error}.") from error


def _keys(state: CustomerState) -> list[KeyDetails]:
    try:
        return [msgspec.convert(key.data, KeyDetails) for key in state.keys if not key.revoked]
    except msgspec.ValidationError as error:
        raise Conflict(f"The archive's record of a key of {state.customer_id} cannot be read: {error}.") from error


def _fields(customer: Customer) -> Pairs:
    fields: Pairs = [
        "status", customer.status, "external_id", customer.external_id, "display_name", customer.display_name,
        "created_at_ms", customer.created_at_ms, "metadata", msgspec.json.encode(customer.metadata),
        "version", customer.version,
    ]  # fmt: skip
    if customer.merged_into is None:
        fields += [text for name in customer.external_ids for text in (external_credential(name), 1)]
    more = {
        "parent": customer.parent_id,
        "merged_into": customer.merged_into,
        "overage": overage_lines(customer.overage),
        "periods": msgspec.json.encode(customer.periods) if customer.periods else None,
        "aliases": msgspec.json.encode(customer.aliases) if customer.aliases else None,
    }
    for name, value in more.items():
        if value:
            fields += [name, value]
    return fields


def _packed(customer_id: str, state: AccountState) -> tuple[bytes, bytes, Pairs, Pairs]:
    """The header, the blocks, the fields of their terms, and the payer's fields with their scopes."""
    totals, blocks = state.totals, state.blocks
    scheduled = sum(block.available for block in blocks if block.state in _WAITING)
    available = sum(block.available for block in blocks) - scheduled
    left = totals.granted - totals.spent - totals.expired - totals.voided
    if scheduled + available != left:
        raise Conflict(
            f"{customer_id} has {left} base units of {state.unit} left by its totals, and {scheduled + available} by "
            "its blocks; it was not restored. `sidecar verify` says more once the others are."
        )
    scopes = _numbered("\n".join(scope_of(block.grant)) for block in blocks)
    series = _numbered(block.grant.series for block in blocks)
    numbers = {block.grant.block_id: block.number for block in blocks}
    awaited = {block.number: numbers.get(block.grant.starts_after_block_id or "", 0) for block in blocks}
    waited_for = {awaited[block.number] for block in blocks if block.state is BlockState.QUEUED}
    packed, terms, scoped = b"", Pairs(), dict[str, bytes]()
    for block in blocks:
        grant = block.grant
        scope = scopes.get("\n".join(scope_of(grant)), 0)
        flags = PAID * bool(grant.price_paid) + AWAITED * (block.number in waited_for)
        packed += _packed_block(block, scope, flags, series.get(grant.series, 0), awaited[block.number])
        terms += [str(block.number), msgspec.json.encode(grant), f"id:{grant.block_id}", block.number]
        for field in scope_of(grant):
            scoped[field] = scoped.get(field, b"") + bytes([scope] if scope not in scoped.get(field, b"") else [])
    terms += [text for scope, number in scopes.items() for text in (f"scope:{scope}", number)]
    terms += [text for name, number in series.items() for text in (f"series:{name}", number)]
    header = HEADER.pack(
        state.seq, totals.granted, scheduled, available, 0, totals.spent, totals.expired, totals.voided, totals.owed,
        NEVER_MS, state.last_number, 0, len(scopes), len(series),
    )  # fmt: skip
    return header, packed, terms, [text for pair in scoped.items() for text in pair]


def _numbered(names: Iterable[str]) -> dict[str, int]:
    """Numbers from 1 for the names that are not empty."""
    return {name: number for number, name in enumerate(dict.fromkeys(filter(None, names)), 1)}


def _packed_block(block: Block, scope: int, flags: int, series: int, after: int) -> bytes:
    queued = block.state is BlockState.QUEUED
    ends = block.grant.duration_ms if queued else block.expires_at_ms
    return BLOCK.pack(
        block.number, block.available, 0, NEVER_MS if ends is None else ends, scope, STATE_NUMBERS[block.state],
        flags, block.grant.priority, series, after, 0 if queued else block.starts_at_ms or 0,
        block.created_at_ms, block.granted, block.lapsed,
    )  # fmt: skip


def _image(state: AccountState) -> bytes:
    return IMAGE.pack(state.seq, *msgspec.structs.astuple(state.totals))
