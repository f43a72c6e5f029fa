"""Signatures that others made, and that our changes break."""

from __future__ import annotations

import re
from collections.abc import Set

from relay.transform.headers import Field, HeaderBlock

_COVERED = re.compile(rb"(?:^|;)[ \t]*h[ \t]*=([^;]*)")


def without_broken(block: HeaderBlock, touched: Set[str]) -> HeaderBlock:
    """The block without each DKIM-Signature that covers a touched field (names in lower case).

    A signature covers an absent field too when ``h=`` names it (RFC 6376 section 5.4), so adding
    such a field breaks it as well. One whose ``h=`` cannot be read protects nothing and goes.
    """
    if not touched:
        return block
    kept = tuple(
        [
            field
            for field in block.fields
            if field.name != "dkim-signature" or _holds(field, touched)
        ]
    )
    return block if len(kept) == len(block.fields) else HeaderBlock(kept)


def _holds(signature: Field, touched: Set[str]) -> bool:
    match = _COVERED.search(signature.value)
    if match is None:
        return False
    names = match[1].decode("ascii", "replace").lower().split(":")
    return touched.isdisjoint([name.strip() for name in names])
