"""A page of the documentation, done as it says: files are written, commands run in a shell, output is compared.

A ``sh`` block is left running; of a ``console`` block each line after ``$ `` is a command (lines after ``> `` belong
to it), and what follows is its output, in which ``…`` stands for anything. Only ports and the home folder are others.
"""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import takewhile
from pathlib import Path

import msgspec

from sidecar.config.rules import read_rules
from sidecar.domain.amounts import CREDITS
from tests.support.ports import free_ports
from tests.support.rawhttp import fetch
from tests.support.until import until_async

BLOCK = re.compile(
    r"(?:`(?P<file>[a-z]+\.(?:py|yaml))`[^`\n]*:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
WAIT_S = 60.0
DONE = "--- done ---"


class Step(msgspec.Struct, frozen=True):
    """One block of the page; `file` is where its text goes, if it is a file."""

    kind: str
    file: str
    text: str

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Each command with the lines that it shall print."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            first, *lines = part.splitlines()
            more = list(takewhile(lambda line: line.startswith("> "), lines))
            yield "\n".join([first, *(line[2:] for line in more)]), lines[len(more) :]


def steps(page: Path, ports: dict[str, int]) -> list[Step]:
    text = page.read_text()
    for written, port in ports.items():
        text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{port}").replace(
            f'"127.0.0.1", {written}', f'"127.0.0.1", {port}'
        )
    return [Step(block["kind"], block["file"] or "", block["text"]) for block in BLOCK.finditer(text)]


def pattern(lines: list[str]) -> str:
    """Of all lines together; a line of ``…`` alone is any number of them."""
    parts = ["(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + " *\n" for line in lines]
    return "".join(parts)


class Shell:
    """One bash with what the tutorial needs on its way."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        self._bash = await self._spawn("bash", "--norc", stdin=asyncio.subprocess.PIPE)
        python = shlex.quote(sys.executable)
        await self.run(f'exec 2>&1; sidecar() {{ {python} -m sidecar "$@"; }}; python3() {{ {python} "$@"; }}')

    async def run(self, command: str) -> str:
        """What it prints, stderr too."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{command}\necho; echo '{DONE}'\n".encode())
        async with asyncio.timeout(WAIT_S):
            printed = await self._bash.stdout.readuntil(f"\n{DONE}\n".encode())
        return printed.decode().removesuffix(f"\n{DONE}\n").replace("\r\n", "\n")

    async def leave_running(self, command: str) -> None:
        program, *arguments = shlex.split(command)
        start = ["-m", "sidecar"] if program == "sidecar" else []
        assert program in {"sidecar", "python3"}
        await self._spawn(sys.executable, *start, *arguments)

    async def stop(self) -> None:
        for process in reversed(self._processes):
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(WAIT_S):
                await process.communicate()

    async def _spawn(self, *command: str, stdin: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self._folder,
            env=self._environment,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process


@asynccontextmanager
async def shell(folder: Path, environment: dict[str, str]) -> AsyncIterator[Shell]:
    found = Shell(folder, environment)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def walk(page: Path, folder: Path) -> None:
    """Do what the page says, in an empty folder; AssertionError with the command whose output is another."""
    ports = dict(zip(("9000", "8080", "8081"), free_ports(3), strict=True))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SIDECAR_", "XDG_"))} | {
        "HOME": str(folder),
        "SIDECAR_PROXY_LISTEN": f"127.0.0.1:{ports['8080']}",
        "SIDECAR_CONTROL_LISTEN": f"127.0.0.1:{ports['8081']}",
    }
    running = False

    async def in_force() -> bool:
        """The sidecar has read the rule file as it is now, whatever it says."""
        key = (folder / ".local" / "share" / "sidecar" / "admin-key").read_text().strip()
        shown = (await fetch(ports["8081"], "GET", "/v1/rules", ("X-API-Key", key))).json()
        wanted = read_rules([folder / "rules.yaml"], {"credits": CREDITS})
        return shown["failure"] is not None if wanted.problems else shown["version"] == wanted.version

    async def serves() -> bool:
        try:
            return (await fetch(ports["8081"] if running else ports["9000"], "GET", "/readyz")).status == 200
        except OSError:
            return False

    async with shell(folder, environment) as bash:
        for step in steps(page, ports):
            if step.file:
                (folder / step.file).write_text(step.text)
            elif step.kind == "sh":
                running = step.text.startswith("sidecar run")
                await bash.leave_running(step.text)
                await until_async(serves, step.text)
            else:
                await _compare(bash, step)
            if running and "rules.yaml" in {step.file, step.text.split()[-1]}:
                await until_async(in_force, "the rules")


async def _compare(bash: Shell, step: Step) -> None:
    for command, lines in step.commands():
        printed = await bash.run(command)
        # What does not end with a line of its own, as curl's answers, gets one.
        shown = f"{printed.rstrip()}\n" if printed.strip() else ""
        assert re.fullmatch(pattern(lines), shown), f"$ {command}\n{printed}"
