"""Whose customers a control process serves: tenants, each with a `live` and a `test` environment, all of them apart.

A tenant is a name that keys are made for; everything else follows from the keys. The operator's own tenant, which the
settings name, is always there.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from sidecar.domain.control_keys import ControlKey
from sidecar.domain.errors import Conflict, NotFound
from sidecar.domain.scopes import ALL
from sidecar.services.catalogue import Catalogue
from sidecar.services.control_keys import ControlKeys

KIND: Final = "tenant"
ENVIRONMENTS: Final = ("live", "test")


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """One of them. `created_at_ms` None: the operator's own."""

    tenant: str
    name: str = ""
    created_at_ms: int | None = None


class Tenants:
    """`home` is the operator's own tenant. Writes raise ArchiveUnavailable."""

    def __init__(self, catalogue: Catalogue, keys: ControlKeys, *, home: str, now_ms: Callable[[], int]) -> None:
        self._catalogue = catalogue
        self._keys = keys
        self._home = Tenant(tenant=home)
        self._now_ms = now_ms

    def all(self) -> list[Tenant]:
        """In the order of their names."""
        made = [msgspec.json.decode(document.body, type=Tenant) for document in self._catalogue.all(KIND)]
        return sorted([self._home, *made], key=lambda each: each.tenant)

    async def make(
        self, tenant: str, *, name: str, created_by: str
    ) -> tuple[Tenant, dict[str, tuple[ControlKey, str]]]:
        """Make a tenant, and for each of its environments a first key, which may do everything there.

        Raises Conflict when there is one of this name.
        """
        made = Tenant(tenant=tenant, name=name, created_at_ms=self._now_ms())
        if tenant == self._home.tenant:
            raise Conflict(f"There is a tenant {tenant!r} already: the operator's own.")
        await self._catalogue.put(KIND, tenant, made, expected=0)
        keys = {
            environment: await self._keys.make(
                tenant, environment, name="first", scopes=(ALL,), created_by=created_by
            )
            for environment in ENVIRONMENTS
        }
        return made, keys

    def checked(self, tenant: str) -> str:
        """The name of one that there is. Raises NotFound."""
        if tenant != self._home.tenant and self._catalogue.get(KIND, tenant) is None:
            raise NotFound("There is no such tenant; POST /v1/admin/tenants makes one.")
        return tenant
