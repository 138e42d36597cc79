"""Two network namespaces with a wire between them: a pod, and who calls it. Linux, and only for who may make some.

Files are everybody's, so a store on a Unix socket is reached from all of them.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec

CLIENT_ADDRESS, POD_ADDRESS = "10.203.0.1", "10.203.0.2"
_PREFIX = "/30"


class Namespaces(msgspec.Struct, frozen=True):
    """Their names."""

    client: str
    pod: str


@contextmanager
def wired() -> Iterator[Namespaces | None]:
    """A client and a pod, each with its own loopback; None where this machine does not let us."""
    names = Namespaces(f"sc-client-{os.getpid()}", f"sc-pod-{os.getpid()}")
    with contextlib.ExitStack() as stack:
        try:
            for name in (names.client, names.pod):
                _ip("netns", "add", name)
                stack.callback(_ip, "netns", "delete", name)
            _ip("-n", names.client, "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", names.pod)
            for name, address in ((names.client, CLIENT_ADDRESS), (names.pod, POD_ADDRESS)):
                _ip("-n", name, "address", "add", f"{address}{_PREFIX}", "dev", "eth0")
                for device in ("lo", "eth0"):
                    _ip("-n", name, "link", "set", device, "up")
        except (OSError, subprocess.CalledProcessError):
            yield None
            return
        yield names


@asynccontextmanager
async def process_in(
    namespace: str, *command: str, environment: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`command` with its network there; what is left of it at the end is killed."""
    ip = shutil.which("ip")
    assert ip is not None
    process = await asyncio.create_subprocess_exec(
        ip, "netns", "exec", namespace, *command,
        env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
