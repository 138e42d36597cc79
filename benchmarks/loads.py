"""One window of load on a port: `wrk` for plain requests, `benchmarks.loader` for streams and exact numbers."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks import loader, workload

LOAD_SCRIPT = Path(__file__).with_name("load.lua")
GETS_SCRIPT = Path(__file__).with_name("gets.lua")
ANSWER_TIMEOUT_S = 10


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one window did. `count` is requests, or chunks where answers are streams."""

    count: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: int


class Target(msgspec.Struct, frozen=True):
    """What is loaded: a path on a loopback port, by the callers whose keys are in a file."""

    port: int
    path: str
    callers: Path


def requests(target: Target, *, connections: int, seconds: int) -> Load:
    """Small requests in a closed loop; latencies are of whole requests."""
    body = target.callers.with_suffix(".body")
    body.write_bytes(workload.request_body(stream=False))
    url = f"http://127.0.0.1:{target.port}{target.path}"
    return _wrk(url, LOAD_SCRIPT, [str(body), str(target.callers)], workload.HEADERS, connections, seconds)


def gets(port: int, paths: Path, headers: Mapping[str, str], *, connections: int, seconds: int) -> Load:
    """The same of GETs of the paths in a file, in turn."""
    return _wrk(f"http://127.0.0.1:{port}", GETS_SCRIPT, [str(paths)], headers, connections, seconds)


def _wrk(
    url: str, script: Path, files: list[str], headers: Mapping[str, str], connections: int, seconds: int
) -> Load:
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", f"{ANSWER_TIMEOUT_S}s", "--script", str(script), url, "--", *files]
    command += [f"{name}: {value}" for name, value in headers.items()]
    return msgspec.json.decode(_run(command, seconds).splitlines()[-1], type=Load)


def streams(target: Target, *, connections: int, seconds: int) -> Load:
    """Paced streams; latencies are of each chunk, from the upstream's send to the reader's receipt."""
    reading = _read(target, ["--connections", str(connections), "--stream", "--seconds", str(seconds)], seconds)
    return Load(
        count=reading.chunks,
        seconds=reading.seconds,
        p50_us=reading.delay_p50_us,
        p99_us=reading.delay_p99_us,
        errors=reading.errors,
    )


def exactly(answers: int, target: Target, *, connections: int) -> loader.Reading:
    """`answers` small requests, each read to its end."""
    return _read(target, ["--connections", str(connections), "--answers", str(answers)], answers / 500)


def _read(target: Target, options: list[str], seconds: float) -> loader.Reading:
    command = [sys.executable, "-m", "benchmarks.loader", str(target.port), "--path", target.path]
    printed = _run([*command, "--callers", str(target.callers), *options], seconds)
    return msgspec.json.decode(printed, type=loader.Reading)


def _run(command: list[str], seconds: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{command[0]} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout
