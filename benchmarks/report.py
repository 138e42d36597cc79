"""Tables in Markdown, for the terminal and for docs/performance.md."""

import importlib.metadata
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.cases import PlainAiohttp
from benchmarks.goals import Goal
from benchmarks.suites import Memory, Windows
from benchmarks.windows import Window

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PACKAGES = ("aiohttp", "uvloop", "httptools", "hiredis", "redis", "msgspec")


def goals_table(goals: Iterable[Goal]) -> str:
    rows = [[goal.name, goal.bar, goal.measured, "yes" if goal.met else "**no**"] for goal in goals]
    return (
        _table(["goal", "bar", "measured", "met"], rows) if rows else "None of the bars can be judged by these cases."
    )


def requests_tables(results: Windows) -> str:
    return "\n\n".join(
        f"Small JSON, {_connections(count)}:\n\n{_cases_table(results, count, 'request')}"
        for count in _counts(results)
    )


def streams_table(results: Windows) -> str:
    return "\n\n".join(
        f"Paced SSE, {_connections(count)}; p50 and p99 are one chunk's delay from the upstream to the reader:\n\n"
        f"{_cases_table(results, count, 'chunk')}"
        for count in _counts(results)
    )


def memory_table(memory: Memory) -> str:
    rows = [
        ["warm", f"{memory.warm_mb:.1f}"],
        [f"after {memory.answers:,} more requests ({memory.errors} errors)", f"{memory.after_answers_mb:.1f}"],
        ["before the large bodies", f"{memory.before_bodies_mb:.1f}"],
        ["peak during a 1 GiB answer", f"{memory.download_peak_mb:.1f}"],
        ["peak during a 1 GiB request", f"{memory.upload_peak_mb:.1f}"],
    ]
    return "Memory of one metered process:\n\n" + _table(["moment", "resident MB"], rows)


def surroundings(command: str, store: str) -> str:
    """What the figures were taken on, and how to take them again."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    nginx = (
        subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip().rpartition("/")[2]
    )
    return (
        f"`{command}`, {time.strftime('%Y-%m-%d', time.gmtime())}. {_processor()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {versions}, nginx {nginx}; store: {store}."
    )


def write(text: str) -> None:
    """Put the text between the two marks of the document."""
    page = DOCUMENT.read_text()
    if BEGIN not in page or END not in page:
        raise SystemExit(
            f"{DOCUMENT.name} has lost its marks {BEGIN} and {END}; put them back where the tables belong."
        )
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    print(f"wrote {DOCUMENT.name}", file=sys.stderr)


def _cases_table(results: Windows, connections: int, unit: str) -> str:
    plain = results.of(connections, PlainAiohttp.name)
    header = ["case", f"{unit}s/s", "p50 µs", "p99 µs", f"CPU µs/{unit}", "user", "system"]
    header += ["CPU / aiohttp", "rate / aiohttp", "store CPU µs", "core busy", "others", "RSS MB", "errors"]
    return _table(
        header,
        [_case_row(case, window, plain) for (count, case), window in results.medians.items() if count == connections],
    )


def _case_row(case: str, window: Window, plain: Window | None) -> list[str]:
    ratios = [f"{window.cpu_us / plain.cpu_us:.2f}", f"{window.per_s / plain.per_s:.2f}"] if plain else ["", ""]
    times = (window.p50_us, window.p99_us)
    return [
        case,
        f"{window.per_s:,.0f}",
        *(f"{value:,.0f}" for value in times),
        *(f"{value:.1f}" for value in (window.cpu_us, window.user_us, window.system_us)),
        *ratios,
        f"{window.store_cpu_us:.1f}" if window.store_cpu_us else "",
        f"{window.busy:.2f}",
        f"{window.foreign_percent / 100:.2f}",
        f"{window.resident_mb:.0f}",
        f"{window.errors:.0f}",
    ]


def _counts(results: Windows) -> list[int]:
    return sorted({count for count, _ in results.medians})


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    ruler = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ruler, *rows))


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
