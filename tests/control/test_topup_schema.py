"""What a package looks like on the wire."""

import msgspec

from sidecar.control.topup_schema import PackageView
from sidecar.domain.documents import Document
from sidecar.domain.topups import PACKAGE, Package


def test_a_package_is_shown_as_it_is_kept() -> None:
    package = Package(unit="credits", credits=5, price=900, currency="EUR", expires_after_s=60, active=False)
    document = Document(kind=PACKAGE, key="small", version=3, body=msgspec.json.encode(package), updated_at_ms=1000)
    view = PackageView.of(document)
    assert (view.key, view.version, view.credits, view.price, view.currency) == ("small", 3, 5, 900, "EUR")
    assert (view.expires_after_seconds, view.active, view.bonus_credits) == (60, False, 0)
