"""Writes `sidecar/client/calls.py` from the route table: ``python -m tests.support.client_source``.

A method for each endpoint, with the records of its body, query and answer, so that the client cannot tell another
story than the server.
"""

import inspect
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from sidecar.control.endpoint import BY_ID, Endpoint, Repeat, Stream
from sidecar.control.routes import ENDPOINTS
from sidecar.control.schema import Nothing

CALLS = Path(__file__).parents[2] / "sidecar" / "client" / "calls.py"

_HEAD = '''"""Every call of the control API.

Made from its route table by `python -m tests.support.client_source`: do not edit.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import TypeVar
from urllib.parse import quote

import msgspec

{imports}

_Answer = TypeVar("_Answer")


class Calls(ABC):
    """The calls; `SidecarClient` sends them. `customer` is either id of a customer."""

    @abstractmethod
    async def _ask(
        self,
        method: str,
        path: str,
        answer: type[_Answer],
        *,
        body: msgspec.Struct | None = None,
        query: msgspec.Struct | None = None,
        key: str | None = None,
        keyed: bool = False,
        if_match: int | None = None,
    ) -> _Answer: ...

    @abstractmethod
    def _stream(self, path: str, query: msgspec.Struct) -> AsyncIterator[bytes]: ...

    @abstractmethod
    def _customer(self, customer: str) -> str: ...
'''


def served() -> list[Endpoint[Any, Any, Any]]:
    """The endpoints that a client calls: those that answer a record or a file."""
    return [each for each in ENDPOINTS if each.answer is not bytes]


def source() -> str:
    """The module's text, formatted."""
    methods = "\n".join(_method(each) for each in served())
    text = _HEAD.format(imports=_imports()) + "\n" + methods
    return _formatted(text)


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(CALLS), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def _imports() -> str:
    names: defaultdict[str, set[str]] = defaultdict(set)
    for each in served():
        for record in (each.body, each.query, each.answer):
            if record not in {Nothing, Stream}:
                names[record.__module__].add(record.__name__)
    return "\n".join(f"from {module} import ({', '.join(sorted(names[module]))})" for module in sorted(names))


def _method(endpoint: Endpoint[Any, Any, Any]) -> str:
    parameters, arguments = _parameters(endpoint), _arguments(endpoint)
    about = inspect.cleandoc(endpoint.work.__doc__ or "").partition("\n\n")[0]
    if endpoint.answer is Stream:
        return (
            f"    def {endpoint.name}(self, {', '.join(parameters)}) -> AsyncIterator[bytes]:\n"
            f'        """{about}"""\n'
            f"        return self._stream({_path(endpoint)}, query)\n"
        )
    answer = endpoint.answer.__name__
    call = ", ".join([repr(endpoint.method), _path(endpoint), answer, *arguments])
    return (
        f"    async def {endpoint.name}({', '.join(['self', *parameters])}) -> {answer}:\n"
        f'        """{about}"""\n'
        f"        return await self._ask({call})\n"
    )


def _parameters(endpoint: Endpoint[Any, Any, Any]) -> list[str]:
    found = []
    if endpoint.path.startswith(BY_ID):
        found.append("customer: str")
    found += [f"{name}: str" for name in re.findall(r"{(\w+)}", endpoint.path) if name != "customer_id"]
    if endpoint.body is not Nothing:
        found.append(f"body: {endpoint.body.__name__}" + _default(endpoint.body))
    if endpoint.query is not Nothing:
        found.append(f"query: {endpoint.query.__name__}" + _default(endpoint.query))
    options = []
    if endpoint.repeat in {Repeat.RECORDED, Repeat.REQUIRED, Repeat.IN_LEDGER}:
        options.append("idempotency_key: str | None = None")
    if _conditional(endpoint):
        options.append("if_match: int | None = None")
    return [*found, "*", *options] if options else found


def _conditional(endpoint: Endpoint[Any, Any, Any]) -> bool:
    """Whether it changes something that is there."""
    return endpoint.versioned and endpoint.repeat is not Repeat.READ and "{" in endpoint.path


def _default(record: type[msgspec.Struct]) -> str:
    required = any(field.required for field in msgspec.structs.fields(record))
    return "" if required else f" = {record.__name__}()"


def _arguments(endpoint: Endpoint[Any, Any, Any]) -> list[str]:
    given = []
    if endpoint.body is not Nothing:
        given.append("body=body")
    if endpoint.query is not Nothing:
        given.append("query=query")
    if endpoint.repeat in {Repeat.RECORDED, Repeat.REQUIRED, Repeat.IN_LEDGER}:
        given += ["key=idempotency_key", "keyed=True"]
    if _conditional(endpoint):
        given.append("if_match=if_match")
    return given


def _path(endpoint: Endpoint[Any, Any, Any]) -> str:
    path = endpoint.path.replace(BY_ID, "{self._customer(customer)}")
    path = re.sub(r"{(\w+)}", r"{quote(\1, safe='')}", path)
    return f'f"{path}"' if "{" in path else f'"{path}"'


if __name__ == "__main__":
    CALLS.write_text(source())
