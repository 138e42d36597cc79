"""Entries say by which version of the rule files a request was priced."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    name = Text().with_variant(Text(collation="C"), "postgresql")
    # A constant default is kept in the catalogue: no entry is rewritten, however many there are.
    op.add_column("entries", Column("rules_version", name, nullable=False, server_default=""))
