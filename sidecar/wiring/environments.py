"""All tenants' environments that a process of the control plane serves: opened when there are keys for them.

The operator's own is there from the start. The others are opened in the background as soon as a key says that they
exist, because credit expires and holds fall due in them whether anybody asks or not.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Final

from sidecar.control.endpoint import Parts
from sidecar.domain.control_keys import Principal
from sidecar.domain.errors import SidecarError
from sidecar.services.control_keys import ControlKeys
from sidecar.services.deferred import Deferred
from sidecar.wiring.environment import Environment
from sidecar.wiring.parts import Realm, Sidecar

RETRY_S: Final = 1.0
"""Between two attempts to open an environment whose store or archive is away."""

log = logging.getLogger("sidecar")

Place = tuple[str, str]


class Environments:
    """`home` has started. `parts_of` makes what the endpoints of one environment work with."""

    def __init__(self, sidecar: Sidecar, home: Environment, parts_of: Callable[[Environment], Parts]) -> None:
        self._sidecar = sidecar
        self._open = {(home.realm.tenant, home.realm.environment): home}
        self._make_parts = parts_of
        self._parts: dict[Place, Parts] = {}
        self._one_at_a_time = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._come = asyncio.Event()

    def __iter__(self) -> Iterator[Environment]:
        """Those that are open."""
        return iter(list(self._open.values()))

    def deferred(self) -> Iterator[Deferred]:
        """Of each that is open."""
        return (environment.realm.deferred for environment in self)

    async def parts(self, principal: Principal) -> Parts:
        """What a key's endpoints work with; its environment is opened, if it is not. Raises StoreError."""
        place = (principal.tenant, principal.environment)
        if (parts := self._parts.get(place)) is None:
            parts = self._parts[place] = self._make_parts(await self._opened(place))
        return parts

    async def run(self, keys: ControlKeys) -> None:
        """Open what has keys, now and whenever there are new ones, until cancelled."""
        while True:
            self._come.clear()
            for place in sorted(keys.places() - self._open.keys()):
                try:
                    await self._opened(place)
                except SidecarError as error:
                    log.warning("%s/%s cannot be opened: %s", *place, error.detail)
                    self._come.set()
                    await asyncio.sleep(RETRY_S)
            await self._come.wait()

    def look(self) -> None:
        """There may be new keys."""
        self._come.set()

    async def close(self) -> None:
        """Stop those that were opened since."""
        async with self._one_at_a_time:
            await self._stack.aclose()

    async def _opened(self, place: Place) -> Environment:
        async with self._one_at_a_time:
            if (there := self._open.get(place)) is not None:
                return there
            sidecar, (tenant, name) = self._sidecar, place
            realm = Realm(sidecar.lane, sidecar.settings.tokens.key, tenant=tenant, environment=name)
            await realm.meet()
            realm.keep_time(sidecar.tasks)
            environment = Environment(realm, sidecar.settings, sidecar.tasks, apart=True)
            async with AsyncExitStack() as stack:
                await environment.start(stack)
                self._stack.push_async_exit(stack.pop_all())
            self._open[place] = environment
            log.info("%s/%s is open, its archive is %s", tenant, name, environment.archive)
            return environment
