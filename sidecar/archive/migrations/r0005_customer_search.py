"""Customers are found by their external id, name, status and parent, which stood in their records alone."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0005"
down_revision = "0004"

_NAMES = ("external_id", "display_name", "status", "parent_id")


def upgrade() -> None:
    name = Text().with_variant(Text(collation="C"), "postgresql")
    for column in _NAMES:
        op.add_column("customers", Column(column, name, nullable=False, server_default=""))
    values = "data::jsonb ->> '{}'" if op.get_bind().dialect.name == "postgresql" else "data ->> '$.{}'"
    filled = ", ".join(f"{column} = coalesce({values.format(column)}, '')" for column in _NAMES)
    op.execute(f"UPDATE customers SET {filled}")  # noqa: S608  (names of ours)
    op.create_index("customers_by_external_id", "customers", ["external_id"])
