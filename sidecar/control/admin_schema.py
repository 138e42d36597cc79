"""Control keys on the wire."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.control.credit_schema import Instant, Lasting, Prose
from sidecar.control.schema import SHOWN_ONCE, Asked, Pagination, Wire, instant
from sidecar.domain.control_keys import LEAST, ControlKey
from sidecar.domain.scopes import ALL, Scope

_DAY_S: Final = 86_400

ScopeName = Annotated[str, Meta(extra_json_schema={"enum": [ALL, *Scope]})]
Scopes = Annotated[
    list[ScopeName],
    Meta(
        max_length=len(Scope) + 1,
        description=f"What it may do; `{ALL}` is everything. Without, as far as its maker may: {', '.join(LEAST)}.",
    ),
]
Grace = Annotated[
    int,
    Meta(
        ge=0,
        le=30 * _DAY_S,
        description="So long the secret that it has works beside the new one; a day if not given.",
    ),
]


class CreateControlKey(Asked, frozen=True, kw_only=True):
    """No key may do what the one that makes it may not."""

    name: Annotated[Prose, Meta(description="For people; may be empty.")] = ""
    scopes: Scopes | None = None
    environment: (
        Annotated[
            Literal["live", "test"], Meta(description="A key of `live` may make one of `test`. Its own if not given.")
        ]
        | None
    ) = None
    expires_at: Annotated[Instant, Meta(description="It works until then; for ever if not given.")] | None = None
    expires_in_seconds: Annotated[Lasting, Meta(description="Instead of `expires_at`.")] | None = None


class RotateControlKey(Asked, frozen=True, kw_only=True):
    grace_seconds: Grace = _DAY_S


class RetiringView(Wire, frozen=True, kw_only=True):
    hint: str
    ends_at: datetime


class ControlKeyView(Wire, frozen=True, kw_only=True):
    key_id: str
    environment: str
    name: str
    scopes: list[str]
    hint: Annotated[str, Meta(description="The key without its secret, of which only the end.")]
    status: Annotated[str, Meta(description="active, expired or revoked.")]
    created_at: datetime
    created_by: Annotated[str, Meta(description="The id of the key that made it; `admin` is the operator's own.")]
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_at: datetime | None
    last_used_at: Annotated[datetime | None, Meta(description="To about a minute; null: never.")]
    retiring: Annotated[
        RetiringView | None, Meta(description="The secret before the last rotation, as long as it works.")
    ]

    @classmethod
    def of(cls, key: ControlKey, last_used_at_ms: int | None, now_ms: int) -> "ControlKeyView":
        retiring = key.retiring if key.retiring and now_ms < key.retiring.ends_at_ms else None
        return cls(
            key_id=key.key_id,
            environment=key.environment,
            name=key.name,
            scopes=list(key.scopes),
            hint=key.hint,
            status=key.status(now_ms),
            created_at=instant(key.created_at_ms),
            created_by=key.created_by,
            expires_at=_instant_or_none(key.expires_at_ms),
            revoked_at=_instant_or_none(key.revoked_at_ms),
            rotated_at=_instant_or_none(key.rotated_at_ms),
            last_used_at=_instant_or_none(last_used_at_ms),
            retiring=RetiringView(hint=retiring.hint, ends_at=instant(retiring.ends_at_ms)) if retiring else None,
        )


class NewControlKeyView(ControlKeyView, frozen=True, kw_only=True):
    """A key with a new secret. A replayed answer has `notice` in place of `secret`."""

    secret: str | UnsetType = UNSET
    notice: str | UnsetType = UNSET

    @classmethod
    def showing(cls, view: ControlKeyView, secret: str) -> "NewControlKeyView":
        return cls(**{name: getattr(view, name) for name in view.__struct_fields__}, secret=secret)

    def without_secret(self) -> "NewControlKeyView":
        return msgspec.structs.replace(self, secret=UNSET, notice=SHOWN_ONCE)


class ControlKeyPage(Wire, frozen=True, kw_only=True):
    data: list[ControlKeyView]
    pagination: Pagination


def _instant_or_none(epoch_ms: int | None) -> datetime | None:
    return None if epoch_ms is None else instant(epoch_ms)
