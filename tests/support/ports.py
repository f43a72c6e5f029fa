"""Free TCP ports for servers that other processes must find."""

from __future__ import annotations

import random
import socket

# Below the ephemeral range of Linux (32768 up), so that no outgoing connection takes one between
# our look and the server's bind.
LOWEST, HIGHEST = 12_000, 32_000

# Hypothesis seeds the global generator: test workers would all draw the same ports.
_random = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """A loopback TCP port that nothing listens on now and that was not given out before."""
    for _ in range(1000):
        port = _random.randrange(LOWEST, HIGHEST)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free loopback port found")
