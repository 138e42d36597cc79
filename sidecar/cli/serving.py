"""What `sidecar run`, `proxy` and `control` do, with everything that serving needs."""

from collections.abc import Callable

from sidecar.cli import banner, process, workers
from sidecar.config.settings import Settings
from sidecar.wiring import Role


def run(settings: Settings) -> int:
    return process.serve(settings, Role.ALL, banner.print_up)


def control(settings: Settings) -> int:
    return process.serve(settings, Role.CONTROL, banner.print_up)


def proxy(settings: Settings, count: int) -> int:
    """The data path, in `count` processes on one port."""
    if count == 1:
        return process.serve(settings, Role.PROXY, banner.print_up)

    def work(fixed: Settings, ready: Callable[[], None], place: process.Place) -> int:
        return process.serve(fixed, Role.PROXY, lambda _: ready(), place=place)

    return workers.supervise(
        settings, count, work, process.answer, lambda fixed: banner.print_workers_up(fixed, count)
    )
