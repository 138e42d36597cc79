"""The past: the ledger of a customer, what was used, and all of it as a file."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

import msgspec

from sidecar.control import exports
from sidecar.control.endpoint import BY_ID, Call, Given, Query, Stream, endpoint
from sidecar.control.history_schema import (
    EntriesWanted,
    EntryPage,
    EntryView,
    ExportQuery,
    LedgerQuery,
    UsagePage,
    UsageQuery,
    UsageView,
)
from sidecar.control.pools import payer_of
from sidecar.control.schema import Nothing, Pagination, epoch_ms
from sidecar.domain.customers import Customer
from sidecar.domain.errors import InvalidInput
from sidecar.domain.history import EntryFilter, UsageBy
from sidecar.domain.journal import Kind
from sidecar.domain.scopes import Scope
from sidecar.domain.usage_words import dimension_name

Word = TypeVar("Word", bound=StrEnum)


async def show_ledger(call: Call[Nothing, LedgerQuery]) -> Given[EntryPage]:
    """List what happened on a customer's accounts, the newest first.

    Of a member of a pool: what it was charged of its parent's accounts. It has everything that had happened when it
    was asked.
    """
    query, parts = call.query, call.parts
    wanted = _entries(query, call.customer)
    await _let_happen(call, call.customer)
    page = await parts.history.entries(wanted, query.cursor, query.limit)
    views = [EntryView.of(entry, parts.units.get(entry.unit)) for entry in page.items]
    return Given(EntryPage(data=views, pagination=Pagination.of(page.next_cursor)))


async def export_customer_ledger(call: Call[Nothing, ExportQuery]) -> Given[Stream]:
    """Give the ledger of a customer as NDJSON or CSV, the oldest entry first.

    A file that breaks off ends without the last chunk of HTTP: clients tell it from a whole one.
    """
    await _let_happen(call, call.customer)
    return Given(_export(call, call.customer))


async def export_ledger(call: Call[Nothing, ExportQuery]) -> Given[Stream]:
    """Give the ledger of all customers as NDJSON or CSV, the oldest entry first."""
    return Given(_export(call, None))


async def summarise_usage(call: Call[Nothing, UsageQuery]) -> Given[UsagePage]:
    """Add up what requests were charged, by one or two of feature, rule, customer, model, source, hour and day.

    Or by what their price was chosen by, such as request.size. In the order of the groups; units are never mixed. Of
    a customer with a pool, what its members used counts too.
    """
    query, parts = call.query, call.parts
    groups = [group_word(word) for word in query.group_by.split(",")]
    customer = await parts.customers.get(query.customer_id) if query.customer_id else None
    wanted = about(customer, query.unit, query.since, query.until)
    page = await parts.history.usage(groups, wanted, query.cursor, query.limit, query.tz)
    views = [UsageView.of(row, parts.units, query.tz) for row in page.items]
    return Given(UsagePage(data=views, pagination=Pagination.of(page.next_cursor)))


def _export(call: Call[Nothing, ExportQuery], customer: Customer | None) -> Stream:
    write: Callable[..., Stream] = exports.csv if call.query.format == "csv" else exports.ndjson
    return write(call.parts.history.export(_entries(call.query, customer)), call.parts.units)


async def _let_happen(call: Call[Nothing, Query], customer: Customer) -> None:
    """What is due on the accounts and has not been noticed yet gets its entries: looking at them is enough."""
    await call.parts.accounts.balances(payer_of(customer))


def _entries(query: EntriesWanted, customer: Customer | None) -> EntryFilter:
    return msgspec.structs.replace(
        about(customer, query.unit, query.since, query.until),
        types=() if query.type is None else tuple(_words(query.type, Kind, "type")),
        reservation_id=query.reservation_id,
        feature=query.feature,
        rule=query.rule,
    )


def about(customer: Customer | None, unit: str | None, since: datetime | None, until: datetime | None) -> EntryFilter:
    """Of a member of a pool only what it asked for, of everybody else all of its accounts."""
    if since is not None and until is not None and until <= since:
        raise InvalidInput("`to` must be later than `from`.", "to")
    return EntryFilter(
        customer_id=None if customer is None else payer_of(customer),
        asker_id=customer.customer_id if customer is not None and customer.parent_id else None,
        unit=unit,
        from_ms=None if since is None else epoch_ms(since, "from"),
        to_ms=None if until is None else epoch_ms(until, "to"),
    )


def group_word(word: str) -> str:
    """A word of `group_by`."""
    if word in set(UsageBy):
        return UsageBy(word)
    name = dimension_name(word)
    if name is None:
        known = ", ".join(UsageBy)
        raise InvalidInput(f"group_by must be some of {known}, or request.<field> and the like.", "group_by")
    return name


def _words(text: str, kind: type[Word], field: str) -> list[Word]:
    """The words of a list with commas."""
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError as error:
        raise InvalidInput(f"{field} must be some of {', '.join(kind)}, with commas between.", field) from error


ENDPOINTS = (
    endpoint("GET", f"{BY_ID}/ledger", show_ledger, {200: "One page of entries."}, scope=Scope.LEDGER_READ),
    endpoint(
        "GET",
        f"{BY_ID}/ledger/export",
        export_customer_ledger,
        {200: "The entries."},
        media_types=exports.MEDIA_TYPES,
        scope=Scope.LEDGER_READ,
    ),
    endpoint(
        "GET",
        "/v1/ledger/export",
        export_ledger,
        {200: "The entries."},
        media_types=exports.MEDIA_TYPES,
        scope=Scope.LEDGER_READ,
    ),
    endpoint("GET", "/v1/usage/summary", summarise_usage, {200: "One page of sums."}, scope=Scope.USAGE_READ),
)
