"""What the kernel knows: CPU time, memory and wake-up latency. Linux only; it reads /proc and changes nothing.

CPU time of a process tree includes the loopback TCP work done in its system calls, and hardly moves when a noisy
neighbour halves the throughput: it is the figure to compare, far more than requests per second.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
DMA_LATENCY = Path("/dev/cpu_dma_latency")


class CpuTime(msgspec.Struct, frozen=True):
    """Seconds of CPU time used so far."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s

    def since(self, before: "CpuTime") -> "CpuTime":
        return CpuTime(self.user_s - before.user_s, self.system_s - before.system_s)


def process_tree(pid: int) -> list[int]:
    """`pid` and all that descend from it and still run."""
    tree = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in (PROC / str(pid) / "task").iterdir():
            for child in (task / "children").read_text().split():
                tree += process_tree(int(child))
    return tree


def cpu_time(pid: int) -> CpuTime:
    """What the process and its descendants have used; exact to one tick (10 ms)."""
    user = system = 0
    for member in process_tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = _stat(member)
            user += int(fields[11])
            system += int(fields[12])
    return CpuTime(user / TICKS_PER_S, system / TICKS_PER_S)


def foreign_cpu_s() -> float:
    """What every process outside our own tree has used, with its reaped children."""
    ours = set(process_tree(os.getpid()))
    ticks = 0
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) not in ours:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                ticks += sum(map(int, _stat(int(entry.name))[11:15]))
    return ticks / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Resident memory of one process."""
    return _status_kb(pid, "VmRSS") / 1024


def peak_resident_mb(pid: int) -> float:
    """Most resident memory since the last `reset_peak`."""
    return _status_kb(pid, "VmHWM") / 1024


def reset_peak(pid: int) -> None:
    """Let the peak of `pid` start again from what it has now."""
    (PROC / str(pid) / "clear_refs").write_text("5")


@contextlib.contextmanager
def awake_cores() -> Iterator[bool]:
    """Keep idle cores from halting while open; False when the machine does not let us.

    A halted virtual core may wake only at the host's next tick, 4 ms later, which drowns the latencies of interest.
    """
    try:
        held = DMA_LATENCY.open("wb", buffering=0)
    except OSError:
        yield False
        return
    with held:
        held.write((0).to_bytes(4, "little"))
        yield True


def keep_off(core: int, *, stay_on: int) -> None:
    """Move this process, and so what it starts, to core `stay_on`, and leave `core` to what is measured."""
    missing = {core, stay_on} - os.sched_getaffinity(0)
    if missing or core == stay_on:
        raise SystemExit(f"The benchmark needs two cores of its own; {core} and {stay_on} are not available here.")
    os.sched_setaffinity(0, {stay_on})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat after the name, which may hold spaces: fields 11 to 14 are utime, stime, cutime, cstime."""
    return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()


def _status_kb(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", (PROC / str(pid) / "status").read_text(), re.MULTILINE)
    if found is None:
        raise ProcessLookupError(f"/proc/{pid}/status has no {name}: has the process ended?")
    return int(found[1])
