"""Every setting, its unit and its default. They live here and nowhere else.

A section is a Struct and a setting is a field: ``upstream.url`` in the file is ``SIDECAR_UPSTREAM_URL`` in the
environment. `load` reads them; nothing outside `config` knows where a value came from. Ranges stand in the types
below; what text must look like is checked by its kind, in `values`.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sidecar.domain.amounts import CREDITS, Unit

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=86_400)]
CallsOrNone = Annotated[int, Meta(ge=0, le=100_000_000)]
Connections = Annotated[int, Meta(ge=1, le=1_000_000)]

Listen = Annotated[str, Meta(extra={"kind": "listen"})]
ListenOrNone = Annotated[str, Meta(extra={"kind": "listen_or_none"})]
HttpUrl = Annotated[str, Meta(extra={"kind": "http_url"})]
StoreUrl = Annotated[str, Meta(extra={"kind": "store_url"})]
ArchiveUrl = Annotated[str, Meta(extra={"kind": "archive_url"})]
FilePath = Annotated[str, Meta(extra={"kind": "path"})]
AdminKey = Annotated[str, Meta(extra={"kind": "admin_key"})]
SigningKey = Annotated[str, Meta(extra={"kind": "signing_key"})]
HeaderName = Annotated[str, Meta(extra={"kind": "header_name"})]
HeaderValue = Annotated[str, Meta(extra={"kind": "header_value"})]
UnitName = Annotated[str, Meta(extra={"kind": "unit_name"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]
ObjectName = Annotated[str, Meta(extra={"kind": "object_name"})]
Image = Annotated[str, Meta(extra={"kind": "image"})]
Cpu = Annotated[str, Meta(extra={"kind": "cpu"})]
Memory = Annotated[str, Meta(extra={"kind": "memory"})]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: an unknown key is an error, never ignored, and a secret is never shown."""

    def __repr__(self) -> str:
        section = type(self).__name__.lower()
        shown = (
            f"{field}={'<secret>' if value and f'{section}.{field}' in SECRETS else repr(value)}"
            for field in self.__struct_fields__
            for value in [getattr(self, field)]
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class Forwarding(StrEnum):
    """Which headers tell the upstream about the client."""

    X_FORWARDED = "x-forwarded"
    FORWARDED = "forwarded"
    BOTH = "both"
    NONE = "none"


class Data(Section, frozen=True, kw_only=True):
    dir: FilePath = ""
    """The data folder: bundled store, admin key. Empty: ``$XDG_DATA_HOME/sidecar`` or ``~/.local/share/sidecar``."""


class RulesSection(Section, frozen=True, kw_only=True):
    paths: list[FilePath] = []
    """Rule files, or folders whose ``*.yaml`` are read in the order of their names; the first match wins."""
    watch: bool = True
    """Load them again when they change. Without it, only SIGHUP does."""
    poll_s: Annotated[float, Meta(ge=0.05, le=3_600)] = 1.0
    """How often they are looked at. A change is in force when two looks have seen it: after one to two of these."""


class Admin(Section, frozen=True, kw_only=True):
    key: AdminKey = ""
    """The first control key. Secret. Empty: `sidecar run` makes one and keeps it in the data folder, mode 0600."""


class Tokens(Section, frozen=True, kw_only=True):
    key: SigningKey = ""
    """Signs what upstreams settle by; the same for all processes. Secret. Empty: one is made, in the store."""


class Gateway(StrEnum):
    """Who asks whether a request may pass, and so how it says which request that is."""

    NONE = "none"
    NGINX = "nginx"
    TRAEFIK = "traefik"
    ENVOY = "envoy"


class Proxy(Section, frozen=True, kw_only=True):
    listen: Listen = "127.0.0.1:8080"
    """Where the proxied API is served."""
    admin_listen: ListenOrNone = ""
    """Where probes and Prometheus find ``/healthz``, ``/readyz`` and ``/metrics`` of a process without a control API,
    such as 0.0.0.0:15081. Empty: nowhere."""
    forwarding: Forwarding = Forwarding.X_FORWARDED
    """Headers that name the client to the upstream."""
    trust_forwarded: bool = False
    """Keep the forwarding headers that arrive and append to them (we stand behind a trusted front); else replace."""
    via: bool = True
    """Add ``Via`` to requests and answers (RFC 9110 §7.6.3)."""
    shadow: bool = False
    """Refuse nothing: serve and count what would be refused, to try out rules on real traffic."""
    forward_auth: Gateway = Gateway.NONE
    """Forward nothing: tell a gateway, which forwards, whether each request may pass (see docs/forward-auth.md)."""
    forward_auth_within_s: Seconds = 600.0
    """Then a hold whose cost is said later waits for that so long, unless its rule says how long."""
    wait_for_commit: bool = True
    """Let the end of an answer wait until its charge is acknowledged, at most `store.timeout_s`."""


class Control(Section, frozen=True, kw_only=True):
    listen: Listen = "127.0.0.1:8081"
    """Where the control API, the health checks and the metrics are served."""
    url: HttpUrl = ""
    """Where the command line finds the control API. Empty: from `control.listen`."""
    key_calls_per_minute: CallsOrNone = 6_000
    """Most calls of one control key in a minute, in each process; beyond it 429. 0: no limit. Entitlement checks,
    reservations, usage and settlements do not count."""
    tenant_calls_per_minute: CallsOrNone = 30_000
    """The same for all control keys of one tenant's environment together."""
    auto_create_customers: bool = False
    """Make a customer when usage, a reservation or an entitlement check names one by an external id that nobody has;
    else that is 404. Grants, top-ups and deposits make one in any case; the proxy never does."""
    overage_policy: Literal["block", "allow", "notify"] = "block"
    """What becomes of requests that credits do not cover, of customers that are made from now on."""
    overage_limit: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    """Most base units of credits that they may owe then, by default. 0: any amount."""


class Upstream(Section, frozen=True, kw_only=True):
    url: HttpUrl = ""
    """The API behind us: ``http://host:port`` or ``https://host[:port]``, with an optional path prefix."""
    urls: list[HttpUrl] = []
    """Further addresses of the same API. The least busy one that answers gets a request."""
    headers: dict[HeaderName, HeaderValue] = {}
    """Headers set on every request, replacing the client's; ``${NAME}`` is read from the environment. Secret."""
    credential_file: FilePath = ""
    """File with the upstream's credential, such as a mounted Secret; read again when it changes. It replaces what the
    client sends in its header."""
    credential_header: HeaderName = "Authorization"
    """The header that carries it."""
    credential_scheme: Annotated[str, Meta(extra={"kind": "scheme"})] = ""
    """What stands before it. Empty: ``Bearer`` in ``Authorization``, nothing in other headers."""
    preserve_host: bool = False
    """Send the client's ``Host`` instead of the upstream's own."""
    tls_ca_file: FilePath = ""
    """PEM file of the authorities to trust. Empty: the system's."""
    tls_verify: bool = True
    """Verify the upstream's certificate and name."""
    connections_max: Connections = 1024
    """Most connections open at once; requests beyond it wait for one, each customer's in its turn."""
    waiting_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 2_000
    """Most requests that wait for a connection; beyond it 503."""
    idle_connections_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 1024
    """Most connections kept open without a request."""
    idle_timeout_s: Seconds = 4.0
    """Close a connection that was idle this long; below the upstream's own limit (5 s for uvicorn and Node)."""
    breaker_failures: Annotated[int, Meta(ge=0, le=1_000_000)] = 10
    """Leave an address alone after this many failures in a row: no connection, no answer, none in time. 0: never."""
    breaker_statuses: list[Annotated[int, Meta(ge=400, le=599)]] = []
    """Statuses that are such failures too, as 503 is where it means that an instance is overloaded."""
    breaker_pause_s: Seconds = 1.0
    """How long it is left alone; then one request finds out, and the pause doubles each time that it fails."""
    breaker_pause_max_s: Seconds = 30.0
    """The longest such pause."""
    health_path: Annotated[str, Meta(extra={"kind": "url_path"})] = ""
    """Ask each address for this path, which must answer with a status below 400. Empty: addresses are not asked."""
    health_interval_s: Seconds = 5.0
    """How often."""
    retry_ratio: Annotated[float, Meta(ge=0, le=10)] = 0.2
    """How many attempts may be made again for each request, over time, where rules have `retry`."""


class Store(Section, frozen=True, kw_only=True):
    url: StoreUrl = ""
    """Redis or Valkey, from 6.2 on: ``redis://``, ``rediss://`` or ``unix://`` of a server,
    ``redis+cluster://host,host`` of some nodes of a cluster, or ``redis+sentinel://host,host/service`` of sentinels.
    Empty: the bundled one. Secret."""
    timeout_s: Seconds = 1.0
    """Answer a request with 503 when the store did not answer within this time."""
    connect_timeout_s: Seconds = 5.0
    """Give up one attempt to connect after this time; the next one follows by itself."""


class Journal(Section, frozen=True, kw_only=True):
    max_entries: Annotated[int, Meta(ge=1_000, le=1_000_000_000)] = 1_000_000
    """Lines that wait for the archive, about 0.4 GB of the store's memory for a million. Beyond it, customers of
    the partitions with most of them get no new holds until the archive is back; settlements go on."""


class Spool(Section, frozen=True, kw_only=True):
    dir: FilePath = ""
    """Where charges are kept that the store does not acknowledge. Empty: `spool` in the data folder."""
    max_bytes: Annotated[int, Meta(ge=65_536, le=2**40)] = 67_108_864
    """The most that one process keeps; a charge takes about half a kilobyte."""


class Leases(Section, frozen=True, kw_only=True):
    """Of the credit that processes hold in advance for rules with `on_store_down: lease`."""

    ahead_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    """For so long a customer could go on spending as it did lately."""
    share: Annotated[float, Meta(gt=0, le=1)] = 0.05
    """The part of what a customer has that one process holds in advance, at most."""
    idle_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    """A lease that the customer does not need is given back after so long."""
    ttl_s: Annotated[float, Meta(ge=5, le=86_400)] = 600.0
    """A lease whose process has died comes back after so long; it is spent in an outage for four fifths of it."""


class Archive(Section, frozen=True, kw_only=True):
    url: ArchiveUrl = ""
    """``sqlite:///path`` or ``postgresql://user:password@host/database``. Empty: SQLite, in the data folder.
    Secret."""
    wait_for_writes: bool = True
    """Answer grants and other changes of credit only when they are archived too."""
    timeout_s: Seconds = 2.0
    """How long such an answer, or one about the past, waits for the archive before it is 503."""
    events_kept_days: Annotated[float, Meta(ge=0, le=36_500)] = 90.0
    """How long events are kept; 0: for ever. The ledger is kept for ever in any case."""


class Timeouts(Section, frozen=True, kw_only=True):
    client_head_s: Seconds = 30.0
    """From the first byte of a request's head to its last."""
    client_idle_s: Seconds = 75.0
    """How long a connection may stay open between two requests, and a client be silent in the middle of a body."""
    connect_s: Seconds = 5.0
    """Connecting to the upstream, TLS included."""
    head_s: Seconds = 300.0
    """From the request's last byte to the head of the upstream's answer."""
    idle_s: Seconds = 120.0
    """Between two pieces of the upstream's answer."""
    total_s: Seconds = 600.0
    """The whole request."""
    hold_ttl_s: Annotated[float, Meta(ge=1, le=86_400)] = 90.0
    """How long credit stays held after a proxy has died: a running request's hold is kept alive, each time for so
    long. At most `total_s` and `hold_grace_s` together."""
    hold_grace_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    """How long after `total_s` a hold stays, so that its settlement can still arrive."""
    drain_s: Seconds = 60.0
    """How long an answer is read on whose client has gone, where its rule wants to know what it cost."""
    tunnel_idle_s: Seconds = 300.0
    """How long nothing may come from either side of a session in another protocol, such as a WebSocket."""
    tunnel_s: Seconds = 86_400.0
    """How long such a session may last."""
    tunnel_step_s: SecondsOrNone = 60.0
    """How often what such a session has used is charged, so that a process that dies takes little with it; 0: when it
    ends."""
    shutdown_delay_s: SecondsOrNone = 0.0
    """How long requests are taken after SIGTERM, when `/readyz` says no already: whoever sends them needs a moment to
    hear of it. A few seconds in Kubernetes."""
    shutdown_s: SecondsOrNone = 25.0
    """How long SIGTERM then waits for requests to finish before it cuts them."""
    shutdown_settle_s: SecondsOrNone = 4.0
    """How long it then waits for the store to acknowledge the last settlements; others stay on the disk."""


class Limits(Section, frozen=True, kw_only=True):
    client_connections_max: Connections = 10_000
    """Most client connections at once; further ones are answered 503 and closed."""
    request_line_max_bytes: Annotated[int, Meta(ge=256, le=65_536)] = 8_192
    """Longest request line; beyond it 414."""
    head_max_bytes: Annotated[int, Meta(ge=1_024, le=1_048_576)] = 65_536
    """Longest head of a request or answer, in bytes; beyond it 431 or 502."""
    headers_max: Annotated[int, Meta(ge=8, le=10_000)] = 128
    """Most header fields of a request or answer; beyond it 431 or 502."""
    body_max_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 104_857_600
    """Largest request body; beyond it 413."""
    body_inspect_max_bytes: Annotated[int, Meta(ge=0, le=2**30)] = 8_388_608
    """Largest request body that is read into memory when a rule needs its fields."""
    body_min_bytes_per_s: Annotated[float, Meta(ge=0, le=1_000_000)] = 240.0
    """A request body that comes more slowly than this for 10 s is 408. 0: it may trickle."""
    bodies_max_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 268_435_456
    """Memory for request bodies that are read because a rule needs their fields and that did not come at once; beyond
    it 503."""
    requests_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 5_000
    """Most requests in flight at once; beyond it 503."""
    customer_share: Annotated[float, Meta(gt=0, le=1)] = 0.75
    """The part of `requests_max` that one customer's requests may be; beyond it 429, so that others get through."""
    drains_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    """Most answers that are read on without their clients at once; beyond it they are left at once."""
    drain_max_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 16_777_216
    """Most bytes that are read of such an answer."""
    waiting_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000
    """Most requests of one process that wait for credit (`on_short: wait`); further ones are refused at once."""
    waiting_per_account_max: Annotated[int, Meta(ge=0, le=10_000)] = 100
    """Most requests of all processes that wait for the credit of one customer, or one pool, in one unit."""


class Injector(Section, frozen=True, kw_only=True):
    """Of the admission webhook, and what it puts into pods that ask for nothing else by annotation."""

    listen: Listen = "0.0.0.0:8443"
    """Where reviews are answered, over TLS; health checks too."""
    metrics_listen: Listen = "0.0.0.0:8444"
    """Where the metrics are served, without TLS."""
    tls_cert_file: FilePath = ""
    """PEM file with the webhook's certificate and those between it and its authority. Read again when it changes."""
    tls_key_file: FilePath = ""
    """PEM file with its key."""
    certificate_warning_days: Annotated[float, Meta(ge=0, le=3_650)] = 14.0
    """The log warns, once a day, when the certificate ends sooner."""
    image: Image = ""
    """The sidecar's image."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes fetch it."""
    image_pull_secrets: list[ObjectName] = []
    """Secrets in the pod's namespace that nodes fetch it with; the pod has its own besides."""
    mode: Literal["auto", "native", "container"] = "auto"
    """What the sidecar is in a pod: a native one, which starts before the application and ends after it, or an
    ordinary container. Auto: native from Kubernetes 1.32 on, before which Services do not see native ones."""
    kubernetes_version: Annotated[str, Meta(extra={"kind": "cluster_version"})] = ""
    """The cluster's version, for `mode: auto`. Empty: an old one."""
    rules: ObjectName = "entitlement-sidecar-rules"
    """The ConfigMap in the pod's namespace whose files are the rules."""
    store_secret: ObjectName = "entitlement-sidecar-store"  # noqa: S105  (a name)
    """The Secret in the pod's namespace whose key `url` is `store.url`."""
    settings_configmap: ObjectName = ""
    """A ConfigMap in the pod's namespace with further settings for sidecars, as ``SIDECAR_…`` variables; what the
    injector sets itself, such as addresses, shadow and the drain, wins. A pod starts without it, too. Empty: none."""
    cpu_request: Cpu = "50m"
    """What a sidecar requests of CPU. Empty: nothing."""
    cpu_limit: Cpu = ""
    """The most CPU that it gets. Empty: no limit, since one would add latency."""
    memory_request: Memory = "64Mi"
    """What it requests of memory. Empty: nothing."""
    memory_limit: Memory = "256Mi"
    """The most memory that it gets. Empty: no limit."""
    shadow: bool = False
    """Sidecars refuse nothing: they serve and count what would be refused."""
    strict: Literal["warn", "deny"] = "warn"
    """What to do about ports that nobody can take over, because they have no name, and about pods without the port:
    tell who creates the pod, or deny it."""
    shutdown_s: Annotated[int, Meta(ge=1, le=3_600)] = 25
    """How long a sidecar lets requests finish when its pod ends, at most; less where the grace period is shorter."""
    watch: bool = False
    """Look for pods in scope without a sidecar that runs, and tell of them in metrics and events. Needs a service
    account that may list namespaces and pods and create events."""
    watch_interval_s: Annotated[float, Meta(ge=1, le=3_600)] = 30.0
    """How often it looks."""


class UnitSection(Section, frozen=True, kw_only=True):
    scale: Annotated[int, Meta(ge=0, le=9)]
    """Decimal places of one unit that can be told apart, 0 to 9."""


class Log(Section, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious lines that are written."""
    format: Literal["text", "json"] = "text"
    """Text for people, or one JSON object for each line."""
    access: bool = False
    """One line for each request."""


class Settings(Section, frozen=True, kw_only=True):
    """All sections."""

    data: Data = Data()
    rules: RulesSection = RulesSection()
    admin: Admin = Admin()
    proxy: Proxy = Proxy()
    tokens: Tokens = Tokens()
    control: Control = Control()
    upstream: Upstream = Upstream()
    store: Store = Store()
    journal: Journal = Journal()
    spool: Spool = Spool()
    leases: Leases = Leases()
    archive: Archive = Archive()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    log: Log = Log()
    injector: Injector = Injector()
    units: dict[UnitName, UnitSection] = msgspec.field(
        default_factory=lambda: {CREDITS.name: UnitSection(scale=CREDITS.scale)}
    )
    """What customers can hold: each unit's `scale` is the number of decimal places that can be told apart, 0 to 9.
    Never change the scale of a unit that somebody holds."""
    tenant: Name = "default"
    """Whose customers these are."""
    environment: Literal["live", "test"] = "live"
    """Keys of one never work in the other."""


SECRETS = frozenset({"admin.key", "archive.url", "store.url", "tokens.key", "upstream.headers"})
"""Settings that are never shown, logged or part of an error."""


def units_of(settings: Settings) -> dict[str, Unit]:
    """The configured units, by name."""
    return {name: Unit(name=name, scale=unit.scale) for name, unit in settings.units.items()}
