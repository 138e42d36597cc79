"""`sidecar rules replay` over what a real proxy charged and a real archive kept: exactly the same, or by a reason."""

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.main import main
from sidecar.config.settings import Admin, Control, Data, Proxy, RulesSection, Settings, Store
from sidecar.config.settings import Upstream as UpstreamSection
from sidecar.wiring import running
from tests.support.buyers import Buyer
from tests.support.buyers import Control as ControlApi
from tests.support.rawhttp import fetch
from tests.support.upstream import Exchange, Upstream, head

RULES = Path(__file__).parent / "replay.yaml"
KEY = "ck_live_" + "k" * 20
REQUESTS = 120


async def echo(exchange: Exchange) -> None:
    """Answer with the status, the fields and the body that the request carries."""
    told = json.loads(await exchange.body())["answer"]
    body = json.dumps(told["body"]).encode()
    fields = [*told["fields"].items(), ("content-type", "application/json"), ("content-length", str(len(body)))]
    await exchange.send(head(told["status"], *fields) + body)


def chat(chance: random.Random) -> tuple[str, dict[str, str], dict[str, Any]]:
    fresh, cached, output = chance.randrange(2000), chance.randrange(500), chance.randrange(3000)
    usage = {
        "prompt_tokens": fresh + cached,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    fields = chance.choice([{}, {"X-Region": "eu"}, {"X-Region": "us far"}])
    model = chance.choice(["mini", "gpt-4 o", 'gpt-"x"', "gpt-é", "gpt-" + "x" * 200])
    body = {"model": model, "answer": {"status": 200, "fields": {}, "body": {"usage": usage}}}
    return "/chat", fields, body


def pages(chance: random.Random) -> tuple[str, dict[str, str], dict[str, Any]]:
    fields = {"x-pages": f"{chance.randrange(400) / 8}"} | chance.choice([{}, {"X-Cache": "HIT"}])
    told = {"status": chance.choice([200, 201, 500]), "fields": fields, "body": {}}
    return f"/pages/{chance.choice(['big', 'small', 'a%20b'])}", {}, {"n": chance.randrange(4), "answer": told}


def unknown(chance: random.Random) -> tuple[str, dict[str, str], dict[str, Any]]:
    usage = chance.choice([{}, {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}])
    return "/unknown", {}, {"answer": {"status": 200, "fields": {}, "body": usage}}


async def used(port: int, buyer: Buyer, seed: int) -> None:
    """Requests at random, all of which a rule covers."""
    chance = random.Random(seed)
    for _ in range(REQUESTS):
        path, fields, body = chance.choice([chat, pages, unknown])(chance)
        answer = await fetch(port, "POST", path, buyer.bearer, *fields.items(), body=json.dumps(body).encode())
        assert answer.get("x-sidecar-refusal") is None, answer.body


async def test_the_same_rules_come_to_the_same_charges(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("SIDECAR_")]:
        monkeypatch.delenv(name)
    async with Upstream(echo) as upstream:
        settings = Settings(
            data=Data(dir=str(tmp_path)),
            admin=Admin(key=KEY),
            rules=RulesSection(paths=[str(RULES)]),
            proxy=Proxy(listen="127.0.0.1:0"),
            control=Control(listen="127.0.0.1:0"),
            upstream=UpstreamSection(url=upstream.url),
            store=Store(url=store_url),
        )
        async with running(settings) as sidecar:
            assert sidecar.proxy_port is not None
            assert sidecar.control_port is not None
            monkeypatch.setenv("SIDECAR_ADMIN_KEY", KEY)
            monkeypatch.setenv("SIDECAR_CONTROL_URL", f"http://127.0.0.1:{sidecar.control_port}")
            control = ControlApi(sidecar.control_port, KEY)
            buyers = [await control.buyer(10**12) for _ in range(2)]
            for seed, buyer in enumerate(buyers):
                await used(sidecar.proxy_port, buyer, seed)
            spent = [(await control.balance(buyer)).spent for buyer in buyers]

            def replay() -> int:
                with pytest.raises(SystemExit) as ended:
                    main(["rules", "replay", "--rules", str(RULES), "--json", "--data", str(tmp_path)])
                return int(str(ended.value.code))

            assert await asyncio.to_thread(replay) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["rule"]: row["difference"] for row in found["rules"]} == {"chat": 0, "pages": 0, "unknown": 0}
    assert {row["customer_id"]: row["difference"] for row in found["customers"]} == {
        buyer.customer_id: 0 for buyer in buyers
    }
    # Only names that were too long to be kept are left, and they are counted.
    assert {(left["rule"], left["why"]) for left in found["not_priced"]} == {("chat", "not_recorded")}
    left = sum(each["cost"] for each in found["not_priced"])
    assert found["totals"][0]["old"] + left == sum(spent)
    assert min(row["settlements"] for row in found["rules"]) > REQUESTS / 4
