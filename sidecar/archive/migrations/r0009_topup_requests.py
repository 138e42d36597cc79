"""Requests for top-ups: one at a time for each balance."""

from alembic import op
from sqlalchemy import BigInteger, Column, Text, text

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    name = Text().with_variant(Text(collation="C"), "postgresql")
    op.create_table(
        "topup_requests",
        Column("request_id", name, primary_key=True),
        *(Column(each, name, nullable=False) for each in ("customer_id", "unit", "state", "package_id")),
        *(
            Column(each, BigInteger, nullable=False, autoincrement=False)
            for each in ("threshold", "balance", "made_at_ms")
        ),
        Column("ended_at_ms", BigInteger, nullable=True, autoincrement=False),
        *(Column(each, name, nullable=False) for each in ("topup_id", "reason")),
        sqlite_with_rowid=False,
    )
    outstanding = text("state = 'outstanding'")
    op.create_index(
        "topup_requests_outstanding",
        "topup_requests",
        ["customer_id", "unit"],
        unique=True,
        postgresql_where=outstanding,
        sqlite_where=outstanding,
    )
    op.create_index("topup_requests_of_balance", "topup_requests", ["customer_id", "unit", "made_at_ms"])
