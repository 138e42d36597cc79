"""The steps of `sidecar demo` and what is printed of each. Every number comes from the control API."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import msgspec

from sidecar.cli.ink import Ink
from sidecar.cli.toy_upstream import ToyUpstream
from sidecar.config.settings import Control, Data, Proxy, RulesSection, Settings, Timeouts, Upstream
from sidecar.domain.amounts import CREDITS, parse, render
from sidecar.domain.errors import StartupError
from sidecar.wiring import Sidecar, running

_RULES: Final = Path(__file__).with_name("demo.yaml")
_GRANT: Final = "10"
_WAIT_S: Final = 10.0
_COLUMNS: Final = (("step", 20), ("held", 8), ("charged", 9), ("returned", 10), ("balance", 12))

_NEXT: Final = """\
In front of your own API, with your own prices:

  sidecar run --upstream http://127.0.0.1:9000 --rules rules/http.yaml
"""


def play() -> int:
    """The whole demo; 0, or an error with one sentence when it cannot be."""
    return asyncio.run(_play(Ink.of(sys.stdout)))


async def _play(ink: Ink) -> int:
    toy = ToyUpstream()
    with tempfile.TemporaryDirectory(prefix="sidecar-demo-") as folder:
        async with toy.serving() as url, running(_settings(folder, url)) as sidecar, _Demo(sidecar, toy, ink) as demo:
            demo.introduce(url)
            try:
                async with asyncio.timeout(_WAIT_S):
                    await demo.grant()
                    await demo.ask("plain request", "the answer reported {tokens} tokens", stream=False)
                    await demo.ask(
                        "streaming request",
                        "passed through as it came; its last event reported {tokens} tokens",
                        stream=True,
                    )
                    await demo.ask_too_much()
            except TimeoutError as error:
                raise StartupError(f"The demo did not finish within {_WAIT_S:g} seconds.") from error
    print(_NEXT, end="")
    return 0


def _settings(folder: str, url: str) -> Settings:
    return Settings(
        data=Data(dir=folder),
        rules=RulesSection(paths=[str(_RULES)]),
        proxy=Proxy(listen="127.0.0.1:0"),
        control=Control(listen="127.0.0.1:0"),
        upstream=Upstream(url=url),
        timeouts=Timeouts(shutdown_s=1.0),
    )


class _Books(msgspec.Struct, frozen=True):
    """A balance as the control API gives it, in base units."""

    available: int
    held: int
    spent: int


class _Demo:
    def __init__(self, sidecar: Sidecar, toy: ToyUpstream, ink: Ink) -> None:
        self._sidecar = sidecar
        self._toy = toy
        self._ink = ink
        self._proxy = f"http://127.0.0.1:{sidecar.proxy_port}"
        self._control = f"http://127.0.0.1:{sidecar.control_port}"
        self._customer = "/v1/customer-by-external-id/alice"
        self._secret = ""
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def introduce(self, url: str) -> None:
        bold, dim = self._ink.bold, self._ink.dim
        print(f"{bold('An API, sold by credits, without a change to it')}\n")
        print(f"  {dim('upstream')}  {url}, a toy chat API")
        print(f"  {dim('proxy')}     {self._proxy}, in front of it")
        print(f"  {dim('price')}     1 credit for 10 tokens; each request first holds 5 credits\n")
        print("  " + bold("".join(_cell(name, name, width) for name, width in _COLUMNS)))

    async def grant(self) -> None:
        await self._call("POST", "/v1/customers", {"external_id": "alice"})
        key = await self._call("POST", f"{self._customer}/keys", {"name": "demo"})
        self._secret = key["secret"]
        amount = {"credits": parse(_GRANT, CREDITS), "reason": "demo"}
        await self._call("POST", f"{self._customer}/credits/grant", amount)
        self._row("grant", balance=await self._books())
        self._note(f"alice is a new customer with {_GRANT} credits and the key {key['hint']}")

    async def ask(self, step: str, note: str, *, stream: bool) -> None:
        """Send one request, look at what is held while the upstream works, and at the books afterwards."""
        before = await self._books()
        request = asyncio.ensure_future(self._chat(stream=stream))
        await asyncio.wait(
            [request, waiting := asyncio.ensure_future(self._toy.asked.wait())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        waiting.cancel()
        during = await self._books()
        self._toy.go.set()
        status, body = await request
        if status != 200:
            raise StartupError(f"The demo's upstream answered {status}: {body[:200].decode(errors='replace')}")
        after = await self._books()
        charged = after.spent - before.spent
        self._row(step, held=during.held, charged=charged, returned=during.held - charged, balance=after)
        self._note(note.format(tokens=self._toy.reported_tokens))

    async def ask_too_much(self) -> None:
        seen = self._toy.requests
        status, body = await self._chat(stream=False)
        problem = msgspec.json.decode(body)
        after = await self._books()
        self._row("one too many", refused=f"refused with {status}", balance=after)
        self._note(f"{problem.get('code')}: {problem['detail']}")
        reached = self._toy.requests - seen
        self._note("The upstream never saw it." if not reached else f"The upstream saw {reached} requests.")
        print()

    async def _chat(self, *, stream: bool) -> tuple[int, bytes]:
        body = {"model": "toy", "stream": stream, "messages": [{"role": "user", "content": "What do you do?"}]}
        headers = {"authorization": f"Bearer {self._secret}"}
        async with self._session.post(f"{self._proxy}/v1/chat/completions", json=body, headers=headers) as answer:
            return answer.status, await answer.read()

    async def _books(self) -> _Books:
        document = await self._call("GET", f"{self._customer}/credits")
        return msgspec.convert(document["balances"][0], _Books)

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"authorization": f"Bearer {self._sidecar.admin_key}", "idempotency-key": f"demo-{path}"}
        async with self._session.request(method, self._control + path, json=body, headers=headers) as answer:
            document = await answer.json(content_type=None)
            if answer.status >= 300:
                raise StartupError(f"{method} {path} was answered with {answer.status}: {document.get('detail')}")
            return document

    def _row(self, step: str, *, refused: str = "", balance: _Books, **amounts: int) -> None:
        cells = {name: _credits(amount) for name, amount in amounts.items()}
        cells |= {"step": step, "balance": _credits(balance.available)}
        (first, first_width), *middle, (last, last_width) = _COLUMNS
        width = sum(width for _, width in middle)
        numbers = "".join(_cell(name, cells.get(name, ""), width) for name, width in middle)
        shown = self._ink.bad(f"{refused:>{width}}") if refused else numbers
        balance_cell = self._ink.good(_cell(last, cells[last], last_width))
        print(f"  {_cell(first, cells[first], first_width)}{shown}{balance_cell}")

    def _note(self, text: str) -> None:
        print(f"    {self._ink.dim(text)}")


def _credits(amount: int) -> str:
    return render(amount, CREDITS)


def _cell(name: str, text: str, width: int) -> str:
    """Numbers stand right, the step's name left."""
    return f"{text:<{width}}" if name == "step" else f"{text:>{width}}"
