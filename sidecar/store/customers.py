"""Customers, each in a hash of its own, where `reserve` finds what it needs, as it finds their keys there.

A customer is made in two steps, because its external id lives in another partition: the external id is given to a new
customer id, then the customer is made if it is missing. It is renamed in three: the new external id is given to it,
the customer says that it has it, the old one is free. A crash in between is mended by the next attempt: an external
id belongs to a customer only if both say so.
"""

import os
import struct
from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from sidecar.domain.amounts import checked
from sidecar.domain.customers import (
    ALIASES_MAX,
    NO_METADATA,
    Customer,
    Status,
    checked_external_id,
    checked_metadata,
    checked_name,
)
from sidecar.domain.errors import Conflict, MergedInto, NotFound, StoreCorrupt, VersionConflict
from sidecar.domain.ids import new_id
from sidecar.domain.overage import NO_OVERAGE, Overage
from sidecar.domain.periods import PeriodTerms
from sidecar.store.commands import CREATE_CUSTOMER, HAND_OVER, SET_POOL_CAP, UNCLAIM, UPDATE_CUSTOMER
from sidecar.store.keys import checked_unit
from sidecar.store.overage_text import overage_lines, overage_of_lines
from sidecar.store.proxy_keys import ProxyKeys

_FIELDS = (
    "status", "external_id", "display_name", "created_at_ms", "parent", "metadata", "version", "merged_into",
    "overage", "aliases", "periods",
)  # fmt: skip
_CLAIMS_MAX = 5
"""So often an external id is taken over from a customer that has another one now."""
_UPDATES_MAX = 20
"""So often a change is tried again that met another one."""
_SHARE = struct.Struct(">3d")


class PoolShare(msgspec.Struct, frozen=True, kw_only=True):
    """What a member may hold and spend of its parent's account in one unit, all in all; `cap` None: no limit."""

    unit: str
    cap: int | None
    held: int
    spent: int


class Customers(ProxyKeys):
    """The customers of one tenant's environment, and their keys. Every method may raise StoreError."""

    overage_of_new: Mapping[str, Overage] = NO_OVERAGE
    """The overage policies that customers are made with who pay for themselves."""

    async def create(
        self,
        *,
        external_id: str,
        display_name: str = "",
        now_ms: int,
        parent_id: str | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> tuple[Customer, bool]:
        """Make a customer; False beside it when the external id had one already, which is returned unchanged.

        With a parent it is a member of that customer's pool for ever: what it does is paid from the parent's
        accounts. Raises NotFound (no such parent) and Conflict (the parent is a member itself).
        """
        external_id = checked_external_id(external_id)
        display_name = checked_name(display_name, "display_name")
        if parent_id is not None and (await self.get(parent_id)).parent_id is not None:
            raise Conflict(f"{parent_id} is a member of a pool itself; a pool has one level.")
        customer_id = await self._claim(external_id, self._new_id(now_ms, parent_id))
        if parent_id is not None and self._keys.partition(customer_id) != self._keys.partition(parent_id):
            return await self.get(customer_id), False
        customer = Customer(
            customer_id=customer_id,
            external_id=external_id,
            display_name=display_name,
            status="active",
            created_at_ms=now_ms,
            parent_id=parent_id,
            metadata=checked_metadata(metadata),
            overage=dict(self.overage_of_new) if parent_id is None else {},
        )
        place = self._keys.of(customer_id)
        packed = CREATE_CUSTOMER.pack(
            [place.customer, place.journal],
            [
                customer_id, external_id, display_name, now_ms, parent_id or "",
                msgspec.json.encode(customer.metadata), overage_lines(customer.overage),
                msgspec.json.encode(customer),
            ],
        )  # fmt: skip
        match (await self._lane.send(packed))[0]:
            case b"created":
                return customer, True
            case b"exists":
                return await self.get(customer_id), False
            case word:
                raise StoreCorrupt(f"The script create_customer answered {word!r}.")

    def _new_id(self, now_ms: int, parent_id: str | None) -> str:
        """A fresh customer id; a member's lies in its parent's partition, so that one script reaches both."""
        while True:
            customer_id = new_id("cus", now_ms, os.urandom(10))
            if parent_id is None or self._keys.partition(customer_id) == self._keys.partition(parent_id):
                return customer_id

    async def _claim(self, external_id: str, customer_id: str) -> str:
        """Give the external id to this customer, unless another has it; whose it is then."""
        index = self._keys.external(external_id)
        for _ in range(_CLAIMS_MAX):
            if await self._lane.execute("SET", index, customer_id, "NX"):
                return customer_id
            owner = await self.resolve(external_id)
            if owner is None:
                continue
            kept = await self._read(owner)
            # One that was never made is made by who comes next; one that was renamed has no more right to it.
            if owner == customer_id or kept is None or external_id in kept.external_ids:
                return owner
            await self._lane.send(UNCLAIM.pack([index], [owner]))
        raise Conflict(f"The external id {external_id!r} is being given to others; try again.")

    async def get(self, customer_id: str) -> Customer:
        """Raises NotFound."""
        if (customer := await self._read(customer_id)) is None:
            raise NotFound(f"There is no customer {customer_id}.")
        return customer

    async def find(self, external_id: str) -> Customer | None:
        """The customer whose external id this is."""
        customer_id = await self.resolve(external_id)
        customer = None if customer_id is None else await self._read(customer_id)
        if customer is None or checked_external_id(external_id) not in customer.external_ids:
            return None
        return customer

    async def _read(self, customer_id: str) -> Customer | None:
        reply = await self._lane.execute("HMGET", self._keys.of(customer_id).customer, *_FIELDS)
        if reply[0] is None:
            return None
        status, external_id, display_name, created_at_ms = (field.decode() for field in reply[:4])
        parent, metadata, version, merged_into, overage, aliases, periods = reply[4:]
        return Customer(
            customer_id=customer_id,
            external_id=external_id,
            display_name=display_name,
            status=status,
            created_at_ms=int(created_at_ms),
            parent_id=parent.decode() if parent else None,
            metadata=msgspec.json.decode(metadata, type=dict[str, str]) if metadata else {},
            version=int(version or 1),
            merged_into=merged_into.decode() if merged_into else None,
            overage=overage_of_lines(overage.decode()) if overage else {},
            aliases=msgspec.json.decode(aliases, type=tuple[str, ...]) if aliases else (),
            periods=msgspec.json.decode(periods, type=dict[str, PeriodTerms]) if periods else {},
        )

    async def update(
        self, customer_id: str, change: Callable[[Customer], Customer], *, expected: int | None = None
    ) -> Customer:
        """Let a customer be what `change` makes of it; nothing is written where that is what it was.

        Raises NotFound; VersionConflict when its version is not `expected`; Conflict when others change it all the
        time, or it was merged into another.
        """
        for _ in range(_UPDATES_MAX):
            customer = await self.get(customer_id)
            if expected not in {None, customer.version}:
                raise VersionConflict(
                    f"{customer_id} has version {customer.version} now, not {expected}: read it again."
                )
            if customer.status == Status.MERGED:
                raise MergedInto(customer_id, customer.merged_into or "")
            changed = change(customer)
            if changed == customer:
                return customer
            changed = replace(changed, version=customer.version + 1)
            if await self._write(changed, customer.version):
                return changed
        raise Conflict(f"{customer_id} is being changed by others; try again.")

    async def _write(self, customer: Customer, read: int) -> bool:
        place = self._keys.of(customer.customer_id)
        packed = UPDATE_CUSTOMER.pack(
            [place.customer, place.journal],
            [
                customer.customer_id, read, customer.external_id, customer.display_name, customer.status,
                msgspec.json.encode(customer.metadata), customer.merged_into or "", overage_lines(customer.overage),
                msgspec.json.encode(customer.aliases), msgspec.json.encode(customer.periods),
                msgspec.json.encode(customer),
                *(() if customer.status == Status.MERGED else customer.external_ids),
            ],
        )  # fmt: skip
        match (await self._lane.send(packed))[0]:
            case b"updated":
                return True
            case b"changed":
                return False
            case b"unknown":
                raise NotFound(f"There is no customer {customer.customer_id}.")
            case word:
                raise StoreCorrupt(f"The script update_customer answered {word!r}.")

    async def rename(self, customer_id: str, external_id: str, *, expected: int | None = None) -> Customer:
        """Give a customer another external id; the old one is free then. Raises as `update`; Conflict when taken."""
        external_id = checked_external_id(external_id)
        before = await self.get(customer_id)

        def named(customer: Customer) -> Customer:
            aliases = tuple(each for each in customer.aliases if each != external_id)
            return replace(customer, external_id=external_id, aliases=aliases)

        owner = await self._claim(external_id, customer_id)
        if owner != customer_id:
            raise Conflict(f"The external id {external_id!r} belongs to {owner}.")
        try:
            renamed = await self.update(customer_id, named, expected=expected)
        except (Conflict, VersionConflict, NotFound):
            if external_id not in before.external_ids:
                await self.release(external_id, customer_id)
            raise
        if before.external_id != external_id:
            await self.release(before.external_id, customer_id)
        return renamed

    async def merge(self, customer_id: str, into_id: str) -> Customer:
        """Let a customer be another one, for ever: from now on it can neither ask for credit nor be given any.

        What it was called by stands among its aliases until `hand_over`. Safe to repeat. Raises NotFound; MergedInto
        when it is a third one; Conflict when others change it all the time.
        """
        external_id = f"merged:{customer_id}"
        for _ in range(_UPDATES_MAX):
            customer = await self.get(customer_id)
            if customer.merged_into == into_id:
                return customer
            if customer.merged_into is not None:
                raise MergedInto(customer_id, customer.merged_into)
            await self._claim(external_id, customer_id)
            merged = replace(
                customer,
                external_id=external_id,
                aliases=customer.external_ids,
                status=Status.MERGED,
                merged_into=into_id,
                version=customer.version + 1,
            )
            if await self._write(merged, customer.version):
                return merged
        raise Conflict(f"{customer_id} is being changed by others; try again.")

    async def hand_over(self, merged: Customer) -> Customer:
        """Give what a merged customer was called by to who it is now; then forget who it was. Safe to repeat.

        Answers who it is now. Raises NotFound; Conflict when that one has too many external ids, or others have one.
        """
        assert merged.merged_into is not None, "it was merged"
        names = merged.aliases

        def called(customer: Customer) -> Customer:
            aliases = (*customer.aliases, *(name for name in names if name not in customer.external_ids))
            if len(aliases) > ALIASES_MAX:
                raise Conflict(f"{customer.customer_id} can have {ALIASES_MAX} external ids beside its own.")
            return replace(customer, aliases=aliases)

        now = await self.update(merged.merged_into, called)
        for name in names:
            keys = [self._keys.external(name)]
            reply = await self._lane.send(HAND_OVER.pack(keys, [merged.customer_id, merged.merged_into]))
            match reply:
                case [b"given"]:
                    continue
                case [b"taken", owner]:
                    raise Conflict(f"The external id {name!r} belongs to {owner.decode()} meanwhile.")
            raise StoreCorrupt(f"The script hand_over answered {reply!r}.")
        forgotten = replace(merged, aliases=(), display_name="", metadata={}, version=merged.version + 1)
        if names:
            await self._write(forgotten, merged.version)
        return now

    async def release(self, external_id: str, customer_id: str) -> None:
        """Let an external id be free for others that the customer says no more that it has."""
        await self._lane.send(UNCLAIM.pack([self._keys.external(external_id)], [customer_id]))

    async def set_pool_cap(self, customer_id: str, unit: str, cap: int | None) -> PoolShare:
        """Say how much of its parent's account a member may hold and spend, all in all. Raises NotFound, Conflict."""
        parent_id = (await self.get(customer_id)).parent_id
        if parent_id is None:
            raise Conflict(f"{customer_id} is in no pool; a cap is for members of one.")
        limit = -1 if cap is None else checked(cap, "cap")
        parent, member = self._keys.of(parent_id), self._keys.of(customer_id)
        packed = SET_POOL_CAP.pack(
            [parent.customer, member.customer, parent.journal], [parent_id, customer_id, checked_unit(unit), limit]
        )
        word, held, spent = await self._lane.send(packed)
        if word != b"set":
            raise StoreCorrupt(f"The script set_pool_cap answered {word!r}.")
        return PoolShare(unit=unit, cap=cap, held=held, spent=spent)

    async def pool_share(self, customer_id: str, unit: str) -> PoolShare:
        """What counts against a member's cap. Raises NotFound; Conflict for who is in no pool."""
        parent_id = (await self.get(customer_id)).parent_id
        if parent_id is None:
            raise Conflict(f"{customer_id} is in no pool.")
        field = f"member:{customer_id}:{checked_unit(unit)}"
        packed: bytes | None = await self._lane.execute("HGET", self._keys.of(parent_id).customer, field)
        cap, held, spent = map(int, _SHARE.unpack(packed)) if packed else (-1, 0, 0)
        return PoolShare(unit=unit, cap=None if cap < 0 else cap, held=held, spent=spent)

    async def resolve(self, external_id: str) -> str | None:
        """The customer that an external id was given to; the customer itself says whether it has it still."""
        reply: bytes | None = await self._lane.execute("GET", self._keys.external(checked_external_id(external_id)))
        return None if reply is None else reply.decode()
