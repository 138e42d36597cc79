"""Every setting, its unit and its default. They live here and nowhere else.

A section is a Struct and a setting is a field: ``upstream.url`` in the file is ``SIDECAR_UPSTREAM_URL`` in the
environment. `load` reads them; nothing outside `config` knows where a value came from.
"""

from enum import StrEnum

import msgspec

from sidecar.domain.amounts import CREDITS


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: an unknown key is an error, never ignored."""


class Forwarding(StrEnum):
    """Which headers tell the upstream about the client."""

    X_FORWARDED = "x-forwarded"
    FORWARDED = "forwarded"
    BOTH = "both"
    NONE = "none"


class Data(Section, frozen=True, kw_only=True):
    dir: str = ""
    """The data folder: bundled store, admin key. Empty: ``$XDG_DATA_HOME/sidecar`` or ``~/.local/share/sidecar``."""


class RulesSection(Section, frozen=True, kw_only=True):
    paths: list[str] = []
    """Rule files, or folders whose ``*.yaml`` are read in the order of their names; the first match wins."""


class Admin(Section, frozen=True, kw_only=True):
    key: str = ""
    """The first control key. Secret. Empty: `sidecar run` makes one and keeps it in the data folder, mode 0600."""


class Proxy(Section, frozen=True, kw_only=True):
    listen: str = "127.0.0.1:8080"
    """Where the proxied API is served."""
    forwarding: Forwarding = Forwarding.X_FORWARDED
    """Headers that name the client to the upstream."""
    trust_forwarded: bool = False
    """Keep the forwarding headers that arrive and append to them (we stand behind a trusted front); else replace."""
    via: bool = True
    """Add ``Via`` to requests and answers (RFC 9110 §7.6.3)."""
    wait_for_commit: bool = True
    """Let the end of an answer wait until its charge is acknowledged, at most `store.timeout_s`."""


class Control(Section, frozen=True, kw_only=True):
    listen: str = "127.0.0.1:8081"
    """Where the control API, the health checks and the metrics are served."""
    url: str = ""
    """Where the command line finds the control API. Empty: from `control.listen`."""


class Upstream(Section, frozen=True, kw_only=True):
    url: str = ""
    """The API behind us: ``http://host:port`` or ``https://host[:port]``, with an optional path prefix."""
    headers: dict[str, str] = {}
    """Headers set on every request, replacing the client's; ``${NAME}`` is read from the environment. Secret."""
    preserve_host: bool = False
    """Send the client's ``Host`` instead of the upstream's own."""
    tls_ca_file: str = ""
    """PEM file of the authorities to trust. Empty: the system's."""
    tls_verify: bool = True
    """Verify the upstream's certificate and name."""
    connections_max: int = 1024
    """Most connections open at once; requests beyond it wait for one."""
    idle_connections_max: int = 128
    """Most connections kept open without a request."""
    idle_timeout_s: float = 4.0
    """Close a connection that was idle this long; below the upstream's own limit (5 s for uvicorn and Node)."""


class Store(Section, frozen=True, kw_only=True):
    url: str = ""
    """``redis://``, ``rediss://`` or ``unix://`` of a Redis or Valkey server. Empty: the bundled one. Secret."""
    timeout_s: float = 1.0
    """Answer a request with 503 when the store did not answer within this time."""
    connect_timeout_s: float = 5.0
    """Give up one attempt to connect after this time; the next one follows by itself."""


class Timeouts(Section, frozen=True, kw_only=True):
    client_head_s: float = 30.0
    """From the first byte of a request's head to its last."""
    client_idle_s: float = 75.0
    """How long a connection may stay open between two requests, and a client be silent in the middle of a body."""
    connect_s: float = 5.0
    """Connecting to the upstream, TLS included."""
    head_s: float = 300.0
    """From the request's last byte to the head of the upstream's answer."""
    idle_s: float = 120.0
    """Between two pieces of the upstream's answer."""
    total_s: float = 600.0
    """The whole request. A hold's deadline is this plus `hold_grace_s`."""
    hold_grace_s: float = 60.0
    """How long after `total_s` a hold stays, so that its settlement can still arrive."""
    shutdown_s: float = 25.0
    """How long SIGTERM waits for requests to finish before it cuts them."""


class Limits(Section, frozen=True, kw_only=True):
    client_connections_max: int = 10_000
    """Most client connections at once; further ones are answered 503 and closed."""
    request_line_max_bytes: int = 8_192
    """Longest request line; beyond it 414."""
    head_max_bytes: int = 65_536
    """Longest head of a request or answer, in bytes; beyond it 431 or 502."""
    headers_max: int = 128
    """Most header fields of a request or answer; beyond it 431 or 502."""
    body_max_bytes: int = 104_857_600
    """Largest request body; beyond it 413."""
    body_inspect_max_bytes: int = 8_388_608
    """Largest request body that is read into memory when a rule needs its fields."""


class UnitSection(Section, frozen=True, kw_only=True):
    scale: int
    """Decimal places of one unit that can be told apart, 0 to 9."""


class Log(Section, frozen=True, kw_only=True):
    level: str = "info"
    """debug, info, warning or error."""
    format: str = "text"
    """text or json."""
    access: bool = False
    """One line for each request."""


class Settings(Section, frozen=True, kw_only=True):
    """All sections."""

    data: Data = Data()
    rules: RulesSection = RulesSection()
    admin: Admin = Admin()
    proxy: Proxy = Proxy()
    control: Control = Control()
    upstream: Upstream = Upstream()
    store: Store = Store()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    units: dict[str, UnitSection] = msgspec.field(
        default_factory=lambda: {CREDITS.name: UnitSection(scale=CREDITS.scale)}
    )
    log: Log = Log()
    tenant: str = "default"
    """Whose customers these are."""
    environment: str = "live"
    """live or test; keys of one never work in the other."""


SECRETS = frozenset({"admin.key", "store.url", "upstream.headers"})
"""Settings that are never shown, logged or part of an error."""
