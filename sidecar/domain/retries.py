"""Which failed attempts of a forwarded request are made again."""

import msgspec

CONNECT, RESET, TIMEOUT = "connect", "reset", "timeout"
CAUSES = (CONNECT, RESET, TIMEOUT)
"""No connection could be had; the connection ended, or what came was no HTTP, before an answer; none came in time."""

STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may pass by themselves."""

MOST = 10


class Retry(msgspec.Struct, frozen=True):
    """`most` further attempts after one that ended by one of the `causes`, or in one of `statuses`.

    The hold is one, and the charge is that of the answer which is passed on.
    """

    causes: frozenset[str]
    statuses: frozenset[int]
    most: int


NEVER = Retry(frozenset(), frozenset(), 0)
