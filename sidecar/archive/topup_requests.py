"""Requests for top-ups: made and fulfilled with the ledger's entries that are the reason, declined by who cannot pay.

A balance is looked at with its entries, and now and then besides: one that is empty may have no entries any more.
Whoever looks has locked the account, so that nobody makes two requests for one balance; an index says the same.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import astuple
from sqlalchemy import and_, or_, select, tuple_, update

from sidecar.archive import events
from sidecar.archive.bookkeeping import AccountKey, Books
from sidecar.archive.database import Database, Transaction
from sidecar.archive.paging import checked_limit, cursor_of, mark_of
from sidecar.archive.schema import (
    AccountRow,
    CustomerRow,
    EventRow,
    accounts,
    customers,
    row_of,
    topup_requests,
    watches,
)
from sidecar.archive.signals import balance_after
from sidecar.domain.auto_topups import MONTH_MS, AutoTopup, RequestFilter, RequestState, TopupRequest
from sidecar.domain.customers import Status
from sidecar.domain.errors import Conflict, NotFound
from sidecar.domain.events import EventType
from sidecar.domain.history import Page
from sidecar.domain.ids import new_id
from sidecar.domain.watches import WatchKind

_PAGE: Final = 500
_REQUEST = topup_requests.c


async def follow(transaction: Transaction, books: Books, now_ms: int) -> None:
    """End the requests whose top-ups a batch granted; then ask for those balances that it left low."""
    for request_id, topup_id in books.signals.fulfilled.items():
        fulfilled = {"state": RequestState.FULFILLED.value, "ended_at_ms": now_ms, "topup_id": topup_id, "reason": ""}
        ended = and_(_REQUEST.request_id == request_id, _REQUEST.state != RequestState.FULFILLED.value)
        await transaction.connection.execute(update(topup_requests).where(ended).values(fulfilled))
    told = await _ask(transaction, books.signals.auto_topups, books.accounts, books.customers, now_ms)
    books.signals.events += told


async def look(database: Database, now_ms: int) -> int:
    """Ask for all balances that are low and that nothing is asked for; how many there were."""
    asked, last = 0, ("", "")
    while True:
        place = (watches.c.customer_id, watches.c.unit)
        outstanding = and_(
            _REQUEST.customer_id == place[0],
            _REQUEST.unit == place[1],
            _REQUEST.state == RequestState.OUTSTANDING.value,
        )
        there = and_(accounts.c.customer_id == place[0], accounts.c.unit == place[1])
        statement = (
            select(*place, watches.c.body, accounts.c.available, accounts.c.held)
            .select_from(watches.join(accounts, there).outerjoin(topup_requests, outstanding))
            .where(watches.c.kind == WatchKind.AUTO_TOPUP.value, _REQUEST.request_id.is_(None), tuple_(*place) > last)
            .order_by(*place)
            .limit(_PAGE)
        )
        async with database.reading() as transaction:
            rows = (await transaction.connection.execute(statement)).all()
        for row in rows:
            if row.available + row.held <= msgspec.json.decode(row.body, type=AutoTopup).threshold:
                asked += await look_at(database, row.customer_id, row.unit, now_ms)
        if len(rows) < _PAGE:
            return asked
        last = (rows[-1].customer_id, rows[-1].unit)


async def look_at(database: Database, customer_id: str, unit: str, now_ms: int) -> bool:
    """Ask for one balance, if it is low and nothing is asked for; whether it was."""
    here = and_(accounts.c.customer_id == customer_id, accounts.c.unit == unit)
    rule = and_(
        watches.c.customer_id == customer_id, watches.c.unit == unit, watches.c.kind == WatchKind.AUTO_TOPUP.value
    )
    async with database.writing() as transaction:
        locked = (await transaction.connection.execute(accounts.select().where(here).with_for_update())).first()
        body = (await transaction.connection.execute(select(watches.c.body).where(rule))).scalar_one_or_none()
        if locked is None or body is None:
            return False
        rules = {(customer_id, unit): msgspec.json.decode(body, type=AutoTopup)}
        books = {(customer_id, unit): row_of(AccountRow, tuple(locked))}
        told = await _ask(transaction, rules, books, {}, now_ms)
        await events.append(transaction, told)
    return bool(told)


async def _ask(
    transaction: Transaction,
    rules: Mapping[AccountKey, AutoTopup],
    books: Mapping[AccountKey, AccountRow],
    changed: Mapping[str, CustomerRow],
    now_ms: int,
) -> list[EventRow]:
    """Make the requests that the rules want, of accounts that nobody else changes now; what there is to tell of it.

    `changed` are customers as they will be, where they are not as the database has them.
    """
    low = {place: rule for place, rule in rules.items() if books[place].left <= rule.threshold}
    if not low:
        return []
    before = await _before(transaction, low, now_ms)
    active = await _active(transaction, low, changed)
    requests = []
    for (customer_id, unit), rule in low.items():
        made = before[customer_id, unit]
        outstanding = any(request.state == RequestState.OUTSTANDING.value for request in made)
        if outstanding or customer_id not in active or not rule.asks([each.made_at_ms for each in made], now_ms):
            continue
        request = TopupRequest(
            request_id=new_id("atr", now_ms, os.urandom(10)),
            customer_id=customer_id,
            unit=unit,
            state=RequestState.OUTSTANDING.value,
            package_id=rule.package_id,
            threshold=rule.threshold,
            balance=books[customer_id, unit].left,
            made_at_ms=now_ms,
        )
        requests.append(request)
    if requests:
        await transaction.bulk.insert(topup_requests, [astuple(request) for request in requests])
    return [_told(request, books[request.customer_id, request.unit]) for request in requests]


def _told(request: TopupRequest, account: AccountRow) -> EventRow:
    data = {
        "request_id": request.request_id,
        "package_id": request.package_id,
        "threshold": request.threshold,
        "balance": balance_after(account),
        "entry_id": account.entry_id,
    }
    return EventRow(
        event_id=f"evt_{request.request_id.removeprefix('atr_')}",
        type=EventType.TOPUP_REQUESTED.value,
        customer_id=request.customer_id,
        unit=request.unit,
        occurred_at_ms=request.made_at_ms,
        data=msgspec.json.encode(data).decode(),
    )


async def _before(
    transaction: Transaction, low: Mapping[AccountKey, AutoTopup], now_ms: int
) -> defaultdict[AccountKey, list[TopupRequest]]:
    """Requests of these customers that are outstanding, or were made so lately that they matter."""
    matters = or_(
        _REQUEST.state == RequestState.OUTSTANDING.value,
        _REQUEST.made_at_ms > now_ms - max(MONTH_MS, *(rule.cool_down_s * 1000 for rule in low.values())),
    )
    owners = {customer_id for customer_id, _ in low}
    found: defaultdict[AccountKey, list[TopupRequest]] = defaultdict(list)
    rows = await transaction.connection.execute(
        topup_requests.select().where(_REQUEST.customer_id.in_(owners), matters)
    )
    for row in rows:
        found[row.customer_id, row.unit].append(row_of(TopupRequest, row))
    return found


async def _active(
    transaction: Transaction, low: Mapping[AccountKey, AutoTopup], changed: Mapping[str, CustomerRow]
) -> set[str]:
    """Those of the customers who are not suspended, and the like."""
    wanted = [(customer_id,) for customer_id in {owner for owner, _ in low}]
    kept = (row_of(CustomerRow, row) for row in await transaction.bulk.fetch(customers, ["customer_id"], wanted))
    known = {row.customer_id: row for row in kept} | dict(changed)
    return {row.customer_id for row in known.values() if row.status == Status.ACTIVE}


async def cancel(transaction: Transaction, customer_id: str, unit: str, now_ms: int) -> None:
    """End the outstanding request of a balance, if there is one: its rule is taken away."""
    outstanding = and_(
        _REQUEST.customer_id == customer_id,
        _REQUEST.unit == unit,
        _REQUEST.state == RequestState.OUTSTANDING.value,
    )
    canceled = {"state": RequestState.CANCELED.value, "ended_at_ms": now_ms}
    await transaction.connection.execute(update(topup_requests).where(outstanding).values(canceled))


async def decline(database: Database, request_id: str, reason: str, now_ms: int) -> TopupRequest:
    """Say that a request will not be fulfilled; one that was declined stays as it is.

    Raises NotFound, Conflict for one that has ended otherwise.
    """
    async with database.writing() as transaction:
        statement = topup_requests.select().where(_REQUEST.request_id == request_id).with_for_update()
        row = (await transaction.connection.execute(statement)).first()
        request = _found(request_id, row)
        if request.state == RequestState.FAILED.value:
            return request
        if request.state != RequestState.OUTSTANDING.value:
            raise Conflict(f"{request_id} is {request.state} already.")
        failed = {"state": RequestState.FAILED.value, "ended_at_ms": now_ms, "reason": reason}
        changed = update(topup_requests).where(_REQUEST.request_id == request_id).values(failed)
        await transaction.connection.execute(changed)
    return await one(database, request_id)


async def one(database: Database, request_id: str) -> TopupRequest:
    """Raises NotFound."""
    async with database.reading() as transaction:
        statement = topup_requests.select().where(_REQUEST.request_id == request_id)
        return _found(request_id, (await transaction.connection.execute(statement)).first())


async def page(database: Database, wanted: RequestFilter, cursor: str | None, limit: int) -> Page[TopupRequest]:
    """The newest first. InvalidInput for a cursor that is none."""
    statement = select(topup_requests).order_by(_REQUEST.request_id.desc())
    if wanted.state is not None:
        statement = statement.where(_REQUEST.state == wanted.state.value)
    if wanted.customer_id is not None:
        statement = statement.where(_REQUEST.customer_id == wanted.customer_id)
    if cursor is not None:
        (mark,) = mark_of(cursor, (str,))
        statement = statement.where(_REQUEST.request_id < mark)
    async with database.reading() as transaction:
        rows = (await transaction.connection.execute(statement.limit(checked_limit(limit) + 1))).all()
    items = tuple(row_of(TopupRequest, row) for row in rows[:limit])
    return Page(items, cursor_of((items[-1].request_id,)) if len(rows) > limit else None)


def _found(request_id: str, row: object) -> TopupRequest:
    if row is None:
        raise NotFound(f"There is no top-up request {request_id}.")
    return row_of(TopupRequest, tuple(row))  # type: ignore[arg-type]  # a row of the table
