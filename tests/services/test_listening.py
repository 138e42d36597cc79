"""A channel is heard again after its connection was lost, and why it cannot be is said once."""

import logging

import pytest

from sidecar.services.listening import keep_listening
from sidecar.tasks import Tasks
from tests.support.books import open_lane
from tests.support.store import StoreServer
from tests.support.until import until, until_async

log = logging.getLogger("sidecar.test")


async def test_it_listens_again_and_says_once_why_it_could_not(
    store_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = Tasks()
    heard: list[bytes] = []
    told: list[bool] = []
    async with open_lane(store_server.url) as lane:
        tasks.start(keep_listening(lane, b"sidecar:x", heard.append, log, hears=told.append), "listening")

        async def said() -> bool:
            return lane.connected and bool(await lane.execute("PUBLISH", "sidecar:x", str(len(told))))

        await until_async(said, "somebody to listen")
        await lane.execute("ACL", "SETUSER", "default", "resetchannels")
        await lane.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: told == [True, False], "the connection to be lost")
        await until(lambda: "&sidecar:*" in caplog.text, "the reason")
        await lane.execute("ACL", "SETUSER", "default", "allchannels")
        await until(lambda: told == [True, False, True], "it to listen again")
        await until_async(said, "it to be heard")
        await until(lambda: heard == [b"1", b"3"], "both")
        assert caplog.text.count("&sidecar:*") == 1
        await tasks.cancel()
