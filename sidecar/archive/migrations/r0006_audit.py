"""Who asked the control API to change what: a log that nobody can change."""

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0006"
down_revision = "0005"

_REFUSAL = "The audit log is never changed."
_TEXTS = (
    "key_id",
    "actor_id",
    "on_behalf_of",
    "reason",
    "request_id",
    "operation",
    "method",
    "route",
    "target",
    "customer_id",
)


def upgrade() -> None:
    name = Text().with_variant(Text(collation="C"), "postgresql")
    op.create_table(
        "audit",
        Column("audit_id", name, primary_key=True),
        Column("at_ms", BigInteger, nullable=False, autoincrement=False),
        *(Column(each, name, nullable=False) for each in _TEXTS),
        Column("status", BigInteger, nullable=False, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_index("audit_of_customer", "audit", ["customer_id", "audit_id"])
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _guard_postgresql() -> None:
    refuse = "EXECUTE FUNCTION sidecar_refuse_change()"
    op.execute(f"CREATE TRIGGER audit_unchanged BEFORE UPDATE OR DELETE ON audit FOR EACH ROW {refuse}")
    op.execute(f"CREATE TRIGGER audit_kept BEFORE TRUNCATE ON audit FOR EACH STATEMENT {refuse}")


def _guard_sqlite() -> None:
    abort = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    for change in ("UPDATE", "DELETE"):
        op.execute(f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit {abort}")
    there = "SELECT 1 FROM audit WHERE audit_id = NEW.audit_id"
    op.execute(f"CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit WHEN EXISTS ({there}) {abort}")
