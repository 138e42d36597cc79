"""``python -m benchmarks``: measure every case in one run and say which bars are met.

Needs Linux with two cores, wrk and nginx (``apt-get install wrk nginx-light``), and the package with its
``embedded`` extra. ``--quick --only aiohttp,ours-metered --connections 64`` gives an answer in some 15 seconds.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import cases, goals, machine, report, suites
from benchmarks.store import Store

SUITES = ("requests", "streams", "memory")


def main() -> None:
    options = _options()
    missing = [program for program in ("wrk", "nginx", "taskset") if shutil.which(program) is None]
    if missing:
        raise SystemExit(f"The benchmark needs {' and '.join(missing)}: apt-get install wrk nginx-light util-linux.")
    plan = _plan(options)
    machine.keep_off(plan.proxy_core, stay_on=plan.other_core)
    with machine.awake_cores() as awake, tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        if not awake:
            print("Idle cores may halt here (no /dev/cpu_dma_latency): latencies will be too high.", file=sys.stderr)
        with Store(Path(folder), core=plan.other_core, append_only=options.append_only) as store:
            text, met = _measure(plan, store, options.suites)
    print(text)
    if options.write:
        report.write(text)
    sys.exit(0 if met else 1)


def _measure(plan: suites.Plan, store: Store, wanted: list[str]) -> tuple[str, bool]:
    """Run the suites; the report, and whether each bar that could be judged is met."""
    judged: list[goals.Goal] = []
    tables: list[str] = []
    if "requests" in wanted:
        requests = suites.small_requests(plan, store)
        judged += goals.of_requests(requests)
        tables.append(report.requests_tables(requests))
    if "streams" in wanted:
        streams = suites.paced_streams(plan, store)
        judged += goals.of_streams(streams)
        tables.append(report.streams_table(streams))
    if "memory" in wanted:
        memory = suites.memory(plan, store)
        judged += goals.of_memory(memory)
        tables.append(report.memory_table(memory))
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    parts = [report.surroundings(command, store.description), report.goals_table(judged), *tables]
    return "\n\n".join(parts), all(goal.met for goal in judged)


def _plan(options: argparse.Namespace) -> suites.Plan:
    seconds, repetitions = (2, 2) if options.quick else (4, 5)
    return suites.Plan(
        cases=[case for case in cases.ALL if not options.only or case.name in options.only],
        connections=options.connections,
        seconds=options.seconds or seconds,
        repetitions=options.repetitions or repetitions,
        tries=1 if options.quick else 4,
        proxy_core=options.proxy_core,
        other_core=options.other_core,
    )


def _options() -> argparse.Namespace:
    names = [case.name for case in cases.ALL]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short windows a case, and only the small requests")
    parser.add_argument("--suites", type=_list_of(SUITES), metavar=",".join(SUITES))
    parser.add_argument("--only", type=_list_of(names), metavar="CASE,…", help=f"of {', '.join(names)}")
    parser.add_argument("--connections", type=_numbers, default=[1, 64, 500], metavar="1,64,500")
    parser.add_argument("--seconds", type=int, help="length of one window (4; quick: 2)")
    parser.add_argument("--repetitions", type=int, help="windows of each case (5; quick: 2)")
    parser.add_argument("--no-append-only", dest="append_only", action="store_false", help="a store that forgets")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--other-core", type=int, default=1, help="load, upstream and store share it")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    options.suites = options.suites or (SUITES[:1] if options.quick else SUITES)
    return options


def _list_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return text.split(",")

    return parse


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
