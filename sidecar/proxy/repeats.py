"""What the proxy does for requests that their clients repeat: what a request asks, in a bounded look at its body.

A body that is larger than what may be inspected is told by its announced length and by how it begins.
"""

from sidecar.domain.idempotency import Keyed, keyed
from sidecar.http1.exchange import Exchange
from sidecar.proxy.terms import Route


def asked(exchange: Exchange, route: Route, key: bytes, inspect_max_bytes: int) -> Keyed:
    """The request with its key; its body has been read as far as it may be."""
    body = exchange.whole_body(inspect_max_bytes)
    told = (len(body), body) if body is not None else (exchange.head.length, _beginning(exchange, inspect_max_bytes))
    return keyed(route.terms.rule.name, key, exchange.head.method, route.path, route.query, told)


def _beginning(exchange: Exchange, size: int) -> bytes:
    """The first bytes of a body that is larger than `size`."""
    seen: list[bytes] = []

    def see(payload: bytes, _last: bool) -> str:
        if not seen:
            seen.append(payload[:size])
        return ""

    exchange.watch(see)
    return seen[0]
