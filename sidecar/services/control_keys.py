"""The control keys of all tenants: who a key stands for, and its life from its making to its revocation.

Each process looks keys up in its own memory, which is at most half a second old: so a revocation holds everywhere
within a second, and a request costs no round trip. While the archive is away, what is known goes on.
"""

import asyncio
import contextlib
import hmac
import os
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from sidecar.domain import control_keys
from sidecar.domain.control_keys import ADMIN_KEY_ID, ControlKey, Principal, Retiring
from sidecar.domain.documents import Document
from sidecar.domain.errors import ArchiveUnavailable, Conflict, NotFound, VersionConflict
from sidecar.domain.ids import new_id
from sidecar.domain.scopes import ALL
from sidecar.services.catalogue import Catalogue

KIND: Final = "control_key"
USE_KIND: Final = "control_key_use"

USE_EVERY_MS: Final = 60_000
"""How exact the last use of a key is kept; whoever asks this process learns it to the millisecond."""

FLUSH_S: Final = 15.0

_LOOK_AGAIN_MS: Final = 100

_R = TypeVar("_R", bound=msgspec.Struct)


class Use(msgspec.Struct, frozen=True):
    """When a key was last used, as it is kept."""

    last_used_at_ms: int


class ControlKeys:
    """`admin_key` is the operator's own key: it may do everything in `tenant` and `environment`.

    Writes raise ArchiveUnavailable.
    """

    def __init__(
        self, catalogue: Catalogue, admin_key: str, *, tenant: str, environment: str, now_ms: Callable[[], int]
    ) -> None:
        assert admin_key, "an empty key would let everybody in"
        self._catalogue = catalogue
        self._admin_digest = control_keys.digest(admin_key)
        self._admin = Principal(
            tenant=tenant, environment=environment, key_id=ADMIN_KEY_ID, scopes=frozenset({ALL}), operator=True
        )
        self._now_ms = now_ms
        self._used: dict[str, int] = {}
        self._looking = asyncio.Lock()
        self._closing = asyncio.Event()

    async def find(self, text: str) -> Principal | None:
        """Whom a key stands for; None for one that does not work, or not any more.

        Raises ArchiveUnavailable while keys were never looked up.
        """
        if hmac.compare_digest(control_keys.digest(text), self._admin_digest):
            self._used[ADMIN_KEY_ID] = self._now_ms()
            return self._admin
        if (key_id := control_keys.key_id_of(text)) is None:
            return None
        key, now_ms = self._get(key_id) or await self._look_again(key_id), self._now_ms()
        if key is None or not key.is_secret(text, now_ms) or key.status(now_ms) != "active":
            return None
        self._used[key_id] = now_ms
        home = (self._admin.tenant, self._admin.environment)
        return key.principal(operator=(key.tenant, key.environment) == home)

    def places(self) -> set[tuple[str, str]]:
        """The tenants and environments that have keys, those of the operator's own included."""
        keys = (_decoded(document, ControlKey) for document in self._catalogue.all(KIND))
        return {(self._admin.tenant, self._admin.environment), *((key.tenant, key.environment) for key in keys)}

    def all(self, tenant: str, environment: str) -> list[ControlKey]:
        """The keys of a tenant's environment, the oldest first, those that were revoked too."""
        keys = (_decoded(document, ControlKey) for document in self._catalogue.all(KIND))
        return [key for key in keys if (key.tenant, key.environment) == (tenant, environment)]

    def get(self, key_id: str, tenant: str, environment: str) -> ControlKey:
        """A key of this tenant's environment. Raises NotFound, also for a key of another one."""
        return self._kept(key_id, tenant, environment)[0]

    def last_used_at_ms(self, key_id: str) -> int | None:
        """When it was last used, as far as this process knows; None: never."""
        kept = self._catalogue.get(USE_KIND, key_id)
        known = (self._used.get(key_id), _decoded(kept, Use).last_used_at_ms if kept else None)
        return max((at_ms for at_ms in known if at_ms is not None), default=None)

    async def make(
        self,
        tenant: str,
        environment: str,
        *,
        name: str,
        scopes: tuple[str, ...],
        created_by: str,
        expires_at_ms: int | None = None,
    ) -> tuple[ControlKey, str]:
        """Make a key; its text is returned this once and kept nowhere."""
        key_id = new_id("ckey", self._now_ms(), os.urandom(10))
        text = control_keys.mint(environment, key_id, os.urandom(control_keys.SECRET_BYTES))
        key = ControlKey(
            key_id=key_id,
            tenant=tenant,
            environment=environment,
            name=name,
            scopes=tuple(sorted(set(scopes))),
            digest=control_keys.digest(text),
            hint=control_keys.hint(text),
            created_at_ms=self._now_ms(),
            created_by=created_by,
            expires_at_ms=expires_at_ms,
        )
        await self._catalogue.put(KIND, key_id, key, expected=0)
        return key, text

    async def rotate(self, key_id: str, tenant: str, environment: str, *, grace_ms: int) -> tuple[ControlKey, str]:
        """Give a key a new secret; the one it has works for `grace_ms` more, one before that no longer.

        Raises NotFound; Conflict when the key has been revoked or has expired.
        """
        text = ""

        def rotated(key: ControlKey) -> ControlKey:
            nonlocal text
            now_ms = self._now_ms()
            if key.status(now_ms) != "active":
                raise Conflict("This key was revoked or has expired; make a new one.")
            text = control_keys.mint(environment, key_id, os.urandom(control_keys.SECRET_BYTES))
            former = Retiring(digest=key.digest, hint=key.hint, ends_at_ms=now_ms + grace_ms)
            return replace(
                key,
                digest=control_keys.digest(text),
                hint=control_keys.hint(text),
                rotated_at_ms=now_ms,
                retiring=former if grace_ms else None,
            )

        return await self._change(key_id, tenant, environment, rotated), text

    async def revoke(self, key_id: str, tenant: str, environment: str) -> ControlKey:
        """Make a key useless, here at once and everywhere within a second. Raises NotFound."""

        def revoked(key: ControlKey) -> ControlKey:
            return key if key.revoked_at_ms is not None else replace(key, revoked_at_ms=self._now_ms(), retiring=None)

        return await self._change(key_id, tenant, environment, revoked)

    async def run(self) -> None:
        """Keep when keys were used, until `close`; the last time at the end."""
        closing = False
        while not closing:
            with contextlib.suppress(TimeoutError):
                closing = await asyncio.wait_for(self._closing.wait(), FLUSH_S)
            await self.flush()

    def close(self) -> None:
        self._closing.set()

    async def flush(self) -> None:
        """Keep the uses that are more than a minute after the ones that are kept. What fails is tried again."""
        for key_id, at_ms in list(self._used.items()):
            kept = self._catalogue.get(USE_KIND, key_id)
            if kept is None or at_ms - _decoded(kept, Use).last_used_at_ms >= USE_EVERY_MS:
                with contextlib.suppress(ArchiveUnavailable):
                    await self._catalogue.put(USE_KIND, key_id, Use(at_ms))

    async def _change(
        self, key_id: str, tenant: str, environment: str, change: Callable[[ControlKey], ControlKey]
    ) -> ControlKey:
        while True:
            await self._catalogue.refresh()
            key, version = self._kept(key_id, tenant, environment)
            changed = change(key)
            # Somebody else changed it meanwhile: what they did stands, and ours follows.
            with contextlib.suppress(VersionConflict):
                if changed != key:
                    await self._catalogue.put(KIND, key_id, changed, expected=version)
                return changed

    def _kept(self, key_id: str, tenant: str, environment: str) -> tuple[ControlKey, int]:
        """The key and its version."""
        document = self._catalogue.get(KIND, key_id)
        key = None if document is None else _decoded(document, ControlKey)
        if document is None or key is None or (key.tenant, key.environment) != (tenant, environment):
            raise NotFound("There is no control key with this id.")
        return key, document.version

    def _get(self, key_id: str) -> ControlKey | None:
        document = self._catalogue.get(KIND, key_id)
        return None if document is None else _decoded(document, ControlKey)

    async def _look_again(self, key_id: str) -> ControlKey | None:
        """A key that another process has made a moment ago. All who ask share a look."""
        asked_at_ms = self._now_ms()
        async with self._looking:
            since_ms = self._now_ms() - self._catalogue.refreshed_at_ms
            await asyncio.sleep(max(_LOOK_AGAIN_MS - since_ms, 0) / 1000)
            if self._catalogue.refreshed_at_ms <= asked_at_ms:
                try:
                    await self._catalogue.refresh()
                except ArchiveUnavailable:
                    if not self._catalogue.refreshed_at_ms:
                        raise
        return self._get(key_id)


def _decoded(document: Document, kind: type[_R]) -> _R:
    return msgspec.json.decode(document.body, type=kind)
