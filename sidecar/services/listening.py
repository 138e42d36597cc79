"""Listening to a channel of the store for as long as the process lives, however often the connection is lost."""

import asyncio
import logging
from collections.abc import Callable

from sidecar.domain.errors import StoreError
from sidecar.store.lane import Lane
from sidecar.store.pauses import Pauses


async def keep_listening(
    lane: Lane,
    channel: bytes,
    heard: Callable[[bytes], object],
    log: logging.Logger,
    *,
    hears: Callable[[bool], object],
) -> None:
    """Call `heard` with what is published, for ever. `hears` is told whenever that begins or ends.

    Why it cannot begin is logged, once for each reason.
    """
    pauses, said = Pauses(), ""
    while True:
        try:
            subscription = await lane.listen(channel, heard)
        except StoreError as error:
            if error.detail != said:
                log.error("%s", error.detail)  # noqa: TRY400  (says it all)
            said = error.detail
            await asyncio.sleep(pauses.next_s())
            continue
        try:
            said = ""
            pauses.reset()
            hears(True)
            await asyncio.wait((subscription.lost,))
        finally:
            hears(False)
            subscription.close()
