"""The command line's side of the control API: where it is, its key, one call, and its errors as one sentence each.

No command here knows the store: what a person can do, a script can do with the same calls.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import msgspec

from sidecar.cli import options
from sidecar.config.data_folder import data_dir, usable_admin_key
from sidecar.config.values import http_url
from sidecar.domain.amounts import Unit
from sidecar.domain.errors import SidecarError
from sidecar.domain.ids import is_customer_id


class ClientError(SidecarError):
    """The command failed; `detail` is for the person who gave it."""

    code = "command_failed"


class Unclear(ClientError):
    """The request was sent, and nobody here knows whether it was carried out."""


class Answer(msgspec.Struct, frozen=True):
    """A request that succeeded."""

    status: int
    document: Any
    replayed: bool


class Subparsers(Protocol):
    """What `ArgumentParser.add_subparsers` gives; argparse names it only in private."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser: ...  # noqa: A002


class Client(msgspec.Struct, frozen=True):
    """Calls one control API. `url` has no slash at its end; the key is never printed."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """One request. ClientError when it is refused, cannot be sent, or (Unclear) has no certain end."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        payload = None if body is None else json.dumps(body).encode()
        target = path + (f"?{urlencode(query)}" if query else "")
        from sidecar.cli import calls  # noqa: PLC0415  (aiohttp, which `--help` need not wait for)

        answer = calls.ask(self.url, self.key, method, target, payload, headers)
        try:
            return Answer(answer.status, msgspec.json.decode(answer.body), answer.replayed)
        except msgspec.DecodeError as error:
            raise ClientError(
                f"{self.url} answered {answer.status}, and not as the control API does: is the URL right?"
            ) from error

    def download(self, path: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """A file, piece by piece. ClientError as `call`, also when it breaks off."""
        from sidecar.cli import calls  # noqa: PLC0415  (as above)

        return calls.download(self.url, self.key, f"{path}?{urlencode(query)}")

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self.call("GET", path, query={"limit": "250", **(query or {}), **cursor}).document
            yield from page["data"]
            if not page["pagination"]["has_more"]:
                return
            cursor = {"cursor": page["pagination"]["next_cursor"]}


def add_command(
    subparsers: Subparsers, name: str, about: str, work: Callable[[argparse.Namespace, Client], None]
) -> argparse.ArgumentParser:
    """A parser for one command with the options that all of them have."""
    parser = subparsers.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.add_argument("--json", action="store_true", help="print the answers of the control API, for scripts")
    add_address(parser)
    options.add(parser, "--data")

    def run(args: argparse.Namespace) -> int:
        work(args, connected(args))
        return 0

    parser.set_defaults(run=run)
    return parser


def add_address(parser: argparse.ArgumentParser) -> None:
    """The option that says where the control API is."""
    parser.add_argument("--control-url", metavar="URL", type=_url, help="the control API (default: control.listen)")


def connected(args: argparse.Namespace) -> Client:
    """A client for the control API that `args` and the settings name. ClientError when there is no key for it."""
    settings = options.loaded(args).settings
    url = args.control_url or settings.control.url or f"http://{settings.control.listen}"
    key = usable_admin_key(settings)
    if key is None:
        raise ClientError(
            f"There is no control key: SIDECAR_ADMIN_KEY is not set, and {data_dir(settings)} holds none; "
            "give --data the data folder of `sidecar run`."
        )
    return Client(url.rstrip("/"), key)


def configured_units(client: Client) -> dict[str, Unit]:
    """The units of the control API, by name."""
    units = client.call("GET", "/v1/units").document["data"]
    return {each["unit"]: Unit(name=each["unit"], scale=each["scale"]) for each in units}


def customer_path(customer: str) -> str:
    """The path of a customer by either id. The external id is one segment, whatever characters it has."""
    if is_customer_id(customer):
        return f"/v1/customers/{customer}"
    return f"/v1/customer-by-external-id/{quote(customer, safe='')}"


def customer_argument(text: str) -> str:
    """An argparse type: the id of a customer."""
    if not text:
        raise argparse.ArgumentTypeError("a customer is named by your own id, or by ours (cus_…)")
    return text_argument(text)


def text_argument(text: str) -> str:
    """An argparse type: text that can be sent. Bytes that are not in the locale's encoding cannot."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise argparse.ArgumentTypeError("must be text in UTF-8")
    return text


def count_argument(text: str) -> int:
    """An argparse type: how many."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above zero; got {text!r}")
    return int(text)


def _url(text: str) -> str:
    if not text or (wrong := http_url(text)) is not None:
        raise argparse.ArgumentTypeError(wrong if text else "must not be empty")
    return text
