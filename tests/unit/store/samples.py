"""Small values for the store's tests."""

from __future__ import annotations

from pathlib import Path

from relay.decide.keys import subject_keys
from relay.model import (
    Address,
    Copy,
    CopyState,
    Kind,
    MailingList,
    Party,
    StoredMessage,
    SubjectKeys,
    Tenant,
)
from relay.ports import Clock
from relay.settings import Store as StoreSettings
from relay.store import Store

PEPPER = b"p" * 32
RESERVE = 65_536


async def open_store(
    data_dir: Path, clock: Clock, *, wait: float = 5.0, large_body: int = 262_144
) -> Store:
    """A store with a small reserve."""
    settings = StoreSettings(wait=wait, large_body=large_body, min_free_bytes=0)
    return await Store.open(
        data_dir, settings=settings, clock=clock, pepper=PEPPER, reserve_bytes=RESERVE
    )


def address(text: str, wide: str | None = None) -> Address:
    """An address that is its own keys, unless told."""
    local, _, domain = text.rpartition("@")
    return Address(text, local, domain, text.lower(), wide or text.lower())


def person(text: str, wide: str | None = None) -> SubjectKeys:
    """The keys of ``address``."""
    return subject_keys(PEPPER, address(text, wide))


def tenant(slug: str = "shop") -> Tenant:
    """A customer, not added yet."""
    return Tenant(0, slug, Party(slug.title(), "Street 1, Town", f"info@{slug}.test"))


def newsletter(tenant_id: int, slug: str = "news", **fields: object) -> MailingList:
    """A commercial list, not added yet."""
    values = {"kind": Kind.COMMERCIAL, "purpose": "news", "promise": "1/week", **fields}
    return MailingList(0, tenant_id, slug, **values)  # type: ignore[arg-type]


def message(
    number: str, *, size: int = 5, at: float = 1_800_000_000.0, n: int = 1
) -> StoredMessage:
    """A message of tenant 1."""
    return StoredMessage(
        id=number,
        at=at,
        tenant_id=1,
        list_id=None,
        kind=Kind.COMMERCIAL,
        declared=True,
        mail_from="news@shop.test",
        header=b"From: news@shop.test\r\n\r\n",
        body_hash=b"h" * 32,
        body_size=size,
        subject="Hello",
        from_address="news@shop.test",
        recipient_count=n,
    )


def copy(number: str, seq: int = 1, state: CopyState = CopyState.WAITING, **fields: object) -> Copy:
    """One recipient's copy."""
    to = address(f"person{seq}@ok.test")
    return Copy(number, seq, to, state, digest="d" * 16, **fields)  # type: ignore[arg-type]
