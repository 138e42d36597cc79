"""What a control key may do: each endpoint asks for one of these.

A scope is a resource and `read` or `write`; `write` does not include `read`. `ALL` stands for every one, those that
come later too.
"""

from enum import StrEnum

ALL = "*"


class Scope(StrEnum):
    """One permission."""

    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_WRITE = "customers:write"
    CREDITS_READ = "credits:read"
    CREDITS_WRITE = "credits:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    """Of the keys that customers call the proxy with."""
    ENTITLEMENTS_READ = "entitlements:read"
    RESERVATIONS_READ = "reservations:read"
    RESERVATIONS_WRITE = "reservations:write"
    USAGE_READ = "usage:read"
    USAGE_WRITE = "usage:write"
    LEDGER_READ = "ledger:read"
    EVENTS_READ = "events:read"
    CATALOGUE_READ = "catalogue:read"
    CATALOGUE_WRITE = "catalogue:write"
    """Rules, metrics, packages: what things cost."""
    ADMIN_READ = "admin:read"
    ADMIN_WRITE = "admin:write"
    """Control keys, the audit log."""
    TENANTS_READ = "tenants:read"
    TENANTS_WRITE = "tenants:write"
    """The operator's alone: no key of another tenant has them, whatever else it may do."""


OPERATORS = frozenset({Scope.TENANTS_READ, Scope.TENANTS_WRITE})
"""What only keys of the environment may do that the process serves without any tenants."""

HOT = frozenset({Scope.ENTITLEMENTS_READ, Scope.RESERVATIONS_WRITE, Scope.USAGE_WRITE})
"""What programs ask for with each request of theirs, at its pace: not limited, and not in the audit log."""
