"""The one table that holds addresses in clear."""

from __future__ import annotations

from typing import Final

# The address as it was first given stays: another spelling of it is anybody's.
KEEP_ADDRESS: Final = (
    "INSERT INTO subjects (exact, wide, address) VALUES (?, ?, ?)"
    " ON CONFLICT (exact) DO UPDATE SET address = coalesce(address, excluded.address)"
)
"""Parameters: exact and wide key (hex), address."""
