"""The ledger: entries and postings that nobody can change, and what follows them."""

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, Text, text

revision = "0001"
down_revision = None

_Name = Text().with_variant(Text(collation="C"), "postgresql")

_ROOMY = {"fillfactor": 50}
"""Rows that change with every batch: with room beside them, the indexes need not follow."""

_REFUSAL = "The ledger is never changed: correct it by a further entry."


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, _Name, nullable=False) for name in names]


def _numbers(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False, autoincrement=False) for name in names]


def _totals(prefix: str = "") -> list[Column[int]]:
    names = ("granted", "scheduled", "available", "held", "spent", "expired", "voided", "owed")
    return _numbers(*(prefix + name for name in names))


def _key(name: str) -> Column[str]:
    return Column(name, _Name, primary_key=True)


def _number_key(name: str) -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def upgrade() -> None:
    _ledger()
    _followers()
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _ledger() -> None:
    op.create_table(
        "entries",
        _key("entry_id"),
        *_numbers("partition"),
        *_texts("customer_id", "unit"),
        *_numbers("seq"),
        *_texts("type"),
        *_numbers("recorded_at_ms", "event_at_ms", "delta", "owed_delta"),
        *_totals("after_"),
        *_texts("moves", "block", "terms", "reservation_id", "asker_id", "feature", "rule"),
        *_numbers("reserved_at_ms", "charged_before", "held", "charged", "owed", "uncollected"),
        *_texts("usage", "model", "meters", "source", "reason", "detail"),
        Column("prev_hash", LargeBinary, nullable=False),
        Column("hash", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("entries_of_account", "entries", ["customer_id", "unit", "entry_id"])
    op.create_index("entries_of_customer", "entries", ["customer_id", "event_at_ms", "entry_id"])
    op.create_index("entries_by_time", "entries", ["event_at_ms", "entry_id"])
    known = text("reservation_id <> ''")
    op.create_index(
        "entries_of_reservation", "entries", ["reservation_id"], postgresql_where=known, sqlite_where=known
    )
    op.create_table(
        "postings",
        _key("entry_id"),
        _number_key("leg"),
        *_texts("account", "customer_id", "unit"),
        *_numbers("block", "amount"),
        sqlite_with_rowid=False,
    )


def _followers() -> None:
    op.create_table(
        "accounts",
        _key("customer_id"),
        _key("unit"),
        *_numbers("partition", "seq"),
        *_texts("entry_id"),
        Column("hash", LargeBinary, nullable=False),
        *_totals(),
        sqlite_with_rowid=False,
        postgresql_with=_ROOMY,
    )
    op.create_index("accounts_of_partition", "accounts", ["partition", "customer_id"])
    op.create_table(
        "blocks",
        _key("customer_id"),
        _key("unit"),
        _number_key("number"),
        *_numbers("partition"),
        *_texts("block_id", "state"),
        *_numbers("granted", "spent", "expired", "voided", "created_at_ms"),
        Column("starts_at_ms", BigInteger),
        Column("expires_at_ms", BigInteger),
        *_texts("terms"),
        Column("dedup_key", _Name),
        Column("external_payment_id", _Name),
        sqlite_with_rowid=False,
        postgresql_with=_ROOMY,
    )
    op.create_table(
        "customers", _key("customer_id"), *_numbers("partition"), *_texts("entry_id", "data"), sqlite_with_rowid=False
    )
    op.create_index("customers_of_partition", "customers", ["partition", "customer_id"])
    op.create_table(
        "keys",
        _key("key_id"),
        *_texts("customer_id"),
        *_numbers("partition"),
        *_texts("entry_id"),
        *_numbers("revoked"),
        *_texts("data"),
        sqlite_with_rowid=False,
    )
    op.create_index("keys_of_customer", "keys", ["customer_id"])
    op.create_table(
        "pool_caps",
        _key("customer_id"),
        _key("unit"),
        *_numbers("partition"),
        *_texts("entry_id"),
        Column("cap", BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "anomalies", _key("entry_id"), _key("what"), *_texts("customer_id", "unit", "detail"), sqlite_with_rowid=False
    )
    op.create_table("scope", _number_key("id"), *_texts("name"), sqlite_with_rowid=False)
    op.create_table("positions", _number_key("partition"), *_numbers("ms", "number"), sqlite_with_rowid=False)


def _guard_postgresql() -> None:
    op.execute(
        f"""
        CREATE FUNCTION sidecar_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
        END $$
        """
    )
    for table in ("entries", "postings"):
        op.execute(
            f"CREATE TRIGGER {table}_unchanged BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION sidecar_refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION sidecar_refuse_change()"
        )


def _guard_sqlite() -> None:
    same = {"entries": "entry_id = NEW.entry_id", "postings": "entry_id = NEW.entry_id AND leg = NEW.leg"}
    for table, condition in same.items():
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        # INSERT OR REPLACE would delete a row without asking the trigger above.
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "  # noqa: S608  # our own names
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {condition}) "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
