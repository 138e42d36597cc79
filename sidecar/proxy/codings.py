"""What an upstream is told of how it may answer: the codings that client and meter can read, and with trailers."""

from functools import lru_cache

from sidecar.domain.meters.codings import READABLE
from sidecar.domain.quotes import Quote
from sidecar.http1.fields import WANTS_TRAILERS, Pairs
from sidecar.http1.heads import RequestHead

_PLAIN_ANSWER = ((b"Accept-Encoding", b"identity"),)


def wanted(head: RequestHead, quote: Quote, *, trailers: bool) -> Pairs:
    """The fields that say how the upstream may answer, where the client's own are not right."""
    fields: Pairs = ()
    if quote.plain_answer:
        fields = _PLAIN_ANSWER
    elif quote.readable_codings:
        accepted = head.get(b"accept-encoding")
        fields = () if accepted is None else readable_only(accepted)
    return with_trailers(fields) if trailers else fields


@lru_cache(maxsize=256)
def readable_only(accepted: bytes) -> Pairs:
    """The ``Accept-Encoding`` to send instead of `accepted`: its members that we can decode, else ``identity``.

    Empty where nothing changes. A ``*`` stands for codings that we cannot name, so it goes too (RFC 9110 §12.5.3).
    """
    members = [member.strip(b" \t") for member in accepted.split(b",")]
    kept = [member for member in members if member.partition(b";")[0].strip(b" \t").lower() in READABLE]
    return () if kept == members else ((b"Accept-Encoding", b", ".join(kept) or b"identity"),)


@lru_cache(maxsize=256)
def with_trailers(fields: Pairs) -> Pairs:
    """`fields` and those that ask for trailers; the same object for the same fields, as a head's notes want it."""
    return fields + WANTS_TRAILERS
