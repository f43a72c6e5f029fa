"""The command line ``consent-relay``: one file per command group."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command of ``sys.argv`` and leave with its exit status (0, 1 or 2)."""
    # Imported here so that ``relay.cli.demo`` and tests can import this package on its own.
    from relay.cli.program import run

    sys.exit(run(sys.argv[1:]))
