"""Reads accounts and grants credit blocks: the operations that a person or a program asks for, not a request.

`lua/shared/account.lua` and `blocks.lua` describe what an account looks like in the store.
"""

import asyncio
import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import BLOCKS_MAX, NEVER_MS, Block, BlockState, Grant, bonus_id, checked_grant
from sidecar.domain.errors import (
    AmountOverflow,
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    MergedInto,
    NotFound,
    StoreCorrupt,
)
from sidecar.domain.history import BlockSums
from sidecar.domain.journal import Kind, Totals
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Account, Balance, Changed, Granted, Overrun, TakenBack
from sidecar.store.account_text import BLOCK, HEADER, IMAGE, STATES
from sidecar.store.business_keys import BusinessKeys
from sidecar.store.commands import CHARGEBACK, EXTEND, GRANT, LOOK, VOID
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

_DETAIL = msgspec.json.Encoder()


class Accounts:
    """The accounts of one tenant's environment.

    Every method raises `StoreUnavailable` (nothing happened), `StoreTimeout` (unknown) or `StoreCorrupt`. Writes are
    answered once for each idempotency key in 24 hours; IdempotencyMismatch when it was used for another request.
    """

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)
        self._business_keys = BusinessKeys(lane, self._keys)

    async def payer_of(self, customer_id: str) -> str:
        """Who pays for a customer: its parent, or itself. Raises NotFound."""
        place = self._keys.of(customer_id)
        status, parent = await self._lane.execute("HMGET", place.customer, "status", "parent")
        if status is None:
            raise NotFound(f"There is no customer {customer_id}.")
        return parent.decode() if parent else customer_id

    async def accounts(self, customer_id: str) -> list[Account]:
        """What a customer has, one account for each unit, sorted by unit; what has lapsed by now is left out.

        Raises NotFound.
        """
        place = self._keys.of(customer_id)
        status, units = await self._lane.execute("HMGET", place.customer, "status", "units")
        if status is None:
            raise NotFound(f"There is no customer {customer_id}.")
        names = sorted((units or b"").decode().split())
        return list(await asyncio.gather(*(self.account(customer_id, unit) for unit in names)))

    async def account(self, customer_id: str, unit: str) -> Account:
        """One account; an empty one where nothing was ever granted."""
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, unit)
        packed = LOOK.pack([*place.ledger, account.account, account.terms], [account.name])
        text, terms = await self._lane.send(packed)
        return _account(unit, text, terms)

    async def balances(self, customer_id: str) -> list[Balance]:
        """The totals of `accounts`. Raises NotFound."""
        return [balance_of(account.unit, account.totals) for account in await self.accounts(customer_id)]

    async def grant(
        self, customer_id: str, grant: Grant, once: Once, detail: Mapping[str, str] | None = None
    ) -> Granted:
        """Give a customer a credit block; debt is repaid first, when the block starts.

        Raises, in this order: InvalidInput, IdempotencyMismatch, NotFound (the customer, or the block to start
        after), Conflict (its business key was used for another grant, or there are too many blocks),
        AmountOverflow; nothing was changed then. MergedInto, a Conflict, when it is another customer now.
        """
        checked_grant(grant)
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, grant.unit)
        keys = [
            *place.ledger, account.account, account.terms, place.business,
            self._keys.ledger_once(customer_id, once.key),
        ]  # fmt: skip
        # The key of what was on its way is its receiver's alone.
        business = [] if grant.transfer is not None else business_keys(grant)
        await self._business_keys.claim(customer_id, business)
        reply = await self._lane.send(GRANT.pack(keys, _grant_arguments(account.name, grant, once, detail or {})))
        if reply[0] not in {b"granted", b"replayed", b"duplicate"}:
            await self._business_keys.unclaim(customer_id, business)
        match reply[0]:
            case b"granted" | b"replayed" | b"duplicate":
                return _granted(reply)
            case b"capped":
                totals = (await self.account(customer_id, grant.unit)).totals
                return Granted(block_id=None, amount=0, totals=totals, withheld=grant.amount)
        raise _grant_error(customer_id, grant, reply)

    async def void(
        self, customer_id: str, unit: str, block_id: str, once: Once, detail: Mapping[str, str] | None = None
    ) -> Changed:
        """End a block now. What holds keep of it can still be charged; what comes back is voided too.

        Raises NotFound: there is no such block, or it is over.
        """
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, unit)
        keys = [*place.ledger, account.account, account.terms, self._keys.ledger_once(customer_id, once.key)]
        packed = VOID.pack(keys, [account.name, once.fingerprint, block_id, _DETAIL.encode(detail or {})])
        return _changed("void", customer_id, block_id, await self._lane.send(packed))

    async def take_back(
        self,
        customer_id: str,
        block_id: str,
        known: BlockSums,
        amount: int | None,
        once: Once,
        detail: Mapping[str, str] | None = None,
        *,
        overrun: Overrun,
    ) -> TakenBack | None:
        """Take back what was granted for money that went back: a block with its bonus, or `amount` of the block.

        What is left of it is voided (of an amount: spent); what was spent is taken out of other blocks and is debt
        then, or with CAP let go. `known`: what the archive has of it; None: that was old, look again. Raises
        IdempotencyMismatch; Conflict when there is not so much to take back.
        """
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, known.unit)
        keys = [
            *place.ledger, account.account, account.terms, place.business,
            self._keys.ledger_once(customer_id, once.key),
        ]  # fmt: skip
        arguments: list[bytes | str | int] = [
            account.name, once.fingerprint, block_id, bonus_id(block_id), amount or 0, overrun.value, known.spent,
            known.remaining, known.taken_back, f"{block_id} {customer_id} 1 0 {known.unit}=0 - - -",
            _DETAIL.encode(detail or {}),
        ]  # fmt: skip
        return _taken_back(await self._lane.send(CHARGEBACK.pack(keys, arguments)))

    async def extend(
        self,
        customer_id: str,
        unit: str,
        block_id: str,
        expires_at_ms: int | None,
        once: Once,
        detail: Mapping[str, str] | None = None,
    ) -> Changed:
        """Move a block's expiry, to earlier too; None: it never expires.

        Raises NotFound as `void`; Conflict for a block that waits for another; InvalidInput for a time that is past.
        """
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, unit)
        keys = [*place.ledger, account.account, account.terms, self._keys.ledger_once(customer_id, once.key)]
        arguments: list[bytes | str | int] = [
            account.name, once.fingerprint, block_id, _DETAIL.encode(detail or {}), expires_at_ms or 0,
        ]  # fmt: skip
        return _changed("extend", customer_id, block_id, await self._lane.send(EXTEND.pack(keys, arguments)))


def balance_of(unit: str, totals: Totals) -> Balance:
    return Balance(
        unit=unit,
        granted=totals.granted,
        available=totals.available,
        held=totals.held,
        spent=totals.spent,
        owed=totals.owed,
        scheduled=totals.scheduled,
        expired=totals.expired,
        voided=totals.voided,
    )


def totals_of(image: bytes) -> tuple[int, Totals]:
    """The number of an account's last journal line, and its totals after it."""
    amounts = IMAGE.unpack(image) if len(image) == IMAGE.size else ()
    if not amounts or not all(amount.is_integer() and 0 <= amount <= MAX_AMOUNT for amount in amounts):
        raise StoreCorrupt(f"The totals of an account are {image!r}: not nine whole amounts.")
    seq, granted, scheduled, available, held, spent, expired, voided, owed = map(int, amounts)
    return seq, Totals(
        granted=granted,
        scheduled=scheduled,
        available=available,
        held=held,
        spent=spent,
        expired=expired,
        voided=voided,
        owed=owed,
    )


def _grant_arguments(name: str, grant: Grant, once: Once, detail: Mapping[str, str]) -> list[bytes | str | int]:
    business, scope = business_keys(grant), scope_of(grant)
    return [
        name,
        once.fingerprint,
        grant.block_id,
        grant.amount,
        grant.priority,
        1 if grant.price_paid else 0,
        grant.starts_at_ms or 0,
        grant.expires_at_ms or 0,
        grant.duration_ms or 0,
        grant.starts_after_block_id or "",
        grant.series,
        -1 if grant.cap is None else grant.cap,
        "\n".join(scope),
        msgspec.json.encode(grant),
        _DETAIL.encode(detail),
        grant.bonus,
        bonus_id(grant.block_id),
        msgspec.json.encode(grant.bonus_grant()) if grant.bonus else b"",
        Kind.GRANT if grant.transfer is None else Kind.TRANSFER_IN,
        len(business),
        *business,
        *scope,
    ]


def scope_of(grant: Grant) -> list[str]:
    """Fields of the payer's hash that list the blocks of this scope; none when anybody may draw from it."""
    return [
        *(f"feature:{grant.unit}:{each}" for each in sorted(grant.eligible_features)),
        *(f"rule:{grant.unit}:{each}" for each in sorted(grant.eligible_rules)),
    ]


def business_keys(grant: Grant) -> list[str]:
    """The names of the business keys that a grant uses."""
    pairs = (
        ("dedup", grant.dedup_key), ("payment", grant.external_payment_id), ("transfer", grant.transfer),
        ("purchase", None if grant.purchase is None else grant.purchase.purchase_id),
    )  # fmt: skip
    return [f"{kind}:{key}" for kind, key in pairs if key is not None]


def _granted(reply: list[Any]) -> Granted:
    answer: bytes = reply[1]
    amount, withheld = map(int, struct.unpack(">dd", answer[:16]))
    _, totals = totals_of(answer[16 : 16 + IMAGE.size])
    entry, block_id = answer[16 + IMAGE.size :].decode().split(" ", 1)
    return Granted(
        block_id=block_id,
        amount=amount,
        totals=totals,
        entry=entry,
        withheld=withheld,
        replayed=reply[0] == b"replayed",
        duplicate=reply[0] == b"duplicate",
    )


def _grant_error(customer_id: str, grant: Grant, reply: list[Any]) -> Exception:
    match reply[0]:
        case b"mismatch":
            return IdempotencyMismatch()
        case b"unknown":
            return NotFound(f"There is no customer {customer_id}.")
        case b"used":
            key = reply[1].decode().partition(":")[2]
            return Conflict(f"The key {key!r} was used for another grant; it is good for one, for ever.")
        case b"merged":
            return MergedInto(customer_id, reply[1].decode())
        case b"past":
            return InvalidInput(
                f"A block must expire after now ({reply[1]} ms) and after it starts. Nothing was granted.",
                "expires_at_ms",
            )
        case b"no_block":
            return NotFound(
                f"{customer_id} has no live block {grant.starts_after_block_id} to start after; leave it out to "
                "start at once."
            )
        case b"overflow":
            return AmountOverflow(
                f"{customer_id} was granted {reply[1]} base units of {grant.unit} so far; "
                f"{grant.amount + grant.bonus} more would pass {MAX_AMOUNT}. Nothing was granted."
            )
        case b"too_many":
            return Conflict(f"{customer_id} has {BLOCKS_MAX} live blocks of {grant.unit}; void or use some up first.")
        case b"scopes":
            return Conflict(
                f"{customer_id} has blocks of {grant.unit} with 255 different sets of features and rules."
            )
    return StoreCorrupt(f"The script grant answered {reply!r}.")


def _changed(script: str, customer_id: str, block_id: str, reply: list[Any]) -> Changed:
    match reply[0]:
        case b"voided" | b"extended" | b"replayed":
            answer: bytes = reply[1]
            (amount,) = struct.unpack(">d", answer[:8])
            _, totals = totals_of(answer[8 : 8 + IMAGE.size])
            return Changed(
                block_id=block_id,
                amount=int(amount),
                totals=totals,
                entry=answer[8 + IMAGE.size :].decode(),
                replayed=reply[0] == b"replayed",
            )
        case b"mismatch":
            raise IdempotencyMismatch
        case b"no_block":
            raise NotFound(f"{customer_id} has no live block {block_id}.")
        case b"queued":
            raise Conflict(f"The block {block_id} waits for another one; its expiry follows from its start.")
        case b"past":
            raise InvalidInput(f"A block must expire after now ({reply[1]} ms) and after it starts.", "expires_at_ms")
    raise StoreCorrupt(f"The script {script} answered {reply!r}.")


def _taken_back(reply: list[Any]) -> TakenBack | None:
    match reply[0]:
        case b"taken" | b"replayed":
            answer: bytes = reply[1]
            voided, charged, owed, uncollected = map(int, struct.unpack(">dddd", answer[:32]))
            return TakenBack(
                voided=voided,
                charged=charged,
                owed=owed,
                uncollected=uncollected,
                totals=totals_of(answer[32 : 32 + IMAGE.size])[1],
                entry=answer[32 + IMAGE.size :].decode(),
                replayed=reply[0] == b"replayed",
            )
        case b"mismatch":
            raise IdempotencyMismatch
        case b"again":
            return None
        case b"exceeded":
            raise Conflict(f"No more than {reply[1]} base units of this top-up can be taken back. Nothing was.")
    raise StoreCorrupt(f"The script chargeback answered {reply!r}.")


def _account(unit: str, text: bytes, terms: list[bytes | None]) -> Account:
    seq, totals = totals_of(text[: IMAGE.size])
    try:
        entries = list(BLOCK.iter_unpack(text[HEADER.size :]))
        grants = [msgspec.json.decode(each or b"", type=Grant) for each in terms]
        blocks, position = [], 0
        for entry, grant in zip(entries, grants, strict=True):
            block = _block(entry, grant)
            if block.state is BlockState.ACTIVE:
                position += 1
                block = msgspec.structs.replace(block, burn_position=position)
            blocks.append(block)
    except (struct.error, KeyError, ValueError, msgspec.DecodeError) as error:
        raise StoreCorrupt(f"The blocks of an account of {unit} cannot be read: {error}.") from error
    return Account(unit=unit, seq=seq, totals=totals, blocks=tuple(blocks))


def _block(entry: tuple[Any, ...], grant: Grant) -> Block:
    number, available, held, ends_at, _, state, _, _, _, _, starts_at, created_at, granted, lapsed = entry
    queued = STATES[state] is BlockState.QUEUED
    return Block(
        number=number,
        grant=grant,
        state=STATES[state],
        granted=int(granted),
        available=int(available),
        held=int(held),
        lapsed=int(lapsed),
        created_at_ms=int(created_at),
        starts_at_ms=None if queued else int(starts_at),
        expires_at_ms=None if queued or ends_at == NEVER_MS else int(ends_at),
    )
