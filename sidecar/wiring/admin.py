"""Who answers probes and Prometheus for the data path: its own process, or one beside several workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.domain.errors import StartupError
from sidecar.proxy.reports import Report, gather, serve_reports
from sidecar.wiring.parts import Sidecar

if TYPE_CHECKING:
    from sidecar.proxy.admin import AdminServer, Look


class Probes:
    """Answers for this process, or reports at `report_at` to the one that answers for all.

    To be started when requests are taken and closed when the last one has been answered. Without `proxy.admin_listen`
    it does nothing.
    """

    def __init__(self, sidecar: Sidecar, report_at: Path | None) -> None:
        self._sidecar = sidecar
        self._report_at = report_at
        self._reports: asyncio.Server | None = None
        listen = sidecar.settings.proxy.admin_listen
        self._admin = _admin_server(listen, self._look) if listen and report_at is None else None

    async def start(self) -> None:
        """StartupError, in one sentence, when the address cannot be had."""
        if self._admin is not None:
            await self._admin.start()
            self._sidecar.admin_port = self._admin.port
        if self._report_at is not None:
            try:
                self._reports = await serve_reports(self._report_at, self._report)
            except OSError as error:
                raise StartupError(
                    f"A worker cannot report at {self._report_at}: {error.strerror or error}; name another data "
                    "folder, with a short path, as data.dir."
                ) from error

    async def close(self) -> None:
        if self._admin is not None:
            await self._admin.close()
        if self._reports is not None:
            self._reports.close()

    def _report(self) -> Report:
        return Report(self._sidecar.not_ready(), self._sidecar.metrics.families())

    async def _look(self) -> list[Report | None]:
        return [self._report()]


@asynccontextmanager
async def answering_for_workers(listen: str, folder: Path) -> AsyncIterator[None]:
    """Answer at `listen` for all workers that report in `folder`. StartupError when the address cannot be had."""
    admin = _admin_server(listen, lambda: gather(folder))
    await admin.start()
    try:
        yield
    finally:
        await admin.close()


def _admin_server(listen: str, look: "Look") -> "AdminServer":
    # What shows metrics takes memory and a tenth of a second: only of who is asked, and before requests come.
    from sidecar.proxy.admin import AdminServer  # noqa: PLC0415

    return AdminServer(listen, look)
