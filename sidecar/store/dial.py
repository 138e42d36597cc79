"""Opens one connection to the store and hands its transport over. The only caller of redis-py.

redis-py connects, does TLS, AUTH, SELECT and names the connection; every retry of its own is off, because it would
execute a write twice. From then on the transport belongs to a `Wire`.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

from sidecar.domain.errors import StoreUnavailable
from sidecar.store.address import Address

CLIENT_NAME = "entitlement-sidecar"

_Connection = Connection | UnixDomainSocketConnection


async def dial(address: Address, timeout_s: float) -> asyncio.StreamWriter:
    """A connection that is ready for commands, with nothing unread on it.

    Keep the writer for as long as its transport is used: the writer closes the transport when it is collected.
    Raises `StoreUnavailable` with one sentence that says what is wrong.
    """
    async with _connected(address, timeout_s) as connection:
        return _detached(connection, address)


async def inquire(address: Address, timeout_s: float, *command: str) -> Any:
    """The reply to one command, over a connection of its own; `StoreUnavailable` as for `dial`, or when refused."""
    async with _connected(address, timeout_s) as connection, asyncio.timeout(timeout_s):
        await connection.send_command(*command)
        return await connection.read_response()


@asynccontextmanager
async def _connected(address: Address, timeout_s: float) -> AsyncIterator[_Connection]:
    connection = _connection(address, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py left it without types.
        yield connection
    except TimeoutError as error:
        raise StoreUnavailable(f"The store at {address} did not answer within {timeout_s:g} s.") from error
    except exceptions.RedisError as error:
        raise StoreUnavailable(_sentence(error, address)) from error
    finally:
        await connection.disconnect(nowait=True)


def _connection(address: Address, timeout_s: float) -> _Connection:
    shared: dict[str, Any] = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,
        "client_name": CLIENT_NAME,
        "driver_info": None,
    }
    if address.path:
        return UnixDomainSocketConnection(path=address.path, **shared)
    if address.tls:
        return SSLConnection(host=address.host, port=address.port, ssl_ca_certs=address.ca_file or None, **shared)
    return Connection(host=address.host, port=address.port, **shared)


def _detached(connection: _Connection, address: Address) -> asyncio.StreamWriter:
    """Take reader and writer away from redis-py, which then has nothing left to close."""
    reader, writer = connection._reader, connection._writer
    connection._reader = connection._writer = None
    assert reader is not None
    assert writer is not None
    if writer.is_closing() or reader.at_eof():
        writer.close()
        raise StoreUnavailable(f"The store at {address} closed the connection at once.")
    unread: bytearray = reader._buffer  # type: ignore[attr-defined]  # Nothing public says whether bytes are waiting.
    if unread:
        writer.close()
        raise StoreUnavailable(f"The server at {address} does not speak like a Redis server.")
    return writer


def _sentence(error: exceptions.RedisError, address: Address) -> str:
    # redis-py wraps what fails while it connects to a Unix socket.
    answer = error.__cause__ if isinstance(error.__cause__, exceptions.RedisError) else error
    if isinstance(answer, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return f"The store at {address} refuses our user name or password."
    if isinstance(answer, exceptions.TimeoutError):
        return f"The store at {address} did not answer in time."
    return f"Cannot reach the store at {address}: {_reason(answer).rstrip('.')}."


def _reason(error: exceptions.RedisError) -> str:
    cause = error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate verify failed, {cause.verify_message}"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and (cause.errno or 0) > 0:
        # asyncio writes the address into the text of the error and leaves the reason out.
        return os.strerror(cause.errno or 0)
    return str(error)
