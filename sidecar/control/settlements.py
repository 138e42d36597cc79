"""Settlements by those who hold a token: upstreams whose jobs cost something only after they have answered."""

from sidecar.control.endpoint import Call, Given, Repeat, endpoint
from sidecar.control.hold_schema import SettledView, SettleRequest
from sidecar.control.schema import Nothing


async def settle_request(call: Call[SettleRequest, Nothing]) -> Given[SettledView]:
    """Say what a request has cost, or that it failed, with the `x-settle-token` that came with it.

    It needs no key: the token settles this one request, by the price that was agreed for it. Safe to repeat: what was
    said first is answered again.
    """
    wanted = call.body
    settled = await call.parts.deferred.settle(wanted.token, wanted.reading())
    return Given(SettledView.of(settled, call.parts.units), replayed=settled.replayed)


ENDPOINTS = (endpoint("POST", "/v1/settlements", settle_request, {200: "Settled."}, Repeat.BY_ITSELF, scope=None),)
