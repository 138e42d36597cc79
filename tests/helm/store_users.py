"""The users of the bundled store, as files of the chart: what `sidecar store acl` says, for any tenant."""

from pathlib import Path
from typing import Final

from sidecar.store.acl import User, acl_rules
from tests.helm.reference import CHART

TENANT: Final = "TENANT"
ENVIRONMENT: Final = "ENVIRONMENT"
"""The template puts the real ones in the places of these."""


def file(user: User) -> Path:
    return CHART / "files" / "users" / f"{user}.acl"


def rules(user: User) -> str:
    return acl_rules(user, tenant=TENANT, environment=ENVIRONMENT) + "\n"
