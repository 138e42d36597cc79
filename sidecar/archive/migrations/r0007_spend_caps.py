"""Which spend caps customers have."""

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    name = Text().with_variant(Text(collation="C"), "postgresql")
    op.create_table(
        "spend_caps",
        Column("customer_id", name, primary_key=True),
        Column("unit", name, primary_key=True),
        Column("partition", BigInteger, nullable=False, autoincrement=False),
        Column("entry_id", name, nullable=False),
        Column("caps", name, nullable=False),
        sqlite_with_rowid=False,
    )
