"""Events: what happened that others may want to hear of, as a list that can be followed."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from sidecar.control.credit_schema import Instant, Text
from sidecar.control.endpoint import Call, Given, endpoint
from sidecar.control.schema import (
    CURSOR_MAX,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    Asked,
    Nothing,
    Pagination,
    Wire,
    epoch_ms,
    instant,
)
from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.errors import InvalidInput
from sidecar.domain.events import Event, EventFilter, EventType
from sidecar.domain.scopes import Scope


class EventsQuery(Asked, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    type: Annotated[str, Meta(min_length=1, description="Some types, with commas between.")] | None = None
    customer_id: Text | None = None
    since: Annotated[Instant, Meta(description="From then on.")] | None = None
    until: Annotated[Instant, Meta(description="Before then.")] | None = None
    after: (
        Annotated[
            int,
            Meta(ge=0, le=MAX_AMOUNT, description="Those behind this sequence, the oldest first."),
        ]
        | None
    ) = None
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Meta(min_length=1, max_length=CURSOR_MAX)] | None = None


class EventView(Wire, frozen=True, kw_only=True):
    event_id: str
    sequence: Annotated[int, Meta(description="Its place in the order of all events.")]
    type: Annotated[str, Meta(description="Such as credits.granted. There will be more of them.")]
    customer_id: str
    external_id: Annotated[str, Meta(description="As it is now.")]
    unit: Annotated[str, Meta(description="Empty for what is about no unit.")]
    occurred_at: datetime
    data: Annotated[dict[str, Any], Meta(description="By type; amounts are base units.")]

    @classmethod
    def of(cls, event: Event) -> "EventView":
        return cls(
            event_id=event.event_id,
            sequence=event.sequence,
            type=event.type,
            customer_id=event.customer_id,
            external_id=event.external_id,
            unit=event.unit,
            occurred_at=instant(event.occurred_at_ms),
            data=event.data,
        )


class EventPage(Wire, frozen=True, kw_only=True):
    data: list[EventView]
    pagination: Pagination


async def list_events(call: Call[Nothing, EventsQuery]) -> Given[EventPage]:
    """List what happened, the newest first; or with `after` what happened since, the oldest first.

    It has everything that had happened when it was asked. Sequences follow the order of the list: whoever asks again
    with the last one that was seen misses nothing.
    """
    query = call.query
    if query.since is not None and query.until is not None and query.until <= query.since:
        raise InvalidInput("`to` must be later than `from`.", "to")
    wanted = EventFilter(
        types=() if query.type is None else _types(query.type),
        customer_id=query.customer_id,
        from_ms=None if query.since is None else epoch_ms(query.since, "from"),
        to_ms=None if query.until is None else epoch_ms(query.until, "to"),
        after=query.after,
    )
    page = await call.parts.history.events(wanted, query.cursor, query.limit)
    views = [EventView.of(event) for event in page.items]
    return Given(EventPage(data=views, pagination=Pagination.of(page.next_cursor)))


async def show_event(call: Call[Nothing, Nothing]) -> Given[EventView]:
    """Look at an event."""
    return Given(EventView.of(await call.parts.history.event(call.path["event_id"])))


def _types(text: str) -> tuple[EventType, ...]:
    try:
        return tuple(EventType(word) for word in text.split(","))
    except ValueError as error:
        raise InvalidInput(f"type must be some of {', '.join(EventType)}, with commas between.", "type") from error


ENDPOINTS = (
    endpoint("GET", "/v1/events", list_events, {200: "One page of events."}, scope=Scope.EVENTS_READ),
    endpoint("GET", "/v1/events/{event_id}", show_event, {200: "The event."}, scope=Scope.EVENTS_READ),
)
