"""The stand-in for mail on a gateway that no tenant owns."""

from __future__ import annotations

from relay.model import Party, Tenant
from relay.settings import Operator

UNOWNED_ID = 0
"""Tenant id of mail that only the operator may decide on."""


def unowned(operator: Operator) -> Tenant:
    """A tenant that nobody is, under which the operator finds such mail."""
    return Tenant(
        id=UNOWNED_ID,
        slug="-",
        party=Party(operator.name, "", operator.contact),
        rulebooks=("base",),
        is_operator=True,
    )
