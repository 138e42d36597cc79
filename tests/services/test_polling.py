"""Jobs that are asked for: settled once when they are done, by the agreed price, whatever happens in between."""

from fractions import Fraction
from pathlib import Path

import pytest

from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.errors import StoreUnavailable
from sidecar.domain.later import Poll
from sidecar.domain.metering import Bill, Meters, OnUnknown, Tariff
from sidecar.domain.price import Price
from sidecar.domain.rules import RuleSet
from sidecar.domain.tokens import Signer
from sidecar.services.deferred import Deferred
from sidecar.services.hold import Hold
from sidecar.services.polling import ASKED_WITHIN_MS, Job, Polled, Polling
from sidecar.store.jobs import Jobs
from tests.services.desk import Desk
from tests.support.books import ENVIRONMENT, TENANT, UNIT

RULES = """
version: 1
rules:
  - name: job
    match: {path: /jobs}
    usage: {gpu_ms: {json: /usage/gpu_ms}}
    price: {gpu_ms: 9}
    hold: 1
    settle: {within: 1h, poll: {path: "/jobs/{id}", id: /id, state: /status, done: [ok], failed: [bad]}}
"""
QUOTE = Bill(Tariff(Meters(), max_charge=900), Price.of({"gpu_ms": Fraction(2)}, 10), 300)


class Farm:
    """Answers polls as it is told, and knows what time it is."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.asked: list[str] = []
        self.answer: Polled | None = None

    async def fetch(self, path: str) -> Polled | None:
        self.asked.append(path)
        return self.answer

    def says(self, body: bytes, status: int = 200) -> None:
        self.answer = Polled(status, {b"content-type": b"application/json"}, body)

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def farm() -> Farm:
    return Farm()


@pytest.fixture
def rules(tmp_path: Path) -> RuleSet:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return load_rules([file], {"credits": CREDITS})


class Scene:
    def __init__(self, desk: Desk, farm: Farm, rules: RuleSet) -> None:
        self.desk, self.farm, self.rules = desk, farm, rules
        signer = Signer(lambda: b"k" * 32, tenant=TENANT, environment=ENVIRONMENT)
        self.deferred = Deferred(desk.purse.ledger, signer, farm.clock)
        self.polling = self.another()

    def another(self) -> Polling:
        """As in another process."""
        jobs = Jobs(self.desk.lane, tenant=TENANT, environment=ENVIRONMENT)
        return Polling(jobs, self.deferred, lambda: self.rules, self.farm.fetch, self.farm.clock)

    async def begin(self, on_unknown: OnUnknown = OnUnknown.CHARGE_HOLD) -> Job:
        desk = self.desk
        hold = await desk.holds.take(
            desk.purse.customer_id, desk.purse.credential, UNIT, 300, "", "job", attempt_id=desk.holds.next_id()
        )
        assert isinstance(hold, Hold)
        job = Job(
            token=self.deferred.token(QUOTE, hold, 3600), path="/jobs/7", rule="job", poll=self.poll,
            on_unknown=on_unknown,
        )  # fmt: skip
        await self.polling.begin(desk.purse.customer_id, self.poll, job)
        return job

    @property
    def poll(self) -> Poll:
        (rule,) = self.rules.rules
        assert rule.later is not None
        assert rule.later.poll is not None
        return rule.later.poll

    async def look(self, after_s: float = 12) -> int:
        """How often it was asked."""
        self.farm.now_s += after_s
        before = len(self.farm.asked)
        await self.polling.look()
        return len(self.farm.asked) - before


@pytest.fixture
def scene(desk: Desk, farm: Farm, rules: RuleSet) -> Scene:
    return Scene(desk, farm, rules)


async def test_a_job_is_asked_for_until_it_is_done_and_charged_as_agreed(scene: Scene, farm: Farm) -> None:
    await scene.begin()
    assert await scene.look(5) == 0
    farm.says(b'{"status": "running"}')
    assert [await scene.look() for _ in range(3)] == [1, 1, 1]
    farm.says(b'{"status": "ok", "usage": {"gpu_ms": 45}}')
    assert await scene.look() == 1
    assert await scene.desk.books() == (900, 0, 100)
    assert farm.asked[-1] == "/jobs/7"
    assert await scene.look(1000) == 0
    (line,) = [line for line in await scene.desk.purse.lines() if line.charged]
    assert (line.usage, line.source) == ("gpu_ms=45", "reported")
    assert (scene.polling.settled_total, scene.polling.failures_total) == (1, 0)


async def test_one_that_failed_costs_nothing(scene: Scene, farm: Farm) -> None:
    await scene.begin()
    farm.says(b'{"status": "bad", "usage": {"gpu_ms": 45}}')
    await scene.look()
    assert await scene.desk.books() == (1000, 0, 0)


@pytest.mark.parametrize("trouble", [None, (b"oops", 500), (b"no json", 200), (b"{}", 200), (b"{}", 404)])
async def test_trouble_is_waited_out(scene: Scene, farm: Farm, trouble: tuple[bytes, int] | None) -> None:
    await scene.begin()
    if trouble is not None:
        farm.says(*trouble)
    asked = sum([await scene.look() for _ in range(20)])
    usable = trouble is not None and trouble[1] == 200
    assert asked == 20 if usable else 3 <= asked <= 6
    farm.says(b'{"status": "ok", "usage": {"gpu_ms": 45}}')
    await scene.look(330)
    assert await scene.desk.books() == (900, 0, 100)


@pytest.mark.parametrize(
    ("on_unknown", "books"),
    [(OnUnknown.CHARGE_HOLD, (700, 0, 300)), (OnUnknown.RELEASE, (1000, 0, 0))],
)
async def test_one_that_never_ends_costs_what_the_rule_says(
    scene: Scene, farm: Farm, on_unknown: OnUnknown, books: tuple[int, int, int]
) -> None:
    await scene.begin(on_unknown)
    farm.says(b'{"status": "running"}')
    await scene.look(3595)
    assert await scene.desk.books() == books
    assert scene.polling.given_up_total == 1
    assert await scene.look(1000) == 0


async def test_two_who_ask_charge_once(scene: Scene, farm: Farm) -> None:
    await scene.begin()
    farm.says(b'{"status": "ok", "usage": {"gpu_ms": 45}}')
    other = scene.another()
    farm.now_s += 12
    await scene.polling.look()
    await other.look()
    assert await scene.desk.books() == (900, 0, 100)


async def test_what_its_upstream_settled_by_itself_stands(scene: Scene, farm: Farm) -> None:
    job = await scene.begin()
    await scene.deferred.settle(job.token, {"gpu_ms": 1})
    farm.says(b'{"status": "ok", "usage": {"gpu_ms": 45}}')
    await scene.look()
    assert await scene.desk.books() == (988, 0, 12)
    assert await scene.look(1000) == 0


async def test_whose_asker_died_is_asked_for_again(scene: Scene, farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.begin()
    farm.says(b'{"status": "ok", "usage": {"gpu_ms": 45}}')
    commit = scene.desk.purse.ledger.commit

    def fails(*_: object, **__: object) -> object:
        raise StoreUnavailable("away")

    monkeypatch.setattr(scene.desk.purse.ledger, "commit", fails)
    await scene.look()
    assert await scene.desk.books() == (700, 300, 0)
    monkeypatch.setattr(scene.desk.purse.ledger, "commit", commit)
    assert await scene.look(ASKED_WITHIN_MS / 1000 - 1) == 0
    assert await scene.look(2) == 1
    assert await scene.desk.books() == (900, 0, 100)


async def test_a_rule_that_has_gone_leaves_its_jobs_to_on_unknown(scene: Scene, farm: Farm) -> None:
    await scene.begin()
    scene.rules = RuleSet(())
    farm.says(b'{"status": "ok", "usage": {"gpu_ms": 45}}')
    await scene.look()
    assert await scene.desk.books() == (700, 0, 300)
