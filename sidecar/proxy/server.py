"""The data path as a whole: listener, upstream pool, the story that handles requests, the tick behind time limits."""

import asyncio
import errno
from collections.abc import Callable
from functools import partial

from sidecar.config.settings import Gateway, Settings, units_of
from sidecar.config.values import Endpoint
from sidecar.domain.errors import StartupError
from sidecar.domain.rules import RuleSet
from sidecar.http1.client import ClientConnection
from sidecar.http1.engine import Engine, Limits
from sidecar.http1.errors import ProtocolError
from sidecar.http1.fields import Pairs
from sidecar.proxy import refusals
from sidecar.proxy.deferring import Deferring
from sidecar.proxy.gate import Gate
from sidecar.proxy.health import Health
from sidecar.proxy.identity import Identities
from sidecar.proxy.load import Load
from sidecar.proxy.request_ids import RequestIds
from sidecar.proxy.story import Story
from sidecar.proxy.upstream_settings import upstreams_of
from sidecar.services.credential import Credential
from sidecar.services.deferred import Deferred
from sidecar.services.holds import Holds
from sidecar.services.polling import Polling
from sidecar.store.customers import Customers
from sidecar.telemetry import Fold, Metrics

BACKLOG = 4096
TICK_MAX_S = 0.25


class ProxyServer:
    """Serves the proxied API. `port` is known once it has started."""

    def __init__(
        self,
        *,
        settings: Settings,
        rules: RuleSet,
        holds: Holds,
        customers: Customers,
        deferred: Deferred,
        polling: Polling,
        metrics: Metrics,
        credential: Credential | None = None,
        share_port: bool = False,
    ) -> None:
        """`share_port`: other processes listen on the same port, and the kernel spreads connections over them."""
        self._credential = credential
        self._settings = settings
        self._metrics = metrics
        self._share_port = share_port
        self._request_ids = RequestIds()
        self._engine = Engine(limits_of(settings), self._refuse)
        self._upstreams = upstreams_of(settings, self._engine, self._credential_field())
        self._load = Load(
            self._engine,
            requests_max=settings.limits.requests_max,
            share=settings.limits.customer_share,
            bodies_max_bytes=settings.limits.bodies_max_bytes,
        )
        self._checking: list[asyncio.Task[None]] = []
        self._story = self._storyteller(deferred)(
            rules=rules,
            units=units_of(settings),
            holds=holds,
            identities=Identities(customers, holds.outage, settings.environment),
            metrics=metrics,
            upstreams=self._upstreams,
            request_ids=self._request_ids,
            load=self._load,
            deferring=Deferring(holds, deferred, polling, via=self._upstreams.addresses[0].policy.via),
            inspect_max_bytes=settings.limits.body_inspect_max_bytes,
            wait_for_commit=settings.proxy.wait_for_commit,
            step_s=settings.timeouts.tunnel_step_s,
            shadow=settings.proxy.shadow,
        )
        self._engine.handler, self._engine.failed = self._story.tell, self._story.failed
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self.port = 0

    def _storyteller(self, deferred: Deferred) -> Callable[..., Story]:
        """What becomes of requests: they are forwarded, or a gateway is told whether it may."""
        proxy = self._settings.proxy
        if proxy.forward_auth is Gateway.NONE:
            return Story
        return partial(Gate, gateway=proxy.forward_auth, deferred=deferred, within_s=proxy.forward_auth_within_s)

    def use(self, rules: RuleSet) -> None:
        """Take these rules from the next request on."""
        self._story.use(rules)

    def use_credential(self) -> None:
        """Send the credential that there is now, from the next request on."""
        for name, value in self._credential_field():
            self._upstreams.set_field(name, value)

    def _credential_field(self) -> Pairs:
        credential = self._credential
        return () if credential is None else ((credential.header.encode(), credential.value.encode()),)

    async def start(self) -> None:
        """Listen. StartupError, in one sentence, when the address cannot be had."""
        listen = Endpoint.parse(self._settings.proxy.listen)
        assert listen is not None, "the settings have been checked"
        try:
            self._server = await self._engine.loop.create_server(
                lambda: ClientConnection(self._engine),
                listen.host,
                listen.port,
                backlog=BACKLOG,
                reuse_port=self._share_port or None,
            )
        except OSError as error:
            why = "the port is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
            raise StartupError(
                f"The proxy cannot listen on {listen}: {why}; choose another address with --listen."
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._register_metrics()
        self._check_health()
        self._tick()

    async def linger(self, delay_s: float) -> None:
        """Serve everyone for `delay_s` more, and tell each client to connect anew, which leads it elsewhere."""
        self._engine.leaving = True
        await asyncio.sleep(delay_s)

    async def drain(self, grace_s: float) -> bool:
        """Take no new connections, let requests finish, cut them after `grace_s`; False when some had to be cut."""
        if self._server is not None:
            self._server.close()
        return await self._engine.drain(grace_s)

    async def close(self) -> None:
        """Close everything that is still open; holds that are not settled go on in their own tasks."""
        if self._ticking is not None:
            self._ticking.cancel()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._engine.connections):
            connection.cut_off()
        for task in self._checking:
            task.cancel()
        await asyncio.gather(*self._checking, return_exceptions=True)
        for address in self._upstreams.addresses:
            await address.pool.close()

    def _tick(self) -> None:
        limits = self._engine.limits
        shortest_s = min(limits.connect_s, limits.head_s, limits.idle_s, limits.client_head_s, limits.total_s)
        # First, so that no error can stop the clock.
        self._ticking = self._engine.loop.call_later(min(TICK_MAX_S, shortest_s / 4), self._tick)
        self._engine.tick()
        for address in self._upstreams.addresses:
            address.pool.tick()

    def _check_health(self) -> None:
        upstream = self._settings.upstream
        if upstream.health_path:
            health = Health(
                upstream.health_path, interval_s=upstream.health_interval_s, timeout_s=self._engine.limits.connect_s
            )
            self._checking = [
                self._engine.loop.create_task(health.run(address), name=f"health of {address.pool.origin}")
                for address in self._upstreams.addresses
            ]
            self._metrics.total(
                "sidecar_upstream_health_failures", "Health checks that failed.", lambda: health.failures_total
            )

    def _refuse(self, error: ProtocolError) -> tuple[Pairs, bytes]:
        """The engine asks how to answer a request that cannot even be begun."""
        refusal = refusals.of_protocol_error(error, self._request_ids.next())
        self._metrics.refusals[refusal.code] += 1
        return refusal.pairs, refusal.body

    def _register_metrics(self) -> None:
        engine, upstreams, metrics = self._engine, self._upstreams, self._metrics
        metrics.gauge("sidecar_client_connections", "Open client connections.", lambda: len(engine.connections))
        metrics.total("sidecar_requests_begun", "Requests whose head was read.", lambda: engine.requests_total)
        metrics.gauge("sidecar_requests_in_flight", "Requests being handled.", lambda: engine.running)
        load, drains = self._load, engine.drains
        metrics.gauge("sidecar_customers_in_flight", "Customers with a request in flight.", lambda: load.customers)
        metrics.gauge("sidecar_bodies_bytes", "Memory promised to request bodies.", lambda: load.bodies_bytes)
        metrics.gauge_by(
            "sidecar_sessions", "Sessions that have gone over and last.", "rule", lambda: metrics.sessions
        )
        metrics.gauge("sidecar_upstream_waiting", "Requests that wait for a connection.", lambda: upstreams.waiting)
        metrics.gauge("sidecar_drains", "Answers that are read without their clients.", lambda: len(drains.running))
        metrics.total(
            "sidecar_drains_begun", "Answers that were read on without a client.", lambda: drains.begun_total
        )
        metrics.total(
            "sidecar_drains_refused", "Clients that went while too many others had.", lambda: drains.refused_total
        )
        metrics.gauge(
            "sidecar_upstream_connections", "Upstream connections, idle ones included.", lambda: upstreams.size
        )
        metrics.gauge(
            "sidecar_upstream_connections_idle", "Upstream connections without a request.", lambda: upstreams.idle
        )
        metrics.gauge_by(
            "sidecar_upstream_up",
            "1 while requests go to this address, 0 while it is left alone after failures.",
            "address",
            lambda: {str(each.pool.origin): int(each.breaker.closed) for each in upstreams.addresses},
            Fold.LEAST,
        )
        metrics.total_by(
            "sidecar_upstream_opened",
            "How often an address was left alone after failures in a row.",
            "address",
            lambda: {str(each.pool.origin): each.breaker.opened_total for each in upstreams.addresses},
        )
        metrics.total("sidecar_upstream_retries", "Attempts that were made again.", lambda: upstreams.retries_total)


def limits_of(settings: Settings) -> Limits:
    limits, timeouts = settings.limits, settings.timeouts
    return Limits(
        request_line_max_bytes=limits.request_line_max_bytes,
        head_max_bytes=limits.head_max_bytes,
        headers_max=limits.headers_max,
        body_max_bytes=limits.body_max_bytes,
        client_connections_max=limits.client_connections_max,
        client_head_s=timeouts.client_head_s,
        client_idle_s=timeouts.client_idle_s,
        connect_s=timeouts.connect_s,
        head_s=timeouts.head_s,
        idle_s=timeouts.idle_s,
        total_s=timeouts.total_s,
        body_min_bytes_per_s=limits.body_min_bytes_per_s,
        drains_max=limits.drains_max,
        drain_max_bytes=limits.drain_max_bytes,
        drain_s=timeouts.drain_s,
        tunnel_idle_s=timeouts.tunnel_idle_s,
        tunnel_s=timeouts.tunnel_s,
    )
