"""What both ends of the control socket share: its lines and its name.

Each line is one JSON object. A request is ``{"call": NAME, "with": {…}}``; the answer is any number
of ``{"progress": [DONE, TOTAL]}`` or ``{"item": …}`` and then ``{"result": …}`` or ``{"error":
SENTENCE, "status": 1|2}``. Requests of one connection are answered in order; a connection takes any
number of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from relay.ports import Json

LINE_LIMIT: Final = 128 * 1024 * 1024
"""Octets of one line: holds a message of the largest size for ``explain`` in base64."""

# sockaddr_un holds 108 octets with the closing NUL.
_PATH_LIMIT: Final = 107


def encode(value: Json) -> bytes:
    """One line."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name of ``path`` that fits sockaddr_un, also when the directory is deep."""
    if len(os.fsencode(path)) <= _PATH_LIMIT:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
