"""What other software tells us of people who left: an opt-out by a link in the body of its mail.

The secret in the URL says which tenant speaks, and about which list. All end in the same durable
event as a click on our own link (clause B22); nothing that comes in here can grant consent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from relay.consent.withdrawing import Withdrawing
from relay.decide.address import AddressError, parse_address
from relay.decide.hook_formats import (
    Heard,
    HookFormat,
    HookUnreadable,
    What,
    read_hook,
)
from relay.model import MailingList, Tenant
from relay.ports import Json
from relay.store.outbox.inbound_hooks import InboundHook
from relay.store.store import Store
from relay.web.hooks import HookAnswer

log = logging.getLogger("relay.hooks")

TOGETHER: Final = 50
"""Persons of one batch whose opt-outs are under way at once, to share commits."""


class Receiving:
    """Implements the public listener's ``HookDoor``."""

    def __init__(
        self, store: Store, withdrawing: Withdrawing, complained: Callable[[str, str], None]
    ) -> None:
        """``complained`` is told tenant slug and source (``hook``) of each complaint recorded."""
        self._store = store
        self._withdrawing = withdrawing
        self._complained = complained

    async def opens(self, secret: str) -> bool:
        """Whether there is a hook with this secret. Raises StoreTrouble."""
        return await self._open(secret) is not None

    async def receive(
        self, secret: str, *, content_type: str, body: bytes, ip: str, user_agent: str
    ) -> HookAnswer | None:
        """Record what a body says; durable and in force on return.

        None: no hook has this secret. Raises StoreTrouble: what was recorded before stays, and the
        same body may be sent again.
        """
        found = await self._open(secret)
        if found is None:
            return None
        hook, tenant, mailing_list = found
        try:
            read = read_hook(HookFormat(hook.format), content_type, body)
        except HookUnreadable as error:
            log.warning("hook %s of tenant %s: %s", hook.name, tenant.slug, error)
            return HookAnswer(understood=False)
        evidence = {"hook": hook.name, "format": hook.format, "ip": ip, "user_agent": user_agent}
        recorded = unreadable = 0
        for start in range(0, len(read.heard), TOGETHER):
            some = read.heard[start : start + TOGETHER]
            done = await self._record(tenant, mailing_list, some, evidence)
            recorded += done.count(True)
            unreadable += done.count(None)
        if unreadable:
            log.warning(
                "hook %s of tenant %s: %d persons without a readable address",
                hook.name,
                tenant.slug,
                unreadable,
            )
        # Sent again, the same body would fail again: only when nothing in it could be used is
        # the sender told so.
        useful = len(read.heard) > unreadable or not unreadable
        return HookAnswer(useful, recorded, read.ignored, unreadable)

    async def _open(self, secret: str) -> tuple[InboundHook, Tenant, MailingList | None] | None:
        hook = await self._store.inbound_hooks.of_secret(secret)
        if hook is None:
            return None
        directory = self._store.directory
        tenant = directory.tenants.get(hook.tenant_id)
        if tenant is None:
            return None
        # A list that is gone leaves the tenant: rather too much stops than nothing.
        return hook, tenant, directory.mailing_list(hook.list_id)

    async def _record(
        self,
        tenant: Tenant,
        mailing_list: MailingList | None,
        some: Sequence[Heard],
        evidence: Mapping[str, Json],
    ) -> list[bool | None]:
        """For each person whether anything had to be written; None for an address that is none."""
        done = await asyncio.gather(
            *(self._one(tenant, mailing_list, heard, evidence) for heard in some),
            return_exceptions=True,
        )
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in done if not isinstance(outcome, BaseException)]

    async def _one(
        self,
        tenant: Tenant,
        mailing_list: MailingList | None,
        heard: Heard,
        evidence: Mapping[str, Json],
    ) -> bool | None:
        try:
            keys = self._store.keys(parse_address(heard.address))
        except AddressError:
            return None
        if heard.what is What.COMPLAINED:
            complaint = await self._withdrawing.complain(tenant, keys, evidence=evidence)
            if complaint.recorded:
                self._complained(tenant.slug, "hook")
            return complaint.recorded
        left = await self._withdrawing.withdraw(
            tenant, keys, mailing_list=mailing_list, channel="hook", evidence=evidence
        )
        return left.recorded
