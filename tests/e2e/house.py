"""What the end-to-end tests stand in: a store, an upstream with both imitated APIs, and the command between them."""

import asyncio
from collections import Counter
from pathlib import Path

import msgspec

from sidecar.domain.outcomes import Balance
from tests.support.anthropic_api import AnthropicApi
from tests.support.buyers import Buyer, Control
from tests.support.imitation import Delivery
from tests.support.openai_api import OpenAIApi
from tests.support.process import POLL_S, Sidecar
from tests.support.store import StoreServer
from tests.support.upstream import WAIT_S, Exchange, Upstream

RULES = Path(__file__).parent / "rules.yaml"
UPSTREAM_KEY = "sk-the-upstreams-own"
CREDIT = 1_000_000
BODY_MAX_BYTES = 100_000

MODEL = "gpt-4o-mini"
CLAUDE = "claude-haiku-4-5"


class Models:
    """Both imitated APIs behind one address, told apart by the path."""

    def __init__(self) -> None:
        self.openai = OpenAIApi(key=UPSTREAM_KEY)
        self.anthropic = AnthropicApi(key=UPSTREAM_KEY)

    def deliver(self, delivery: Delivery) -> None:
        self.openai.delivery = self.anthropic.delivery = delivery

    async def __call__(self, exchange: Exchange) -> None:
        api = self.anthropic if exchange.request.target.startswith(b"/v1/messages") else self.openai
        await api(exchange)


class House(msgspec.Struct):
    """The running parts that the tests of one session share. Customers are each test's own."""

    store: StoreServer
    upstream: Upstream
    sidecar: Sidecar
    models: Models

    @property
    def port(self) -> int:
        """Of the proxy."""
        return self.sidecar.proxy_port

    @property
    def control(self) -> Control:
        return self.sidecar.control

    def clear(self) -> None:
        """Forget what the last test did to the upstream."""
        self.models = self.upstream.script = Models()
        self.upstream.forget()

    async def settled(self, buyer: Buyer, *, spent: int) -> Balance:
        """The balance right after an answer: `spent` charged, nothing held, and the sum right. No waiting."""
        balance = await self.control.balance(buyer)
        assert (balance.spent, balance.held, balance.owed) == (spent, 0, 0), balance
        assert_conserved(balance)
        assert await self.control.open_holds(buyer) == []
        return balance

    async def settled_later(self, buyer: Buyer) -> Balance:
        """The balance once nothing is held any more: for endings that no client is there to see."""
        async with asyncio.timeout(WAIT_S):
            while (await self.control.balance(buyer)).held or await self.control.open_holds(buyer):  # noqa: ASYNC110  (the event is in another process)
                await asyncio.sleep(POLL_S)
        balance = await self.control.balance(buyer)
        assert_conserved(balance)
        return balance


def chat_hold(body: bytes, output_tokens: int = 100) -> int:
    """What a chat request holds: a token of input, at 1.5, for each three bytes begun; its `max_tokens`, at 6."""
    input_tokens = -(-len(body) // 3)
    return -(-3 * input_tokens // 2) + 6 * output_tokens


def chat_estimate(body: bytes, text: bytes) -> int:
    """What a chat request costs whose usage nobody reported: a token for each 3.4 bytes begun of request and text."""
    input_tokens, output_tokens = (-(-10 * len(told) // 34) for told in (body, text))
    return -(-3 * input_tokens // 2) + 6 * output_tokens


def assert_conserved(balance: Balance) -> None:
    assert balance.granted == balance.available + balance.held + balance.spent, balance


async def ledgered(control: Control, buyer: Buyer) -> tuple[Balance, Counter[str]]:
    """What the ledger alone says: the balance after its last entry, and how many settlements it has of each type."""
    entries = await control.ledger(buyer)
    charged = [entry["reservation_id"] for entry in entries if entry["type"] in {"commit", "late_commit"}]
    assert len(set(charged)) == len(charged), "a reservation was charged twice"
    assert sorted(entry["seq"] for entry in entries) == list(range(1, len(entries) + 1))
    last = max(entries, key=lambda entry: entry["seq"])
    types = Counter(entry["type"] for entry in entries if "reservation_id" in entry)
    return msgspec.convert({**last["after"], "unit": last["unit"]}, Balance), types


def sidecar(
    command: str = "run", *, upstream: str, store: str | None, rules: Path | str = RULES, **settings: str
) -> Sidecar:
    """The command with `rules` and the upstream's credential; `settings` have `__` for the dot."""
    return Sidecar(
        command,
        upstream=upstream,
        rules=[Path(rules)],
        store=store,
        settings={name.replace("__", "."): value for name, value in settings.items()},
        arguments=["--upstream-header", "Authorization: Bearer ${THE_UPSTREAM_KEY}"],
        environment={"THE_UPSTREAM_KEY": UPSTREAM_KEY},
    )
