"""A process that archives one journal, a few lines at a time, until it is done or dead."""

import asyncio
import sys

from sidecar.archive.archive import Archive
from sidecar.domain.journal import Line, Position
from tests.archive.teller import Clock, Teller

PARTITION = 3
BATCH = 7


def journal() -> list[Line]:
    """The same lines in every process."""
    clock = Clock(PARTITION)
    tellers = [Teller(clock, f"cus_{number}") for number in range(4)]
    lines = [teller.grant(10_000) for teller in tellers]
    return lines + [teller.commit((1, 1)) for _ in range(500) for teller in tellers]


async def main(url: str) -> None:
    archive = Archive(url)
    await archive.open()
    at = (await archive.positions()).get(PARTITION, Position())
    rest = [line for line in journal() if line.position > at]
    print("ready", flush=True)
    for start in range(0, len(rest), BATCH):
        at = (await archive.append(PARTITION, rest[start : start + BATCH], at)).position
    await archive.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
