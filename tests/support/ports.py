"""Ports for servers that must be told theirs before they start."""

import random
import socket


def free_ports(count: int, *, beside: int = 0) -> list[int]:
    """So many ports of 127.0.0.1, all different, which nobody listens on just now.

    They lie below those that the kernel gives to connections, so that no connection takes one meanwhile. `beside`:
    the port so much above each is free too.
    """
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1000):
        if _is_free(port) and (not beside or _is_free(port + beside)):
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
