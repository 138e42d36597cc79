"""What the control API takes and answers about customers, as it is on the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from sidecar.control.schema import Asked, Pagination, Paging, Wire, instant, words
from sidecar.domain.customers import METADATA_MAX, METADATA_VALUE_MAX_CHARACTERS, Customer, Status

ExternalId = Annotated[str, Meta(min_length=1, max_length=255, description="Your own id of the customer.")]
DisplayName = Annotated[str, Meta(max_length=255, description="For people; may be empty.")]
Metadata = Annotated[
    dict[str, Annotated[str, Meta(max_length=METADATA_VALUE_MAX_CHARACTERS)]],
    Meta(max_length=METADATA_MAX, description="What you like, by names of at most 64 characters."),
]


class CreateCustomer(Asked, frozen=True, kw_only=True):
    external_id: ExternalId
    display_name: DisplayName = ""
    metadata: Metadata = field(default_factory=dict)
    parent_customer_id: (
        Annotated[
            str,
            Meta(min_length=1, max_length=64, description="Who pays for it, for ever: it is a member of this pool."),
        ]
        | None
    ) = None
    parent_external_id: (
        Annotated[str, Meta(min_length=1, max_length=255, description="The same, by your own id.")] | None
    ) = None


class UpdateCustomer(Asked, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    display_name: DisplayName | UnsetType = UNSET
    status: (
        Annotated[
            Literal["active", "suspended"], Meta(description="Nothing of a suspended customer is forwarded (403).")
        ]
        | UnsetType
    ) = UNSET
    metadata: (
        Annotated[
            dict[str, Annotated[str, Meta(max_length=METADATA_VALUE_MAX_CHARACTERS)] | None],
            Meta(description="Names and their new values; null takes a name away; others stay."),
        ]
        | UnsetType
    ) = UNSET

    def applied_to(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """RFC 7396: what the metadata is then."""
        changes = {} if self.metadata is UNSET else self.metadata
        return {name: value for name, value in ({**metadata, **changes}).items() if value is not None}


class RenameCustomer(Asked, frozen=True, kw_only=True):
    external_id: ExternalId


class CustomersQuery(Paging, frozen=True, kw_only=True):
    status: Literal["active", "suspended", "merged"] | UnsetType = UNSET
    parent_customer_id: Annotated[str, Meta(description="Members of this customer's pool.")] | UnsetType = UNSET
    external_id_prefix: Annotated[str, Meta(max_length=255, description="What external ids begin with.")] = ""
    search: Annotated[
        str, Meta(max_length=255, description="Somewhere in the external id or the name; the case of A-Z is ignored.")
    ] = ""
    metadata: (
        Annotated[str, Meta(max_length=600, description="A name and its value, with a colon: `tier:gold`.")]
        | UnsetType
    ) = UNSET


class CustomerView(Wire, frozen=True, kw_only=True):
    customer_id: str
    external_id: str
    display_name: str
    status: Annotated[str, words(*Status)]
    metadata: dict[str, str]
    created_at: datetime
    version: Annotated[int, Meta(description="One more with each change; it is the ETag.")]
    parent_customer_id: Annotated[
        str | None, Meta(description="Of a member of a pool, who pays for it; null for who pays for itself.")
    ]
    parent_external_id: str | None
    merged_into: Annotated[str | None, Meta(description="Which customer it is now, if it was merged.")]
    aliases: Annotated[
        list[str], Meta(description="Your ids of customers that were merged into it; they name it, too.")
    ]

    @classmethod
    def of(cls, customer: Customer, parent: Customer | None) -> "CustomerView":
        return cls(
            customer_id=customer.customer_id,
            external_id=customer.external_id,
            display_name=customer.display_name,
            status=Status(customer.status),
            metadata=dict(customer.metadata),
            created_at=instant(customer.created_at_ms),
            version=customer.version,
            parent_customer_id=customer.parent_id,
            parent_external_id=parent.external_id if parent else None,
            merged_into=customer.merged_into,
            aliases=list(customer.aliases),
        )


class CustomerPage(Wire, frozen=True, kw_only=True):
    data: list[CustomerView]
    pagination: Pagination
