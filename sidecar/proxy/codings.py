"""What an upstream is told of how it may answer: the codings that client and meter can read, and with trailers.

One that answers in another coding all the same cannot be metered, which must not go unseen: `UnreadAnswers`.
"""

import logging
from collections.abc import Callable
from functools import lru_cache

from sidecar.domain.meters.codings import READABLE, CodingError, decoder_of
from sidecar.domain.quotes import Quote
from sidecar.http1.fields import WANTS_TRAILERS, Pairs
from sidecar.http1.heads import RequestHead, ResponseHead

log = logging.getLogger("sidecar.metering")

SAID_EVERY_S = 60
_PLAIN_ANSWER = ((b"Accept-Encoding", b"identity"),)


def wanted(head: RequestHead, quote: Quote, *, trailers: bool, plain: bool = False, upgrade: bytes = b"") -> Pairs:
    """The fields that say how the upstream may answer, where the client's own are not right.

    `plain`: without a content coding, since events may be added. `upgrade`: the protocol that it may go over to.
    """
    fields: Pairs = ()
    if plain or quote.plain_answer:
        fields = _PLAIN_ANSWER
    elif quote.readable_codings:
        accepted = head.get(b"accept-encoding")
        fields = () if accepted is None else readable_only(accepted)
    if upgrade:
        fields = (*fields, *going_over(head, upgrade))
    return with_trailers(fields) if trailers else fields


def going_over(head: RequestHead, upgrade: bytes) -> Pairs:
    """What asks the upstream to go over to this protocol, if the client does."""
    return ((b"Connection", b"Upgrade"), (b"Upgrade", upgrade)) if upgrade and head.upgrade == upgrade else ()


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


class UnreadAnswers:
    """Says in the log whose usage is unknown because of its coding: at most once a minute for each rule."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._quiet_until_s: dict[str, float] = {}

    def look_at(self, rule: str, quote: Quote, answer: ResponseHead) -> None:
        """An answer whose usage nobody reported, to a request of this rule."""
        coding = answer.get(b"content-encoding")
        if coding is None or not quote.readable_codings or self._now_s() < self._quiet_until_s.get(rule, 0):
            return
        why = _why_unread(coding)
        if why:
            self._quiet_until_s[rule] = self._now_s() + SAID_EVERY_S
            log.error(
                "rule %s: the usage of answers cannot be read, so each costs what `on_unknown` says: "
                "the upstream codes them as it was not asked to, and %s",
                rule,
                why,
            )


def _why_unread(coding: bytes) -> str:
    try:
        decoder_of(coding)
    except CodingError as error:
        return str(error)
    return ""
