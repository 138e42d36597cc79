"""A primary, its replica and a sentinel that makes the replica the primary when the first one is gone."""

from pathlib import Path

import redis

from tests.support.ports import free_ports
from tests.support.store import StoreServer
from tests.support.until import until_sync

SERVICE = "main"


class SentinelServer(StoreServer):
    """A sentinel; it alone decides."""

    def __init__(self, port: int, primary_port: int, password: str, binary: Path | None) -> None:
        super().__init__(binary=binary, port=port)
        self._file = self.dir / "sentinel.conf"
        self._file.write_text(
            f"""
bind 127.0.0.1
port {port}
unixsocket {self.socket}
dir {self.dir}
logfile {self.dir}/log
requirepass {password}
sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 1
sentinel down-after-milliseconds {SERVICE} 300
sentinel failover-timeout {SERVICE} 1000
"""
        )

    def _command(self) -> list[str]:
        return [str(self._binary), str(self._file), "--sentinel"]


class Watched:
    """`url` names, besides the sentinel, one before it that does not run."""

    def __init__(self, binary: Path | None = None, password: str = "watch-word") -> None:
        first, second, sentinel, nobody = free_ports(4)
        arguments = ["--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]
        self.servers = {port: StoreServer(*arguments, binary=binary, port=port) for port in (first, second)}
        self.sentinel = SentinelServer(sentinel, first, password, binary)
        self._password = password
        self._ports = first, second
        self._urls = f"redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{sentinel}/{SERVICE}"

    @property
    def url(self) -> str:
        return f"{self._urls}?sentinel_password={self._password}"

    @property
    def first(self) -> StoreServer:
        """Who is the primary when it starts."""
        return self.servers[self._ports[0]]

    @property
    def replica_port(self) -> int:
        """Where the other one is."""
        return self._ports[1]

    def start(self) -> None:
        for server in self.servers.values():
            server.start()
        first, second = self._ports
        with self.servers[second].client() as client:
            client.replicaof("127.0.0.1", str(first))
        # A sentinel looks again only after 10 s, and a replica that was not in step could not take over till then.
        until_sync(self._is_replicated, "the replica to be in step")
        self.sentinel.start()
        until_sync(self._is_watched, "the sentinel to know the replica")

    def remove(self) -> None:
        for server in (self.sentinel, *self.servers.values()):
            server.remove()

    def _is_replicated(self) -> bool:
        with self.first.client() as client:
            return bool(client.execute_command("WAIT", 1, 1) == 1)  # type: ignore[no-untyped-call]  # redis-py's.

    def _is_watched(self) -> bool:
        with redis.Redis(unix_socket_path=str(self.sentinel.socket), password=self._password) as client:
            return bool(client.execute_command("SENTINEL", "REPLICAS", SERVICE))
