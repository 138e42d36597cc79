"""``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers-10), where a rule has limits.

A rate's quota is what comes back in its window, `w` seconds; what remains, `r`, is what could be taken now, at most
its burst, and all of that is back after `t` seconds.
"""

from collections.abc import Iterable

from sidecar.domain.limits import InFlight, Limit

NAMES = frozenset({b"ratelimit", b"ratelimit-policy"})
"""Nobody but us writes them on answers to which a limit applies."""


def policy(limits: Iterable[Limit]) -> bytes:
    """The value of ``RateLimit-Policy``."""
    return ", ".join(map(_policy, limits)).encode()


def standing(taken: Iterable[tuple[Limit, int]]) -> bytes:
    """The value of ``RateLimit`` where so much is taken of each: slots, or ticks."""
    return ", ".join(_standing(limit, amount) for limit, amount in taken).encode()


def _policy(limit: Limit) -> str:
    if isinstance(limit, InFlight):
        return f'"{limit.name}";q={limit.most};qu="concurrent-requests"'
    unit = ';qu="tokens"' if limit.of else ""
    return f'"{limit.name}";q={limit.count}{unit};w={limit.period_ms // 1000}'


def _standing(limit: Limit, taken: int) -> str:
    if isinstance(limit, InFlight):
        return f'"{limit.name}";r={max(limit.most - taken, 0)}'
    return f'"{limit.name}";r={limit.left(taken)};t={-(-limit.reset_ms(taken) // 1000)}'
