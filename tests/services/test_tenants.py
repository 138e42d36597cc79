"""Tenants in the catalogue: the operator's own is always there."""

from pathlib import Path

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import Conflict, NotFound
from sidecar.services.catalogue import Catalogue
from sidecar.services.control_keys import ControlKeys
from sidecar.services.tenants import Tenants
from tests.support.archives import new_archive


async def test_a_tenant_is_made_once_with_a_key_for_each_environment(tmp_path: Path) -> None:
    archive = Archive(new_archive(tmp_path))
    await archive.open()
    catalogue = Catalogue(archive)
    keys = ControlKeys(catalogue, "ck_live_operator", tenant="home", environment="live", now_ms=lambda: 5)
    tenants = Tenants(catalogue, keys, home="home", now_ms=lambda: 5)
    made, first = await tenants.make("acme", name="Acme", created_by="admin")
    assert [each.tenant for each in tenants.all()] == ["acme", "home"]
    assert (made.created_at_ms, sorted(first)) == (5, ["live", "test"])
    assert keys.places() == {("home", "live"), ("acme", "live"), ("acme", "test")}
    assert [tenants.checked(name) for name in ("acme", "home")] == ["acme", "home"]
    with pytest.raises(NotFound):
        tenants.checked("umbrella")
    for taken in ("acme", "home"):
        with pytest.raises(Conflict):
            await tenants.make(taken, name="", created_by="admin")
    await archive.close()
