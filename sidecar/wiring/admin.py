"""Who answers probes and Prometheus for the data path: its own process, or one beside several workers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sidecar.domain.errors import StartupError
from sidecar.proxy.reports import Report, gather, serve_reports
from sidecar.wiring.parts import Sidecar


async def serve_admin(sidecar: Sidecar, stack: AsyncExitStack, report_at: Path | None) -> None:
    """Answer for this process, or report at `report_at` to the one that answers for all, until `stack` is left.

    StartupError when the address cannot be had. Without `proxy.admin_listen` there is nobody to answer.
    """

    def report() -> Report:
        return Report(sidecar.not_ready(), sidecar.metrics.families())

    async def look() -> list[Report]:
        return [report()]

    if report_at is not None:
        try:
            server = await serve_reports(report_at, report)
        except OSError as error:
            raise StartupError(
                f"A worker cannot report at {report_at}: {error.strerror or error}; name another data folder, with "
                "a short path, as data.dir."
            ) from error
        stack.callback(server.close)
    elif sidecar.settings.proxy.admin_listen:
        # What shows metrics is 7 MB, which only who is asked for them shall pay.
        from sidecar.proxy.admin import AdminServer  # noqa: PLC0415

        admin = AdminServer(sidecar.settings.proxy.admin_listen, look)
        await admin.start()
        stack.push_async_callback(admin.close)
        sidecar.admin_port = admin.port


@asynccontextmanager
async def answering_for_workers(listen: str, folder: Path) -> AsyncIterator[None]:
    """Answer at `listen` for all workers that report in `folder`. StartupError when the address cannot be had."""
    from sidecar.proxy.admin import AdminServer  # noqa: PLC0415  (as above)

    async def look() -> list[Report | None]:
        return await gather(folder)

    admin = AdminServer(listen, look)
    await admin.start()
    try:
        yield
    finally:
        await admin.close()
