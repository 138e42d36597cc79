"""What the price of a request may depend on."""

import msgspec

from sidecar.domain.fields import Fields


class RequestFacts(msgspec.Struct, frozen=True):
    """All that a quote may see of a request.

    `fields` has lower-case names; `path` is normalised; `body` is None when it was not read or is larger than the
    limit; `body_bytes` is 0 when unknown. `customer_id` is who asks, `external_id` the operator's own id
    of it, if a price may need that: neither is what a client says of itself. `form`: the body may be a form (see
    `forms`), not JSON.
    """

    fields: Fields
    path: bytes
    query: bytes
    body: bytes | None
    body_bytes: int = 0
    customer_id: str = ""
    external_id: str = ""
    form: bool = False
