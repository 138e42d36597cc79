"""Entitlement checks of features that only rule files have: what is known of their price before a request."""

from pathlib import Path

import pytest

from sidecar.domain.amounts import CREDITS
from sidecar.domain.entitlements import Entitlement
from sidecar.domain.errors import NotFound
from sidecar.domain.outcomes import RefusalCode
from sidecar.services.checking import Checking, Wanted
from sidecar.services.reloading import Reloading
from sidecar.store.entitlements import Entitlements
from sidecar.store.lane import Lane
from tests.support.control import OWNER, serving

RULES = """
version: 1
rules:
  - {name: thumb, feature: thumbs, match: {path: /thumb}, price: {flat: 0.001}}
  - {name: small, feature: images, match: {path: /small}, price: {flat: 0.002}}
  - {name: large, feature: images, match: {path: /large}, price: {flat: 0.002}, max_charge: 0.002}
  - {name: draw, feature: drawings, match: {path: /draw}, price: {flat: 0.002}}
  - {name: paint, feature: drawings, match: {path: /paint}, price: {flat: 0.003}}
  - name: chat
    feature: chat
    match: {path: /chat}
    usage: openai.chat
    price: {input_tokens: 1 per 1M, output_tokens: 2 per 1M}
"""


async def test_what_is_known_of_a_rules_price_is_answered(lane: Lane, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    async with serving(lane) as control:
        alice = await control.customer()
        reloading = Reloading([rules], {"credits": CREDITS})
        checking = Checking(Entitlements(lane, control.customers, **OWNER), control.parts.pricing, reloading)

        async def check(feature: str, units: int = 2) -> Entitlement:
            (found,) = (await checking.check(alice, [Wanted(feature, units)])).entitlements
            return found

        assert (await check("chat")).reason is RefusalCode.INSUFFICIENT_CREDITS
        await control.grant(f"/v1/customers/{alice}", 5_000, "k1")
        found = [await check(feature) for feature in ("thumbs", "images", "drawings", "chat")]
        assert [(each.cost, each.most, each.asked.rule, each.reason) for each in found] == [
            (2_000, 5, "thumb", None),
            (4_000, 2, "", None),
            (None, None, "", None),
            (None, None, "chat", None),
        ]
        assert (await check("images", 3)).reason is RefusalCode.INSUFFICIENT_CREDITS
        with pytest.raises(NotFound):
            await check("nonesuch")
        rules.write_text(RULES.replace("thumbs", "nonesuch"))
        await reloading.reload("a test says so")
        assert (await check("nonesuch")).cost == 2_000
