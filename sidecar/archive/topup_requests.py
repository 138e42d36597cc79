"""Requests for top-ups: made and fulfilled with the ledger's entries that are the reason, declined by who cannot pay.

A partition is archived by one transaction at a time, so two archivers never make two requests for one balance; an
index says the same.
"""

from collections import defaultdict
from collections.abc import Mapping

from msgspec.structs import astuple
from sqlalchemy import and_, or_, select, update

from sidecar.archive.bookkeeping import AccountKey, Books
from sidecar.archive.database import Database, Transaction
from sidecar.archive.paging import checked_limit, cursor_of, mark_of
from sidecar.archive.schema import CustomerRow, customers, row_of, topup_requests
from sidecar.domain.auto_topups import MONTH_MS, AutoTopup, RequestFilter, RequestState, TopupRequest
from sidecar.domain.customers import Status
from sidecar.domain.errors import Conflict, NotFound
from sidecar.domain.events import EventType
from sidecar.domain.history import Page

_REQUEST = topup_requests.c


async def follow(transaction: Transaction, books: Books, now_ms: int) -> None:
    """End the requests whose top-ups a batch granted; then ask for those balances that it left low."""
    for request_id, topup_id in books.signals.fulfilled.items():
        fulfilled = {"state": RequestState.FULFILLED.value, "ended_at_ms": now_ms, "topup_id": topup_id, "reason": ""}
        ended = and_(_REQUEST.request_id == request_id, _REQUEST.state != RequestState.FULFILLED.value)
        await transaction.connection.execute(update(topup_requests).where(ended).values(fulfilled))
    rules = books.signals.auto_topups
    low = {place: rule for place, rule in rules.items() if books.accounts[place].left <= rule.threshold}
    if low:
        await _ask(transaction, books, low, now_ms)


async def _ask(transaction: Transaction, books: Books, low: Mapping[AccountKey, AutoTopup], now_ms: int) -> None:
    before = await _before(transaction, low, now_ms)
    active = await _active(transaction, books, low)
    requests = []
    for (customer_id, unit), rule in low.items():
        made = before[customer_id, unit]
        outstanding = any(request.state == RequestState.OUTSTANDING.value for request in made)
        if outstanding or customer_id not in active or not rule.asks([each.made_at_ms for each in made], now_ms):
            continue
        account = books.accounts[customer_id, unit]
        request = TopupRequest(
            request_id=f"atr_{account.entry_id.removeprefix('ent_')}",
            customer_id=customer_id,
            unit=unit,
            state=RequestState.OUTSTANDING.value,
            package_id=rule.package_id,
            threshold=rule.threshold,
            balance=account.left,
            made_at_ms=now_ms,
        )
        requests.append(request)
        data = {"request_id": request.request_id, "package_id": rule.package_id, "threshold": rule.threshold}
        books.signals.tell_of(account, EventType.TOPUP_REQUESTED, data, now_ms)
    if requests:
        await transaction.bulk.insert(topup_requests, [astuple(request) for request in requests])


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


async def _active(transaction: Transaction, books: Books, low: Mapping[AccountKey, AutoTopup]) -> set[str]:
    """Those of the customers who are not suspended, and the like."""
    wanted = [(customer_id,) for customer_id in {owner for owner, _ in low}]
    kept = (row_of(CustomerRow, row) for row in await transaction.bulk.fetch(customers, ["customer_id"], wanted))
    known = {row.customer_id: row for row in kept} | books.customers
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
