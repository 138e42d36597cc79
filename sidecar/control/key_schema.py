"""Proxy keys on the wire."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.control.credit_schema import Instant
from sidecar.control.schema import SHOWN_ONCE, Asked, Pagination, Wire, epoch_ms, instant, words
from sidecar.control.spend_cap_schema import SpendCapTerms, SpendCapView
from sidecar.domain.errors import InvalidInput
from sidecar.domain.proxy_keys import FEATURES_MAX, NAMED, RATE_PERIOD_MAX_MS, KeyLimits, KeyRate
from sidecar.store.proxy_keys import ProxyKey

KeyName = Annotated[str, Meta(max_length=255, description="For people; may be empty.")]
Expiry = Annotated[Instant, Meta(description="It works until then; for ever if not given.")]
Features = Annotated[
    tuple[Annotated[str, Meta(pattern=f"^{NAMED}$(?!\n)")], ...],
    Meta(
        min_length=1,
        max_length=FEATURES_MAX,
        description="It works only where the rule has one of these features; everywhere if not given.",
    ),
]
Grace = Annotated[
    int,
    Meta(
        ge=0,
        le=RATE_PERIOD_MAX_MS * 30 // 1000,
        description="So long the secret that it has works beside the new one; a day if not given.",
    ),
]
_REQUESTS_MAX = 1_000_000


class RateView(Wire, frozen=True, kw_only=True):
    """So many requests with this key in each period."""

    requests: Annotated[int, Meta(ge=1, le=_REQUESTS_MAX)]
    period_seconds: Annotated[int, Meta(ge=1, le=RATE_PERIOD_MAX_MS // 1000)]
    burst: (
        Annotated[int, Meta(ge=1, le=_REQUESTS_MAX, description="So many of them at once; all of them if not given.")]
        | None
    ) = None

    @classmethod
    def of(cls, rate: KeyRate) -> "RateView":
        return cls(requests=rate.requests, period_seconds=rate.period_ms // 1000, burst=rate.burst)


class Rate(RateView, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rate that a key is to have."""

    def checked(self) -> KeyRate:
        """Raises InvalidInput."""
        burst = self.requests if self.burst is None else self.burst
        if burst > self.requests:
            raise InvalidInput(f"burst can be at most requests, {self.requests}; got {burst}.", "rate.burst")
        return KeyRate(requests=self.requests, period_ms=self.period_seconds * 1000, burst=burst)


class CreateKey(Asked, frozen=True, kw_only=True):
    """Without limits it may do what its customer may."""

    name: KeyName = ""
    expires_at: Expiry | None = None
    features: Features | None = None
    rate: Rate | None = None
    spend_cap: Annotated[SpendCapTerms, Meta(description="What may be spent with it.")] | None = None

    def limits(self, now_ms: int) -> KeyLimits:
        """Raises InvalidInput."""
        return KeyLimits(
            expires_at_ms=None if self.expires_at is None else _ahead(self.expires_at, now_ms),
            features=self.features,
            rate=None if self.rate is None else self.rate.checked(),
        )


class ChangeKey(Asked, frozen=True, kw_only=True):
    """What is left out stays as it is; null takes a limit away."""

    name: KeyName | UnsetType = UNSET
    expires_at: Expiry | UnsetType | None = UNSET
    features: Features | UnsetType | None = UNSET
    rate: Rate | UnsetType | None = UNSET
    spend_cap: (
        Annotated[
            SpendCapTerms,
            Meta(description="Instead of those that it has in this unit. It counts from now on."),
        ]
        | UnsetType
        | None
    ) = UNSET

    def applied_to(self, key: ProxyKey, now_ms: int) -> tuple[str, KeyLimits]:
        """The name and the limits that the key has then. Raises InvalidInput."""
        limits = key.limits
        if self.expires_at is not UNSET:
            expires_at_ms = None if self.expires_at is None else _ahead(self.expires_at, now_ms)
            limits = msgspec.structs.replace(limits, expires_at_ms=expires_at_ms)
        if self.features is not UNSET:
            limits = msgspec.structs.replace(limits, features=self.features)
        if self.rate is not UNSET:
            limits = msgspec.structs.replace(limits, rate=None if self.rate is None else self.rate.checked())
        return key.name if self.name is UNSET else self.name, limits


class RotateKey(Asked, frozen=True, kw_only=True):
    grace_seconds: Grace = RATE_PERIOD_MAX_MS // 1000


class KeyView(Wire, frozen=True, kw_only=True):
    key_id: str
    customer_id: str
    name: str
    hint: Annotated[str, Meta(description="The start and the end of the secret, to recognise it.")]
    status: Annotated[str, words("active", "expired")]
    created_at: datetime
    expires_at: datetime | None
    features: list[str] | None
    rate: RateView | None
    spend_caps: Annotated[list[SpendCapView], Meta(description="What may be spent with it, and how that stands.")]
    rotated_at: datetime | None
    retiring_until: Annotated[
        datetime | None, Meta(description="How long the secret before the last rotation works, or worked.")
    ]

    @classmethod
    def of(cls, key: ProxyKey, caps: list[SpendCapView], now_ms: int) -> "KeyView":
        limits = key.limits
        over = limits.expires_at_ms is not None and limits.expires_at_ms <= now_ms
        return cls(
            key_id=key.key_id,
            customer_id=key.customer_id,
            name=key.name,
            hint=key.hint,
            status="expired" if over else "active",
            created_at=instant(key.created_at_ms),
            expires_at=_instant_or_none(limits.expires_at_ms),
            features=None if limits.features is None else list(limits.features),
            rate=None if limits.rate is None else RateView.of(limits.rate),
            spend_caps=caps,
            rotated_at=_instant_or_none(key.rotated_at_ms),
            retiring_until=_instant_or_none(key.retiring_until_ms),
        )


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """A key with a new secret. A replayed answer has `notice` in place of `secret`."""

    secret: str | UnsetType = UNSET
    notice: str | UnsetType = UNSET

    @classmethod
    def showing(cls, view: KeyView, secret: str) -> "NewKeyView":
        return cls(**{name: getattr(view, name) for name in view.__struct_fields__}, secret=secret)

    def without_secret(self) -> "NewKeyView":
        return msgspec.structs.replace(self, secret=UNSET, notice=SHOWN_ONCE)


class KeyPage(Wire, frozen=True, kw_only=True):
    data: list[KeyView]
    pagination: Pagination


def _ahead(at: datetime, now_ms: int) -> int:
    expires_at_ms = epoch_ms(at, "expires_at")
    if expires_at_ms <= now_ms:
        raise InvalidInput("expires_at must lie ahead.", "expires_at")
    return expires_at_ms


def _instant_or_none(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else instant(at_ms)
