"""Archives for tests: copies of one whose schema is made, since to make it costs more than most tests."""

import asyncio
import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine

from sidecar.archive.address import parse_archive_address
from sidecar.archive.database import Database
from sidecar.archive.migrate import migrate


def new_archive(folder: Path) -> str:
    """The URL of an archive without a line, of nobody yet, in a file of the folder."""
    path = folder / "archive.db"
    path.write_bytes(_without_a_line())
    return f"sqlite:///{path}"


def make_schema(url: str) -> None:
    """In an empty database, from outside any loop."""

    async def opened() -> None:
        database = Database(parse_archive_address(url))
        await database.open()
        await database.close()

    asyncio.run(opened())


@cache
def _without_a_line() -> bytes:
    with tempfile.TemporaryDirectory(prefix="archive-") as folder:
        path = Path(folder) / "archive.db"
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            migrate(connection)
        engine.dispose()
        return path.read_bytes()
