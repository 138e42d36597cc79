"""Brings a database to the schema of this program: forward only, all or nothing, one process at a time."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateSchema

from sidecar.domain.errors import StartupError

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x5D_1EDA  # Any number that is only ours.


def migrate(connection: Connection, schema: str = "") -> None:
    """Apply the steps that are missing, within the connection's transaction; make its schema first, if it has one.

    `StartupError` when the database knows a step that this program does not: it is newer.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if schema:
            connection.execute(CreateSchema(schema, if_not_exists=True))
    scripts = _scripts()
    known = {script.revision for script in scripts.walk_revisions()}

    def missing(revision: tuple[str, ...], _context: MigrationContext) -> Iterator[MigrationStep]:
        if not known.issuperset(revision):
            raise StartupError(
                f"The archive was written by a newer version of this program (its schema is {', '.join(revision)}, "
                f"this program knows up to {scripts.get_current_head()}): update the program."
            )
        steps = list(scripts.iterate_revisions("head", revision or "base"))
        for script in reversed(steps):
            yield MigrationStep.upgrade_from_script(scripts.revision_map, script)

    context = MigrationContext.configure(connection, opts={"fn": missing})
    with Operations.context(context):
        context.run_migrations()


@cache
def _scripts() -> ScriptDirectory:
    """Read once: each tenant's environments have an archive of their own."""
    return ScriptDirectory(_FOLDER, version_locations=[_FOLDER])
