"""Where a proof goes: to stdout, or whole into a new file."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from relay.operate.errors import OperationError
from relay.ports import Json

Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write to a new file instead of stdout."),
]


async def put(pieces: AsyncIterator[Json], output: Path | None) -> None:
    """Print the pieces, or write them to ``output`` (mode 0600, never over another file, nothing
    left when the proof cannot be finished). Raises OperationError."""
    if output is None:
        async for piece in pieces:
            sys.stdout.write(str(piece))
        return
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise OperationError(f"{output} exists already and is not overwritten", status=2) from error
    except OSError as error:
        raise OperationError(f"{output} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(file, "wb") as out:
            async for piece in pieces:
                out.write(str(piece).encode())
            out.flush()
            os.fsync(out.fileno())
    except BaseException as error:
        os.unlink(output)
        if isinstance(error, OSError):
            raise OperationError(f"{output} cannot be written: {error.strerror}") from error
        raise
