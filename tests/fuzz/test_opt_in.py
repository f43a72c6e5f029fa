"""Random histories of asking and confirming at two tenants (A3, A4, B6; S14, S15)."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.decide.address import parse_address
from relay.store.people.imports import ImportRow
from tests.unit.consent.asking import Letter, People, keys, open_people

DAY = 86_400.0
SPELLINGS = ("jane@people.test", "jane+a@people.test", "joe@people.test")

STEP = st.tuples(
    st.sampled_from(
        ("ask", "ask", "ask", "deliver", "press", "press", "leave", "complain", "import")
    ),
    st.sampled_from(("shop", "shop", "club")),
    st.integers(0, 2),
    st.sampled_from((1.0, 600.0, 30_000.0, DAY, 3 * DAY)),
)
Steps = Sequence[tuple[str, str, int, float]]


@dataclass
class Run:
    """What a history did, seen from outside."""

    people: People
    posted: list[tuple[float, str, Letter]] = field(default_factory=list)
    left: dict[tuple[str, str], float] = field(default_factory=dict)

    async def step(self, act: str, tenant: str, number: int) -> None:
        people, spelling = self.people, SPELLINGS[number]
        whose = people.shop if tenant == "shop" else people.club
        now = people.clock.now()
        person = (tenant, parse_address(spelling).wide)
        if act == "ask":
            before = len(people.letters)
            await people.ask(spelling, tenant=tenant, ip=f"192.0.2.{number}")
            self.posted += [(now, person[1], letter) for letter in people.letters[before:]]
        elif act == "deliver":
            for _, _, letter in self.posted:
                if letter.tenant == tenant:
                    await people.delivered(letter)
        elif act == "press":
            await self.press(number)
        elif act == "leave":
            await people.store.consents.withdraw(whose.id, keys(spelling), at=now, channel="page")
            self.left[person] = now
        elif act == "complain":
            await people.store.consents.complain(whose.id, keys(spelling), at=now)
            self.left[person] = now
        else:
            book = people.store.imports
            imported = await book.begin("optout", whose.id, at=now)
            address = parse_address(spelling)
            row = ImportRow(1, people.store.keys(address), address.wire, now)
            await book.stage(imported, [row])
            await book.commit(imported)
            self.left[person] = now

    async def press(self, number: int) -> None:
        """Press the button of a mail sent some time ago, and see that it had a right to work."""
        if number >= len(self.posted):
            return
        at, wide, letter = self.posted[-1 - number]
        page = await self.people.opt_in.confirm(letter.token, ip="203.0.113.5", user_agent="")
        same = [p for p in self.posted if (p[1], p[2].tenant) == (wide, letter.tenant)]
        dead = (
            self.left.get((letter.tenant, wide), 0.0) >= at
            or same[-1][2] is not letter
            or self.people.clock.now() >= at + 7 * DAY
        )
        if dead and page is not None:
            # Only what was confirmed while it lived is still shown, and only until the person left.
            assert self.left.get((letter.tenant, wide), 0.0) < at
            granted = [
                data for kind, data in await self.people.events() if kind == "consent.granted"
            ]
            granted += [
                data
                for kind, data in await self.people.events(self.people.club)
                if kind == "consent.granted"
            ]
            assert letter.id in [data["evidence"]["mail"]["message_id"] for data in granted]
        assert dead or page is not None


async def play(steps: Steps, *, without: str | None = None, **caps: int) -> tuple[Run, list[Any]]:
    """Run a history; ``without``: that tenant does nothing, though time passes for it too."""
    with tempfile.TemporaryDirectory() as folder:
        people = await open_people(Path(folder) / "data", **caps)
        run = Run(people)
        for act, tenant, number, pause in steps:
            people.clock.advance(pause)
            if tenant != without:
                await run.step(act, tenant, number)
        own = [
            (kind, data.get("brand"), data.get("list"), data.get("expires_at"))
            for kind, data in await people.events()
            if kind not in ("notice.version", "confirmation.mailed")
        ]
        await people.store.close()
        return run, own


@settings(max_examples=15, deadline=None)
@given(st.lists(STEP, min_size=5, max_size=25))
def test_no_token_outlives_its_request(steps: Steps) -> None:
    run, _ = asyncio.run(play(steps))
    for at, wide, letter in run.posted:
        day = [p for p in run.posted if p[1] == wide and at <= p[0] < at + DAY]
        assert len(day) <= 5
        assert len([p for p in day if p[2].tenant == letter.tenant]) == 1


@settings(max_examples=10, deadline=None)
@given(st.lists(STEP.filter(lambda step: step[0] != "press"), min_size=5, max_size=25))
def test_what_one_tenant_has_on_record_never_depends_on_the_other(steps: Steps) -> None:
    """Only whether a mail leaves does: a person's mailbox is one, whoever fills it."""
    _, together = asyncio.run(play(steps, mails_per_address=1))
    _, alone = asyncio.run(play(steps, without="club", mails_per_address=1))
    assert together == alone
