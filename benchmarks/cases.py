"""What is compared: each case is one way to reach the upstream. All are sent the same requests."""

import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import msgspec

from benchmarks import machine, nginx, workload
from benchmarks.servers import Server

RULES = (Path(__file__).with_name("rules.yaml"), Path(__file__).parents[1] / "rules" / "openai.yaml")


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where a case's server is put, and what stands around it."""

    folder: Path
    core: int
    upstream: Server
    store_url: str


class Case(ABC):
    """One way to reach the upstream."""

    name: ClassVar[str]
    path: ClassVar[str] = workload.CHAT_PATH
    uses_store: ClassVar[bool] = False

    @abstractmethod
    def server(self, site: Site) -> Server:
        """The process to measure, not yet started; or the upstream itself, which runs."""


class Direct(Case):
    """No proxy: what the upstream and the load generator take by themselves."""

    name = "direct"

    def server(self, site: Site) -> Server:
        return site.upstream


class Nginx(Case):
    name = "nginx"

    def server(self, site: Site) -> Server:
        return nginx.forwarding(machine.free_port(), site.upstream.port, core=site.core, folder=site.folder)


class PlainAiohttp(Case):
    """The yardstick: `web.Application` in front, `ClientSession` behind, nothing metered."""

    name = "aiohttp"

    def server(self, site: Site) -> Server:
        return _module(site, self.name, "benchmarks.plain_proxy", str(site.upstream.port))


class MeteredAiohttp(Case):
    """The obvious product: the yardstick with redis-py and our own scripts."""

    name = "aiohttp-redis"
    uses_store = True

    def server(self, site: Site) -> Server:
        return _module(site, self.name, "benchmarks.metered_proxy", str(site.upstream.port), site.store_url)


class OursUnmetered(Case):
    """Our proxy on a route whose rule says ``free: true``."""

    name = "ours-unmetered"
    path = workload.FREE_PATH

    def server(self, site: Site) -> Server:
        return _sidecar(site, self.name)


class OursMetered(Case):
    """Our proxy: key, rule, hold from the request's body, charge from the answer's, two script calls."""

    name = "ours-metered"
    uses_store = True

    def server(self, site: Site) -> Server:
        return _sidecar(site, self.name)


ALL: tuple[Case, ...] = (Direct(), Nginx(), PlainAiohttp(), MeteredAiohttp(), OursUnmetered(), OursMetered())


def _module(site: Site, name: str, module: str, *arguments: str) -> Server:
    port = machine.free_port()
    command = [sys.executable, "-m", module, str(port), *arguments]
    return Server(name, command, port, core=site.core, folder=site.folder)


def _sidecar(site: Site, name: str) -> Server:
    """The product as it is shipped: its own command with a configuration file, nothing switched off but the limits
    that the memory windows would meet.
    """
    port = machine.free_port()
    config = site.folder / f"{name}.yaml"
    config.write_text(
        f"proxy: {{listen: '127.0.0.1:{port}'}}\n"
        f"control: {{listen: '127.0.0.1:{machine.free_port()}'}}\n"
        f"upstream: {{url: '{site.upstream.url}'}}\n"
        f"store: {{url: '{site.store_url}'}}\n"
        f"rules: {{paths: {[str(path) for path in RULES]}}}\n"
        f"limits: {{body_max_bytes: {2 * workload.BULK_BYTES}}}\n"
    )
    command = [sys.executable, "-m", "sidecar", "proxy", "--config", str(config)]
    return Server(name, command, port, core=site.core, folder=site.folder)
