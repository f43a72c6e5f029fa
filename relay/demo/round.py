"""Sends the demo's messages by real SMTP and looks up what became of each recipient."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage

from relay.demo.house import House
from relay.demo.people import act
from relay.demo.scenarios import SCENARIOS, Scenario
from relay.demo.sink import Sink
from relay.model import CopyState

SETTLE_SECONDS = 20.0
FATES = {
    CopyState.SENT: "sent",
    CopyState.HELD: "held",
    CopyState.DROPPED: "dropped",
    CopyState.REJECTED: "refused",
    CopyState.BOUNCED: "bounced",
    CopyState.WAITING: "waiting",
    CopyState.EXPIRED: "expired",
    CopyState.DELETED: "deleted",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one recipient."""

    scenario: str
    recipient: str
    expected: str
    fate: str
    reason: str
    """Slug, or empty."""
    said: str
    """The reply that the sending software got."""

    @property
    def right(self) -> bool:
        """Whether it is what had to happen."""
        return self.fate == self.expected


async def play(house: House, sink: Sink) -> AsyncIterator[Row]:
    """Send every scenario in turn; one row for each recipient."""
    for scenario in SCENARIOS:
        if scenario.first is not None:
            await act(scenario.first, house, sink, scenario.recipients[0])
        said = await asyncio.to_thread(_send, house, scenario)
        for recipient, expected in scenario.expected:
            fate, reason = await _fate(house, said, recipient, expected)
            yield Row(scenario.name, recipient, expected, fate, reason, said)


def _send(house: House, scenario: Scenario) -> str:
    message = EmailMessage()
    message["From"] = scenario.sender
    message["To"] = ", ".join(scenario.recipients)
    message["Subject"] = scenario.subject
    for name, value in scenario.fields:
        message[name] = value
    message.set_content(f"{scenario.subject}, from the demo.\n")
    with smtplib.SMTP(*house.smtp) as client:
        client.login(*house.accounts[scenario.account])
        client.mail(f"bounces@{house.domains[scenario.account]}")
        for recipient in scenario.recipients:
            client.rcpt(recipient)
        code, text = client.data(message.as_bytes())
    return f"{code} {text.decode()}"


async def _fate(house: House, said: str, recipient: str, expected: str) -> tuple[str, str]:
    """Fate and reason of one copy; waits while it is still on its way."""
    if not said.startswith("250"):
        return "refused", said.partition("reason=")[2].partition(" ")[0]
    message_id = said.partition("Ok: ")[2].partition(" ")[0]
    mail = house.relay.store.mail
    seqs = range(1, 100)
    copies = await mail.copies(message_id, seqs)
    seq = next(copy.seq for copy in copies if copy.recipient.wire == recipient)
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            record = await mail.record(f"{message_id}.{seq}")
            assert record is not None
            if record.state is not CopyState.WAITING or expected == "waiting":
                return FATES[record.state], str(record.reason or "")
            await asyncio.sleep(0.02)
