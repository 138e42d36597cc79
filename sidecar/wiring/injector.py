"""The admission webhook's composition: certificate, both faces, and the watch over pods in scope. It has no store."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from sidecar.config import settings as sections
from sidecar.config.settings import Settings
from sidecar.domain.errors import StartupError
from sidecar.exposition import exposed
from sidecar.injector.certificates import Certificates
from sidecar.injector.cluster import Cluster, Unreachable, inside
from sidecar.injector.counts import Counts
from sidecar.injector.server import Faces, listening
from sidecar.injector.watch import Watch
from sidecar.tasks import Tasks
from sidecar.telemetry import Metrics
from sidecar.wiring.parts import Injecting


@asynccontextmanager
async def injecting(
    settings: Settings,
    cluster: Callable[[], AbstractAsyncContextManager[Cluster]] = lambda: inside(os.environ),
    now_s: Callable[[], float] = time.time,
) -> AsyncIterator[Injecting]:
    """Serve reviews; on leaving, go on for `timeouts.shutdown_delay_s`, answer what has begun, and stop.

    StartupError for what keeps it from that.
    """
    injector = settings.injector
    if not injector.image:
        raise StartupError("No image: name the sidecar's with injector.image, or SIDECAR_INJECTOR_IMAGE.")
    if not (injector.tls_cert_file and injector.tls_key_file):
        raise StartupError(
            "No certificate: an API server asks over TLS only; name one with --tls-cert and --tls-key."
        )
    certificates = Certificates(
        Path(injector.tls_cert_file),
        Path(injector.tls_key_file),
        warning_days=injector.certificate_warning_days,
        now_s=now_s,
    )
    certificates.open()
    tasks, counts, metrics = Tasks(), Counts(), Metrics()
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(cluster()) if injector.watch else None
        stack.push_async_callback(tasks.cancel)
        if around is not None:
            injector = await _watch(injector, around, tasks, metrics, now_s)
        _measure(metrics, counts, certificates)
        faces = Faces(injector, counts, exposed(metrics))
        metrics_port = await stack.enter_async_context(
            listening(faces.metrics(), injector.metrics_listen, "The metrics", "injector.metrics_listen")
        )
        port = await stack.enter_async_context(
            listening(faces.webhook(), injector.listen, "The injector", "--listen", certificates.context)
        )
        tasks.start(certificates.watch(), "certificate")
        try:
            yield Injecting(injector, certificates.look, port, metrics_port)
        finally:
            faces.stopping = True
            await asyncio.sleep(settings.timeouts.shutdown_delay_s)


async def _watch(
    injector: sections.Injector, cluster: Cluster, tasks: Tasks, metrics: Metrics, now_s: Callable[[], float]
) -> sections.Injector:
    """Start the watch; the settings, with the cluster's version if they have none."""
    watch = Watch(cluster, interval_s=injector.watch_interval_s, now_s=now_s)
    tasks.start(watch.run(), "watch over pods")
    metrics.gauge_by(
        "sidecar_injector_pods", "Pods in scope, by how their sidecar fares.", "state", lambda: watch.pods
    )
    metrics.gauge(
        "sidecar_injector_watch_timestamp_seconds", "When they were looked at last.", lambda: watch.looked_at_s
    )
    metrics.total("sidecar_injector_watch_failures", "Looks that failed.", lambda: watch.failures_total)
    if injector.kubernetes_version:
        return injector
    try:
        return replace(injector, kubernetes_version=await cluster.version())
    except Unreachable as error:
        raise StartupError(
            f"The cluster's version cannot be asked for: {error}; set injector.kubernetes_version."
        ) from error


def _measure(metrics: Metrics, counts: Counts, certificates: Certificates) -> None:
    metrics.total_by("sidecar_injector_reviews", "Reviews, by how they ended.", "outcome", lambda: counts.reviews)
    metrics.total_by("sidecar_injector_reasons", "Reviews by what was said.", "reason", lambda: counts.reasons)
    metrics.histogram("sidecar_injector_review_duration_seconds", "A review, from its head on.", counts.seconds)
    metrics.gauge(
        "sidecar_injector_certificate_expires_timestamp_seconds",
        "When the webhook's certificate ends.",
        lambda: certificates.expires_at_s,
    )
    metrics.total_by(
        "sidecar_injector_certificate_reloads", "New ones, by outcome.", "outcome", lambda: certificates.reloads
    )
