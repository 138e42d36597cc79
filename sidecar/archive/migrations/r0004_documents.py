"""What the operator writes and reads back: documents with a version, and the order in which they were changed."""

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    name = Text().with_variant(Text(collation="C"), "postgresql")
    numbers = ("version", "updated_at_ms", "removed", "change")
    op.create_table(
        "documents",
        Column("kind", name, primary_key=True),
        Column("key", name, primary_key=True),
        Column("body", name, nullable=False),
        *(Column(each, BigInteger, nullable=False, autoincrement=False) for each in numbers),
        sqlite_with_rowid=False,
    )
    op.create_index("documents_by_change", "documents", ["change"])
