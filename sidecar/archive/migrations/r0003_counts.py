"""Entries say what they counted, and the ledger has it by counter, which nobody can change either."""

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0003"
down_revision = "0002"

_REFUSAL = "The ledger is never changed: correct it by a further entry."


def upgrade() -> None:
    name = Text().with_variant(Text(collation="C"), "postgresql")
    op.add_column("entries", Column("counted", name, nullable=False, server_default=""))
    op.create_table(
        "counts",
        Column("entry_id", name, primary_key=True),
        Column("counter", name, primary_key=True),
        Column("customer_id", name, nullable=False),
        Column("units", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("counts_of_customer", "counts", ["customer_id", "entry_id"])
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _guard_postgresql() -> None:
    refuse = "EXECUTE FUNCTION sidecar_refuse_change()"
    op.execute(f"CREATE TRIGGER counts_unchanged BEFORE UPDATE OR DELETE ON counts FOR EACH ROW {refuse}")
    op.execute(f"CREATE TRIGGER counts_kept BEFORE TRUNCATE ON counts FOR EACH STATEMENT {refuse}")


def _guard_sqlite() -> None:
    abort = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    for change in ("UPDATE", "DELETE"):
        op.execute(f"CREATE TRIGGER counts_no_{change.lower()} BEFORE {change} ON counts {abort}")
    there = "SELECT 1 FROM counts WHERE entry_id = NEW.entry_id AND counter = NEW.counter"
    op.execute(f"CREATE TRIGGER counts_no_replace BEFORE INSERT ON counts WHEN EXISTS ({there}) {abort}")
