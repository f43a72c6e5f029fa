"""Which SQLite library this process runs with."""

from __future__ import annotations

import sqlite3
from typing import Final

SQLITE_VERSION: Final[tuple[int, ...]] = sqlite3.sqlite_version_info
"""As three numbers, e.g. (3, 40, 1)."""
