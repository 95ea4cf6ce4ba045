"""Ports of this machine, for tests of servers."""

import socket
from contextlib import suppress
from random import SystemRandom


def free_port() -> int:
    """A port that nobody listens at now, outside of the range from which systems choose ports of
    connections: another test could get one of these before it is used.
    """
    for port in SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as listening, suppress(OSError):
            listening.bind(("", port))
            return port
    raise AssertionError("no free port")
