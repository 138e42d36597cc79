"""Entitlement checks: could a customer use this now? A look, nothing more: who acts on it reserves.

One round trip to the store each, whoever is named how. The answer's ETag is a digest of it, so that a screen that
asks again and again is told when nothing has changed.
"""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from sidecar.control.endpoint import BY_ID, Call, Given, Parts, Repeat, Stranger, endpoint
from sidecar.control.entitlement_schema import (
    CheckOne,
    CheckSeveral,
    EntitlementList,
    EntitlementView,
    UnitsWanted,
)
from sidecar.control.metric_schema import counted
from sidecar.control.schema import Nothing
from sidecar.control.whose import named
from sidecar.domain.scopes import Scope
from sidecar.services.checking import Checked, Wanted

_DIGEST_BYTES = 6


async def check_entitlement(call: Call[Nothing, UnitsWanted]) -> Given[EntitlementView]:
    """Check whether a customer could use so many units of a feature now.

    Nothing is held: two who ask at once are both told yes, and one of them may be refused when it reserves.
    """
    wanted = Wanted(call.path["feature"], counted(call.query.units, "units"))
    return _versioned(await _checked(call.parts, *_named(call.path), [wanted]))


async def check_entitlements(call: Call[CheckSeveral, Nothing]) -> Given[EntitlementList]:
    """Check several features of a customer at once, all as of one moment; each as if it were asked for alone."""
    wanted = [each.wanted() for each in call.body.features]
    checked = await _checked(call.parts, *_named(call.path), wanted)
    return Given(EntitlementList(data=_views(checked)))


async def look_up_entitlement(call: Call[Nothing, CheckOne]) -> Given[EntitlementView]:
    """Check whether a customer could use a feature: the same by its short address."""
    return _versioned(await _checked(call.parts, *call.query.whose(), [call.query.wanted()]))


async def ask_for_entitlement(call: Call[CheckOne, Nothing]) -> Given[EntitlementView]:
    """Check whether a customer could use a feature: the same with a body."""
    return Given(_views(await _checked(call.parts, *call.body.whose(), [call.body.wanted()]))[0])


def _named(path: Mapping[str, str]) -> tuple[str | None, str | None]:
    return path.get("customer_id"), path.get("external_customer_id")


def _versioned(checked: Checked) -> Given[EntitlementView]:
    (view,) = _views(checked)
    digest = hashlib.blake2b(msgspec.json.encode(view), digest_size=_DIGEST_BYTES).digest()
    return Given(view, version=1 + int.from_bytes(digest))


def _views(checked: Checked) -> list[EntitlementView]:
    return [EntitlementView.of(checked.look, each) for each in checked.entitlements]


async def _checked(parts: Parts, ours: str | None, theirs: str | None, wanted: Sequence[Wanted]) -> Checked:
    """By our id or the operator's own, one of which is there. NotFound, unless who is named so is made a customer."""
    if ours is not None:
        return await parts.checking.check(ours, wanted)
    assert theirs is not None, "one of both is there"
    if (checked := await parts.checking.check_by_external_id(theirs, wanted)) is not None:
        return checked
    customer = await named(parts, theirs, make=parts.auto_create_customers)
    return await parts.checking.check(customer.customer_id, wanted)


ENDPOINTS = (
    endpoint(
        "GET",
        f"{BY_ID}/entitlements/{{feature}}",
        check_entitlement,
        {200: "Whether it could, and how much."},
        scope=Scope.ENTITLEMENTS_READ,
        versioned=True,
        stranger=Stranger.LEFT,
    ),
    endpoint(
        "POST",
        f"{BY_ID}/entitlements",
        check_entitlements,
        {200: "The answers, in the order of the questions."},
        Repeat.BY_ITSELF,
        scope=Scope.ENTITLEMENTS_READ,
        stranger=Stranger.LEFT,
    ),
    endpoint(
        "GET",
        "/v1/entitlements/check",
        look_up_entitlement,
        {200: "Whether it could, and how much."},
        scope=Scope.ENTITLEMENTS_READ,
        versioned=True,
    ),
    endpoint(
        "POST",
        "/v1/entitlements/check",
        ask_for_entitlement,
        {200: "Whether it could, and how much."},
        Repeat.BY_ITSELF,
        scope=Scope.ENTITLEMENTS_READ,
    ),
)
