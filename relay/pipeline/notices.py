"""Telling a tenant that mail of theirs is held: the first hold of a day at once, then one digest.

At most three notices for each tenant and UTC day, whatever happens: mail about mail must not become
a flood of its own.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address as MailAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Protocol

from relay.clock import DAY
from relay.decide.address import AddressError, parse_address
from relay.model import Directory, Reason, Tenant
from relay.pipeline.generated import Generated
from relay.pipeline.unowned import UNOWNED_ID, unowned
from relay.ports import Clock
from relay.settings import Settings

log = logging.getLogger("relay.notices")

SHOWN = 20
"""Held copies listed in a digest; the rest is counted."""


class HeldCopy(Protocol):
    """One line of a digest (``relay.store.mail.rows.CopyRecord``)."""

    @property
    def id(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def tenant_id(self) -> int: ...
    @property
    def to(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def reason(self) -> Reason | None: ...


class NoticeLog(Protocol):
    """Remembers across restarts which notices were sent (``relay.store.notices``)."""

    async def claim(self, tenant_id: int, kind: str, day: int) -> bool:
        """True for the first to ask for this notice; durable. Raises StoreTrouble."""


class HeldMail(Protocol):
    """Lists what is held (``relay.store.mail.mail``)."""

    async def held_since(self, since: float) -> Sequence[HeldCopy]:
        """Held copies accepted since then, oldest first. Raises StoreTrouble."""


class Notices:
    """Writes to the contact of each tenant whose mail is held."""

    def __init__(
        self,
        *,
        directory: Callable[[], Directory],
        log: NoticeLog,
        mail: HeldMail,
        generated: Generated,
        new_id: Callable[[], str],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._log = log
        self._mail = mail
        self._generated = generated
        self._new_id = new_id
        self.settings = settings
        self._clock = clock
        self._told: set[tuple[int, int]] = set()

    async def first_hold(
        self, tenant: Tenant, copy_id: str, subject: str, reason: Reason | None
    ) -> None:
        """Tell of the first copy held on a day; later ones are left to the digest."""
        day = int(self._clock.now() // DAY)
        if (tenant.id, day) in self._told:
            return
        self._told = {told for told in self._told if told[1] == day} | {(tenant.id, day)}
        if not await self._log.claim(tenant.id, "first-hold", day):
            return
        base = self.settings.http.public_url.rstrip("/")
        text = (
            f"A message that you sent was not passed on but is held.\n\n"
            f"    Message:  {copy_id}\n"
            f"    Subject:  {_line(subject)}\n"
            f"    Reason:   {reason} ({base}/why/{reason})\n\n"
            f"Nothing is lost: it waits for {self.settings.limits.quarantine_days} days. If more "
            f"is held today, you will\nhear of it once, in tomorrow's summary.\n\n{self._how_to()}"
        )
        await self._post(tenant, "Mail of yours is held", text)

    async def digests(self) -> None:
        """One summary for each tenant of what was held yesterday and still is."""
        now = self._clock.now()
        day = int(now // DAY)
        yesterday = (day - 1) * DAY
        held = [copy for copy in await self._mail.held_since(yesterday) if copy.at < day * DAY]
        for tenant_id in sorted({copy.tenant_id for copy in held}):
            tenant = self._tenant(tenant_id)
            if tenant is None or not await self._log.claim(tenant_id, "digest", day):
                continue
            mine = [copy for copy in held if copy.tenant_id == tenant_id]
            await self._post(tenant, f"{len(mine)} held messages", self._digest(mine))

    async def expired(self, copies: Sequence[HeldCopy]) -> None:
        """Tell once a day that held copies reached their last day and are gone."""
        day = int(self._clock.now() // DAY)
        for tenant_id in sorted({copy.tenant_id for copy in copies}):
            tenant = self._tenant(tenant_id)
            if tenant is None or not await self._log.claim(tenant_id, "expired", day):
                continue
            mine = [copy for copy in copies if copy.tenant_id == tenant_id]
            text = (
                f"Held for {self.settings.limits.quarantine_days} days, not released, and deleted "
                f"now:\n\n{_listed(mine)}\n"
            )
            await self._post(tenant, f"{len(mine)} held messages were deleted", text)

    def _tenant(self, tenant_id: int) -> Tenant | None:
        if tenant_id == UNOWNED_ID:
            return unowned(self.settings.operator)
        return self._directory().tenants.get(tenant_id)

    def _digest(self, held: Sequence[HeldCopy]) -> str:
        base = self.settings.http.public_url.rstrip("/")
        counts = Counter(str(copy.reason) for copy in held)
        reasons = "\n".join(
            f"    {count:6}  {reason} ({base}/why/{reason})"
            for reason, count in counts.most_common()
        )
        return (
            f"Held yesterday and still waiting:\n\n{reasons}\n\n{_listed(held)}\n\n{self._how_to()}"
        )

    def _how_to(self) -> str:
        operator = self.settings.operator
        return (
            "To have a message released, or to learn what is missing, answer this mail with its\n"
            f"number. It reaches {operator.name} <{operator.contact}>, who runs this relay.\n"
        )

    async def _post(self, tenant: Tenant, subject: str, text: str) -> None:
        try:
            recipient = parse_address(tenant.party.contact)
        except AddressError as error:
            log.warning("no notice for %s: its contact is no address: %s", tenant.slug, error)
            return
        operator, unique = self.settings.operator, self._new_id()
        notice = EmailMessage(policy=SMTP)
        local, _, domain = operator.contact.rpartition("@")
        notice["From"] = MailAddress(operator.name, local, domain)
        notice["To"] = tenant.party.contact
        notice["Subject"] = subject
        notice["Date"] = format_datetime(datetime.fromtimestamp(self._clock.now(), UTC))
        notice["Message-ID"] = f"<{unique}@{self.settings.hostname}>"
        # RFC 3834 section 5: no vacation reply, no loop.
        notice["Auto-Submitted"] = "auto-generated"
        notice.set_content(text)
        await self._generated.post(unique, tenant, recipient, notice.as_bytes())


def _listed(copies: Sequence[HeldCopy]) -> str:
    lines = [
        f"    {copy.id}  {copy.reason}  to {_line(copy.to)}: {_line(copy.subject)}"
        for copy in copies[:SHOWN]
    ]
    if len(copies) > SHOWN:
        lines.append(f"    … and {len(copies) - SHOWN} more")
    return "\n".join(lines)


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
