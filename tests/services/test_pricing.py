"""What tests/control/test_metrics.py does not see: time, and another process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import NoActiveRule, NotFound
from sidecar.domain.metering_rules import CostType, RuleTerms
from sidecar.services.catalogue import Catalogue
from sidecar.services.pricing import Pricing
from tests.support.archives import new_archive

DAY_MS = 86_400_000


def flat(amount: int) -> RuleTerms:
    return RuleTerms(cost_type=CostType.FLAT, amount=amount)


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    archive = Archive(new_archive(tmp_path))
    await archive.open()
    yield archive
    await archive.close()


async def test_each_instant_has_its_rule(archive: Archive) -> None:
    pricing = Pricing(Catalogue(archive), lambda: DAY_MS)
    await pricing.add_metric("look", "", "")
    first = await pricing.add_rule("look", flat(1), None)
    second = await pricing.add_rule("look", flat(2), 3 * DAY_MS)
    assert [pricing.quote("look", 1, at).exactly for at in (DAY_MS, 3 * DAY_MS - 1, 3 * DAY_MS)] == [1, 1, 2]
    with pytest.raises(NoActiveRule):
        pricing.quote("look", 1, DAY_MS - 1)
    assert pricing.again(second.rule_id, 1, {}).exactly == 2
    assert [pricing.is_active(rule) for rule in (first, second)] == [True, False]
    with pytest.raises(NotFound):
        pricing.again("mrl_01arz3ndektsv4rrffq69g5fav", 1, {})


async def test_another_process_learns_of_it(archive: Archive) -> None:
    ours, theirs = Catalogue(archive), Catalogue(archive)
    pricing, other = Pricing(ours, lambda: DAY_MS), Pricing(theirs, lambda: DAY_MS)
    await pricing.add_metric("look", "A look", "")
    await pricing.add_rule("look", flat(1), None)
    assert other.rules() == []
    await theirs.refresh()
    assert other.quote("look", 5).exactly == 1
    assert [each.name for each in other.metrics()] == ["A look"]
