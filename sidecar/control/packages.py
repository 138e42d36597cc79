"""Top-up packages: what is sold, and for how much."""

from typing import Any

import msgspec
from msgspec import UNSET

from sidecar.control.endpoint import Call, Given, Repeat, endpoint
from sidecar.control.schema import Nothing
from sidecar.control.topup_schema import CreatePackage, PackagePage, PackagesQuery, PackageView, UpdatePackage
from sidecar.domain.documents import Document
from sidecar.domain.errors import NotFound
from sidecar.domain.scopes import Scope
from sidecar.domain.topups import PACKAGE, Package
from sidecar.services.catalogue import Catalogue

BY_KEY = "/v1/topup-packages/{package_id}"


async def create_package(call: Call[CreatePackage, Nothing]) -> Given[PackageView]:
    """Make a package that can be bought."""
    wanted = msgspec.structs.asdict(call.body)
    key, lasting_s = wanted.pop("key"), wanted.pop("expires_after_seconds")
    call.parts.unit(call.body.unit)
    document = await call.parts.catalogue.put(PACKAGE, key, Package(**wanted, expires_after_s=lasting_s), expected=0)
    return Given(PackageView.of(document), 201, version=document.version)


async def list_packages(call: Call[Nothing, PackagesQuery]) -> Given[PackagePage]:
    """List the packages in the order of their keys; all are on one page."""
    views = [PackageView.of(document) for document in call.parts.catalogue.all(PACKAGE)]
    active = call.query.active
    return Given(PackagePage(data=[view for view in views if active is UNSET or view.active == active]))


async def show_package(call: Call[Nothing, Nothing]) -> Given[PackageView]:
    """Look at a package."""
    document = _found(call.parts.catalogue, call.path["package_id"])
    return Given(PackageView.of(document), version=document.version)


async def update_package(call: Call[UpdatePackage, Nothing]) -> Given[PackageView]:
    """Change a package, or sell it no more."""
    key = call.path["package_id"]
    document = _found(call.parts.catalogue, key)
    changes: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not UNSET
    }
    if "expires_after_seconds" in changes:
        changes["expires_after_s"] = changes.pop("expires_after_seconds")
    package = msgspec.structs.replace(msgspec.json.decode(document.body, type=Package), **changes)
    # Somebody else's change in between is not overwritten.
    expected = document.version if call.expected is None else call.expected
    changed = await call.parts.catalogue.put(PACKAGE, key, package, expected=expected)
    return Given(PackageView.of(changed), version=changed.version)


def package_of(catalogue: Catalogue, key: str) -> Package | None:
    """The package as it is sold now."""
    document = catalogue.get(PACKAGE, key)
    return None if document is None else msgspec.json.decode(document.body, type=Package)


def _found(catalogue: Catalogue, key: str) -> Document:
    if (document := catalogue.get(PACKAGE, key)) is None:
        raise NotFound(f"There is no top-up package {key}.")
    return document


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/topup-packages",
        create_package,
        {201: "The package."},
        Repeat.RECORDED,
        scope=Scope.CATALOGUE_WRITE,
        versioned=True,
    ),
    endpoint("GET", "/v1/topup-packages", list_packages, {200: "The packages."}, scope=Scope.CATALOGUE_READ),
    endpoint("GET", BY_KEY, show_package, {200: "The package."}, scope=Scope.CATALOGUE_READ, versioned=True),
    endpoint(
        "PATCH",
        BY_KEY,
        update_package,
        {200: "The package as it is now."},
        Repeat.RECORDED,
        scope=Scope.CATALOGUE_WRITE,
        versioned=True,
    ),
)
