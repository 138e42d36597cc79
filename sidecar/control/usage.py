"""Usage that callers report when it has happened: one event, or many."""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from sidecar.control.endpoint import Call, Given, Parts, Repeat, endpoint
from sidecar.control.metric_schema import counted
from sidecar.control.pools import payer_of
from sidecar.control.schema import Nothing, epoch_ms
from sidecar.control.usage_schema import (
    BatchOutcome,
    EventOutcome,
    EventProblem,
    RecordBatch,
    RecordUsage,
    UsageCharge,
    UsageEvent,
    planned,
)
from sidecar.control.whose import customer_of
from sidecar.domain.amounts import CREDITS
from sidecar.domain.burn_order import draw
from sidecar.domain.costs import Cost
from sidecar.domain.errors import EventTimeOutOfRange, InvalidInput, SidecarError
from sidecar.domain.notes import Note
from sidecar.domain.scopes import Scope
from sidecar.services.usage import Charged, Event

FUTURE_MAX_MS: Final = 5 * 60_000
PAST_MAX_MS: Final = 35 * 86_400_000
_ID_MAX: Final = 120


async def record_usage(call: Call[RecordUsage, Nothing]) -> Given[UsageCharge]:
    """Charge something that was used. One event id is charged once, for ever.

    What is not affordable is a 402 and leaves nothing, so that it can be repeated by the same key after a top-up.
    """
    asked, parts = call.body, call.parts
    event_id = asked.event_id or _short(call.once.key)
    event = await _event(parts, asked, event_id, call.detail, make=parts.auto_create_customers and not asked.dry_run)
    if asked.dry_run:
        return Given(await _dry_run(parts, event))
    charged = await parts.usage.charge(event)
    return Given(UsageCharge.of(charged, parts.units), 200 if charged.duplicate else 201)


async def record_usage_batch(call: Call[RecordBatch, Nothing]) -> Given[BatchOutcome]:
    """Charge many events: each by itself, or with `atomic` all or none of them.

    Without `atomic` the answer says of each what became of it.
    """
    asked, parts = call.body, call.parts
    if len({each.event_id for each in asked.events}) < len(asked.events):
        raise InvalidInput("Each event has an id of its own.", "events")
    events: list[Event | SidecarError] = []
    for each in asked.events:
        try:
            event = await _event(parts, each, each.event_id, call.detail, make=parts.auto_create_customers)
            events.append(event)
        except SidecarError as error:
            if asked.atomic:
                raise
            events.append(error)
    sound = [event for event in events if isinstance(event, Event)]
    charges = iter(await (parts.usage.charge_all(sound) if asked.atomic else parts.usage.charge_each(sound)))
    outcomes = [next(charges) if isinstance(event, Event) else event for event in events]
    failed = sum(isinstance(each, SidecarError) for each in outcomes)
    duplicates = sum(isinstance(each, Charged) and each.duplicate for each in outcomes)
    view = BatchOutcome(
        charged=len(outcomes) - failed - duplicates,
        duplicates=duplicates,
        failed=failed,
        outcomes=[
            EventOutcome(charge=UsageCharge.of(each, parts.units))
            if isinstance(each, Charged)
            else EventOutcome(problem=EventProblem.of(each))
            for each in outcomes
        ],
    )
    return Given(view)


async def _dry_run(parts: Parts, event: Event) -> UsageCharge:
    """What it would cost now, and out of which blocks; nothing is changed."""
    cost = await parts.usage.cost_now(event)
    account = await parts.accounts.account(payer_of(event.customer), event.cost.unit)
    slices, missing = draw(account.blocks, cost, event.cost.feature, event.cost.rule)
    would = Charged(
        event_id=event.event_id,
        customer_id=event.customer.customer_id,
        unit=event.cost.unit,
        charged=cost,
        owed=missing,
        available=account.totals.available - cost + missing,
        feature=event.cost.feature,
        rule=event.cost.rule,
    )
    ids = {block.number: block.grant.block_id for block in account.blocks}
    return UsageCharge.of(would, parts.units, planned(slices, ids))


async def _event(parts: Parts, asked: UsageEvent, event_id: str, detail: Mapping[str, str], *, make: bool) -> Event:
    """The event as it is charged; with `make` its customer is made, if its external id is nobody's."""
    at_ms = None if not asked.event_time else _in_range(epoch_ms(asked.event_time, "event_time"), parts.now_ms())
    # The cost first: what is not valid makes nobody a customer.
    cost = _cost(parts, asked, at_ms)
    customer = await customer_of(parts, asked, make=make)
    # Whichever rule is in force, and however it is reported.
    same = (customer.customer_id, cost.unit, cost.feature, cost.amount, str(cost.units), at_ms, asked.enforce)
    said = msgspec.json.encode((same, sorted(asked.metadata.items())))
    return Event(
        event_id=event_id,
        fingerprint=hashlib.sha256(said).hexdigest(),
        customer=customer,
        cost=cost,
        note=Note.of(asked.metadata, detail, at_ms),
        enforce=asked.enforce,
    )


def _in_range(at_ms: int, now_ms: int) -> int:
    if not now_ms - PAST_MAX_MS <= at_ms <= now_ms + FUTURE_MAX_MS:
        raise EventTimeOutOfRange("event_time may be at most 35 days ago, and at most 5 minutes ahead.")
    return at_ms


def _cost(parts: Parts, asked: UsageEvent, at_ms: int | None) -> Cost:
    by_metric, by_amount = bool(asked.billable_metric_key), isinstance(asked.credits, int)
    in_units = isinstance(asked.units, int | str)
    if by_metric == by_amount or by_metric != in_units or (by_metric and (asked.unit or asked.feature)):
        raise InvalidInput(
            "Say either `billable_metric_key` and `units`, or `credits` with `unit` and `feature`.",
            "billable_metric_key",
        )
    if isinstance(asked.units, int | str):
        return parts.pricing.quote(str(asked.billable_metric_key), counted(asked.units, "units"), at_ms)
    amount = asked.credits if isinstance(asked.credits, int) else 0
    return Cost(unit=parts.unit(asked.unit or CREDITS.name).name, amount=amount, feature=asked.feature or "")


def _short(key: str) -> str:
    """The event id of a request that gives none: its key, or what stands for a long one."""
    return key if len(key) <= _ID_MAX else hashlib.sha256(key.encode()).hexdigest()


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/usage",
        record_usage,
        {201: "It is charged.", 200: "It was charged before by this event id, or it is a dry run."},
        Repeat.REQUIRED,
        scope=Scope.USAGE_WRITE,
    ),
    endpoint(
        "POST",
        "/v1/usage/batch",
        record_usage_batch,
        {200: "What became of each event."},
        Repeat.REQUIRED,
        scope=Scope.USAGE_WRITE,
    ),
)
