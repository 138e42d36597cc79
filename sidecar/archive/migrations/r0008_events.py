"""Events, what is watched for them, and which alarms of a balance have gone off."""

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    name = Text().with_variant(Text(collation="C"), "postgresql")
    op.create_table(
        "events",
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
        *(Column(each, name, nullable=False) for each in ("event_id", "type", "customer_id", "unit")),
        Column("occurred_at_ms", BigInteger, nullable=False, autoincrement=False),
        Column("data", name, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("events_by_id", "events", ["event_id"], unique=True)
    op.create_index("events_of_customer", "events", ["customer_id", "sequence"])
    op.create_index("events_by_time", "events", ["occurred_at_ms"])
    op.create_table(
        "watches",
        *(Column(each, name, primary_key=True) for each in ("customer_id", "unit", "kind")),
        Column("body", name, nullable=False),
        Column("version", BigInteger, nullable=False, autoincrement=False),
        Column("updated_at_ms", BigInteger, nullable=False, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.add_column("accounts", Column("low", name, nullable=False, server_default=""))
