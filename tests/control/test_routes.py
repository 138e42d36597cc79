"""docs/api.md has a section for each route, and its examples work in their order."""

import re
import shlex
from pathlib import Path

import msgspec
import pytest

from sidecar.control.routes import ENDPOINTS
from tests.support.control import ADMIN_KEY, Control

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
EXAMPLES = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if block.startswith("curl")]


class Curl(msgspec.Struct):
    """One example, as curl would send it."""

    method: str = ""
    target: str = ""
    headers: dict[str, str] = {}
    body: bytes | None = None

    @classmethod
    def parse(cls, text: str, variables: dict[str, str]) -> "Curl":
        for name, value in variables.items():
            text = text.replace(f"${name}", value)
        assert "$" not in text
        curl, words = cls(), iter(shlex.split(text.replace("\\\n", ""))[1:])
        for word in words:
            match word:
                case "-X":
                    curl.method = next(words)
                case "-d":
                    curl.body = next(words).encode()
                case "-H":
                    name, _, value = next(words).partition(": ")
                    curl.headers[name] = value
                case target:
                    curl.target = target
        curl.method = curl.method or ("GET" if curl.body is None else "POST")
        return curl


def served_by(curl: Curl) -> str:
    """The line of the route table that an example belongs to."""
    path = curl.target.partition("?")[0]
    for endpoint in ENDPOINTS:
        for pattern in endpoint.paths:
            if endpoint.method == curl.method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", pattern), path):
                return f"{endpoint.method} {endpoint.path}"
    pytest.fail(f"no such route: {curl.method} {path}")


def test_each_route_has_its_section() -> None:
    sections = re.findall(r"^### ([A-Z]+ /.*)$", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(f"{each.method} {each.path}" for each in ENDPOINTS)


async def test_the_examples_work_in_their_order(control: Control) -> None:
    variables = {
        "CONTROL": "",
        "KEY_ID": "",
        "KEY": ADMIN_KEY,
        "CUSTOMER_ID": "",
        "BLOCK_ID": "",
        "CAP_ID": "",
        "TOPUP_ID": "",
        "RESERVATION_ID": "r1",
        "RESERVED": "",
        "TOKEN": "",
        "ENTRY_ID": "",
        "EVENT_ID": "",
        "REQUEST_ID": "",
    }
    seen = set()
    for text in EXAMPLES:
        if "$RESERVATION_ID" in text:
            await control.hold(variables["CUSTOMER_ID"], variables["RESERVATION_ID"], 1)
        if "$ENTRY_ID" in text:
            variables["ENTRY_ID"] = await control.charged_entry(variables["CUSTOMER_ID"], 100)
        if "$TOKEN" in text:
            variables["TOKEN"] = await control.settle_token(variables["CUSTOMER_ID"])
        curl = Curl.parse(text, variables)
        seen.add(served_by(curl))
        headers = {name.replace("-", "_"): value for name, value in curl.headers.items()}
        answer = await control.ask(curl.method, curl.target, curl.body, key=None, **headers)
        assert answer.status < 300, f"{text}\n{answer.raw.decode()}"
        if curl.target.startswith("/v1/events?"):
            variables["EVENT_ID"] = answer.json["data"][0]["event_id"]
        if curl.target.startswith("/v1/topup-requests?"):
            variables["REQUEST_ID"] = answer.json["data"][0]["request_id"]
        if curl.method == "POST":
            given = {
                name: answer.json.get(name.lower())
                for name in ("CUSTOMER_ID", "KEY_ID", "BLOCK_ID", "CAP_ID", "TOPUP_ID")
            }
            variables["RESERVED"] = answer.json.get("reservation_id", variables["RESERVED"])
            variables |= {name: value for name, value in given.items() if value is not None}
    assert seen == {f"{each.method} {each.path}" for each in ENDPOINTS}
