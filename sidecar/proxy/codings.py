"""Which content codings an upstream may use: those that the client takes and the meter can read."""

from functools import lru_cache

from sidecar.domain.meters.codings import READABLE
from sidecar.http1.fields import Pairs


@lru_cache(maxsize=256)
def readable_only(accepted: bytes) -> Pairs:
    """The ``Accept-Encoding`` to send instead of `accepted`: its members that we can decode, else ``identity``.

    Empty where nothing changes. A ``*`` stands for codings that we cannot name, so it goes too (RFC 9110 §12.5.3).
    """
    members = [member.strip(b" \t") for member in accepted.split(b",")]
    kept = [member for member in members if member.partition(b";")[0].strip(b" \t").lower() in READABLE]
    return () if kept == members else ((b"Accept-Encoding", b", ".join(kept) or b"identity"),)
