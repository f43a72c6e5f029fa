"""Everybody who acts in a history, what they see, and what must hold whatever they do."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from relay.decide.address import parse_address
from relay.decide.facts import read_message
from relay.model import (
    Accepted,
    Action,
    Address,
    Classification,
    CopyState,
    Kind,
    MailingList,
    Tenant,
    Verdict,
)
from relay.store import scope_of
from relay.transform.token import Purpose, read
from tests.fuzz.history_bindings import check_bound
from tests.fuzz.history_model import DAY, PEOPLE, Letter, Model, Said, Sent, least, spellings
from tests.support.clock import FakeClock
from tests.support.whole_relay import SLUGS, URL, WholeRelay, unsubscribe_path

BY_CHANCE: Final = re.compile(r'("(notice|content)": |name="notice" value=)"?\w+"?')
"""Ids of notices, and salted hashes over the rows of an import: other ones in each history."""
ONE_CLICK: Final = "List-Unsubscribe=One-Click"
OF_NOBODY: Final = frozenset({"deliver", "later", "restart", "backup", "restore", "upstream"})
"""What happens to the relay as a whole."""


@dataclass(frozen=True)
class Step:
    """One thing that somebody does; what of it applies depends on ``what``."""

    what: str
    tenant: int
    person: int
    slot: int
    pick: int
    """Which of several there are, from the latest."""


class World:
    """Everybody who acts, and what they see."""

    def __init__(self, directory: Path, only: int | None) -> None:
        """With ``only`` the other tenant exists and does nothing."""
        self.clock = FakeClock()
        self.directory = directory
        self.only = only
        self.relay = WholeRelay(directory / "data", self.clock, self.posted)
        self.model = Model()
        self.kept: Model | None = None
        """As it was at the last backup."""
        self.number = 0
        self.at = self.clock.now()
        self.tokens: set[str] = set()
        self.outputs: dict[str, list[str]] = defaultdict(list)
        self.links: dict[str, list[tuple[Address, MailingList, str]]] = defaultdict(list)
        """Paths of links that left in mail, by tenant."""
        self.looked = 0
        self.twice = False
        """A restore may bring back mail that has left."""
        self.erased: set[tuple[str, str]] = set()
        self.files = 0
        self.happened: Counter[str] = Counter()

    async def build(self) -> None:
        await self.relay.make()
        for slug in SLUGS:
            self.model.lists[slug] = [
                self.list_of(slug, f"{slug}-{name}") for name in ("news", "tips", "deals")
            ]

    def tenant(self, slug: str) -> Tenant:
        found = self.relay.store.directory.tenant(slug)
        assert found is not None
        return found

    def list_of(self, tenant: str, slug: str) -> MailingList:
        found = self.relay.store.directory.list_of(self.tenant(tenant).id, slug)
        assert found is not None
        return found

    # --- what is noted ----------------------------------------------------------------------

    def posted(self, tenant: Tenant, to: Address, content: bytes) -> None:
        for text in set(re.findall(rb"https://relay\.test/c/([A-Za-z0-9._-]+)", _plain(content))):
            said = read(text.decode(), self.relay.keys.tokens, Purpose.CONFIRM)
            mailing_list = self.relay.store.directory.lists[said.list_id or 0]
            letter = Letter(
                self.number, self.clock.now(), tenant.id, to, mailing_list, text.decode()
            )
            self.model.letters.append(letter)
            self.tokens.add(text.decode())

    def note(
        self, yes: bool, tenant: int, person: Address, scope: tuple[int | None, int | None]
    ) -> None:
        self.number += 1
        self.model.said.append(
            Said(self.number, self.clock.now(), yes, tenant, person, scope[0], scope[1])
        )
        if not yes:
            self.model.sure = {
                one for one in self.model.sure if one[:2] not in spellings(tenant, person)
            }

    # --- steps ------------------------------------------------------------------------------

    async def act(self, number: int, step: Step) -> None:
        """One step, unless it is of the tenant that does nothing."""
        # The time is the same whatever the other tenant did.
        self.at += DAY if step.what == "later" else 60
        self.clock.advance(self.at - self.clock.now())
        self.number += 1
        if step.what in OF_NOBODY:
            await self.happen(step)
        elif self.only in (None, step.tenant):
            slug = SLUGS[step.tenant]
            before = await self.verdicts(slug, PEOPLE)
            done = await self.do(number, step, slug)
            self.happened[step.what] += done
            await self.after(step, slug, before, done)
        await self.look()

    async def happen(self, step: Step) -> None:
        self.happened[step.what] += 1
        match step.what:
            case "deliver":
                await self.relay.deliver()
            case "upstream":
                self.relay.upstream.down = not self.relay.upstream.down
            case "restart":
                seen = [await self.view(slug) for slug in SLUGS]
                await self.relay.close()
                await self.relay.open()
                assert [await self.view(slug) for slug in SLUGS] == seen
            case "backup":
                self.files += 1
                await self.relay.backup(self.directory / f"backup{self.files}.tar")
                self.kept = deepcopy(self.model)
            case "restore" if self.kept is not None:
                await self.relay.restore(self.directory / f"backup{self.files}.tar")
                self.twice = True
                self.model = self.restored(self.kept)

    def restored(self, kept: Model) -> Model:
        """What a backup brings back: the past, but nobody who left since."""
        model = deepcopy(kept)
        known = {one.number for one in model.said}
        stops = [one for one in self.model.said if not one.yes and one.number not in known]
        model.said += stops
        for one in stops:
            gone = spellings(one.tenant, one.person)
            model.sure = {key for key in model.sure if key[:2] not in gone}
        arrived = {letter.token for letter in self.model.letters if letter.arrived}
        for letter in model.letters:
            letter.arrived |= letter.token in arrived
        return model

    async def do(self, number: int, step: Step, slug: str) -> bool:
        """Whether it could be done."""
        person, tenant = PEOPLE[step.person], self.tenant(slug)
        mailing_list = self.model.lists[slug][step.slot]
        named = mailing_list.slug
        scope = scope_of(mailing_list)
        what_stops = least(mailing_list) if step.pick else (None, None)
        match step.what:
            case "sign up":
                return await self.sign_up(slug, mailing_list, person)
            case "sign up by API":
                body = {
                    "address": person.wire,
                    "ip": "192.0.2.7",
                    "form_url": f"https://{slug}.test/join",
                    "notice": "Mail me what is new, please.",
                }
                done = await self.ask(slug, "POST", f"/lists/{named}/subscriptions", body)
                assert done.status_code == 202
            case "confirm":
                return await self.confirm(step, slug)
            case "signed":
                at = self.clock.now() - (0, 60, DAY, 90 * DAY)[step.pick]
                token = self.relay.signed(slug, named, person.wire, at, f"n{number}")
                body = {"basis": "approved", "list": named, "token": token}
                done = await self.ask(slug, "POST", "/consents", body)
                assert done.status_code in (200, 201), done.text
                if done.status_code == 201:
                    self.note(True, tenant.id, person, scope)
                    self.model.said[-1] = replace(self.model.said[-1], at=float(int(at)))
            case "attest":
                body = {
                    "basis": "attested",
                    "list": named,
                    "address": person.wire,
                    "collected_at": "2026-01-02",
                    "origin": "counter",
                    "accepted_by": "Anna Jansen",
                    "version": (await self.ask(slug, "GET", "/terms")).json()["version"],
                }
                done = await self.ask(slug, "POST", "/consents", body)
                assert done.status_code in (200, 201), done.text
            case "import":
                return await self.bring(number, step, slug, named)
            case "one-click" | "page":
                return await self.click(step, slug)
            case "own page":
                return await self.own_page(step, slug)
            case "links":
                wanted = {"list": named, "addresses": [person.wire]}
                made = (await self.ask(slug, "POST", "/links", wanted)).json()["links"]
                path = made[0]["url"].removeprefix(URL)
                assert (await self.relay.page(path, ONE_CLICK)).status_code == 200
                self.note(False, tenant.id, person, least(mailing_list))
            case "API":
                leaving = {"address": person.wire, "list": named if step.pick else None}
                assert (await self.ask(slug, "POST", "/optouts", leaving)).status_code == 200
                self.note(False, tenant.id, person, what_stops)
            case "hook" | "complaint" as what:
                said = "unsubscribed" if what == "hook" else "complaint"
                told = json.dumps({"event": said, "email": person.wire})
                fields = {"Content-Type": "application/json"}
                done = await self.relay.page(self.relay.hooks[slug], told, **fields)
                assert done.status_code == 200, done.text
                self.note(False, tenant.id, person, (None, None))
            case "command":
                list_ = named if step.pick else None
                await self.relay.command(
                    "consent.withdraw", address=person.wire, tenant=slug, list=list_
                )
                self.note(False, tenant.id, person, what_stops)
            case "opt-out import":
                begun = await self.relay.command("import.begin_optouts", tenant=slug)
                rows = [[2, {"address": person.wire}]]
                bad = await self.relay.command(
                    "import.optout_rows", number=begun["import"], rows=rows
                )
                assert bad == []
                await self.relay.command("import.commit", number=begun["import"])
                self.note(False, tenant.id, person, (None, None))
            case "erase":
                spelled = [one for one in PEOPLE if one.wide == person.wide]
                known = [(await self.record(slug, one))["standings"] for one in spelled]
                body = {"address": person.wire}
                assert (await self.ask(slug, "POST", "/erasures", body)).status_code == 200
                self.erased.add((slug, person.wide))
                if any(known):
                    self.note(False, tenant.id, person, (None, None))
            case "recreate":
                await self.relay.command("list.archive", tenant=slug, slug=named)
                self.model.lists[slug][step.slot] = await self.relay.add_list(
                    *(tenant, f"again{number}", mailing_list.consent_scope, mailing_list.brand_id)
                )
            case "mail" | "receipt" as what:
                await self.mail(number, step, slug, what)
            case "release":
                return await self.release(step, slug)
        return True

    async def sign_up(self, slug: str, mailing_list: MailingList, person: Address) -> bool:
        path = f"/s/{slug}/{mailing_list.slug}"
        page = await self.relay.page(path)
        notice = re.search(r'name="notice" value="(\d+)"', page.text)
        assert notice is not None, page.text
        form = f"notice={notice[1]}&agree=yes&address={person.wire.replace('+', '%2B')}"
        assert (await self.relay.page(path, form)).status_code == 200
        return True

    async def confirm(self, step: Step, slug: str) -> bool:
        """A person presses the button of one of the letters that ever came."""
        tenant = self.tenant(slug)
        letters = [one for one in self.model.letters if one.tenant == tenant.id and one.arrived]
        if not letters:
            return False
        letter = letters[-1 - step.pick % len(letters)]
        dead = self.model.dead(letter, self.clock.now())
        shown = await self.relay.page(f"/c/{letter.token}")
        self.clock.advance(30)
        done = await self.relay.page(f"/c/{letter.token}", "confirm=1")
        assert shown.status_code == done.status_code
        assert done.status_code == 404 or not dead, "a dead token works"
        if done.status_code == 404:
            assert dead or self.model.left_since(letter), "a living token does not work"
            return False
        if letter.used:
            return False
        letter.used = True
        self.note(True, tenant.id, letter.person, scope_of(letter.mailing_list))
        here = self.relay.store.directory.lists[letter.mailing_list.id]
        (verdict,) = await self.judged(slug, here, [letter.person])
        assert verdict.action is Action.DELIVER, verdict
        self.model.sure.add((tenant.id, letter.person.exact, here.id))
        return True

    async def bring(self, number: int, step: Step, slug: str, named: str) -> bool:
        """Everybody, or all but one; the same people again and again."""
        people = [person for person in PEOPLE if step.pick or person is not PEOPLE[step.person]]
        rows = "".join(f"{person.wire},attested,2026-01-02,counter\r\n" for person in people)
        file = f"address,basis,collected_at,origin\r\n{rows}{' ' * (number % 3)}".encode()
        digest = hashlib.sha256(file).hexdigest()
        version = (await self.ask(slug, "GET", "/terms")).json()["version"]
        accepted = {"version": version, "accepted_by": "Anna", "content_digest": digest}
        done = await self.ask(slug, "POST", f"/lists/{named}/acceptances", accepted)
        assert done.status_code == 201, done.text
        done = await self.ask(
            *(slug, "POST", f"/lists/{named}/imports"),
            params={"source": "paper", "sha256": digest, "skip_bad": "true"},
            headers={"Content-Type": "text/csv"},
            content=file,
        )
        assert done.status_code == 200, done.text
        return True

    async def click(self, step: Step, slug: str) -> bool:
        """The link of a newsletter that came, also of long ago."""
        links = self.links[slug]
        if not links:
            return False
        person, mailing_list, path = links[-1 - step.pick % len(links)]
        tenant = self.tenant(slug)
        if step.what == "one-click":
            assert (await self.relay.page(path, ONE_CLICK)).status_code == 200
            self.note(False, tenant.id, person, least(mailing_list))
            return True
        assert (await self.relay.page(path)).status_code == 200
        wider = ("", "&scope=brand", "&scope=tenant", "")[step.pick]
        assert (await self.relay.page(path, f"confirm=1{wider}")).status_code == 200
        at = least(mailing_list)
        if wider == "&scope=brand" and mailing_list.brand_id is not None:
            at = (mailing_list.brand_id, None)
        elif wider:
            at = (None, None)
        self.note(False, tenant.id, person, at)
        return True

    async def own_page(self, step: Step, slug: str) -> bool:
        """The person asks for their record by the link in a mail, and stops one list there."""
        links = self.links[slug]
        if not links or self.relay.upstream.down:
            return False
        person, mailing_list, path = links[-1 - step.pick % len(links)]
        assert (await self.relay.page(path, "record=1")).status_code == 200
        before = len(self.relay.upstream.sent)
        await self.relay.deliver()
        # What else left now, left before the person's next word.
        await self.look()
        found = re.findall(
            rb"https://relay\.test(/p/[A-Za-z0-9._-]+)",
            b"".join(
                _plain(content)
                for _, to, content in self.relay.upstream.sent[before:]
                if to == person.wire
            ),
        )
        if not found:
            return False
        own = found[-1].decode()
        shown = await self.relay.page(own)
        assert shown.status_code == 200
        other = SLUGS[1 - SLUGS.index(slug)]
        assert other not in shown.text.lower(), "another tenant stands on the page"
        receipt = await self.relay.page(f"{own}/receipt.json")
        assert receipt.status_code == 200
        assert other not in receipt.text.lower(), "another tenant stands in the receipt"
        done = await self.relay.page(own, f"stop=list:{mailing_list.id}")
        if mailing_list.id in self.relay.store.directory.lists:
            assert done.status_code == 200
            self.note(False, self.tenant(slug).id, person, least(mailing_list))
        return True

    async def mail(self, number: int, step: Step, slug: str, what: str) -> None:
        """To everybody in one transaction, or to one person."""
        people = PEOPLE if step.pick else [PEOPLE[step.person]]
        mailing_list = self.model.lists[slug][step.slot]
        if what == "receipt":
            mailing_list = self.list_of(slug, f"{slug}-receipts")
        name = f"m{number}"
        done = await self.relay.submit(slug, mailing_list.slug, people, name=name)
        assert isinstance(done, Accepted), done
        assert [verdict.recipient for verdict in done.verdicts] == people
        self.model.messages[name] = Sent(slug, mailing_list, list(people))
        for verdict in done.verdicts:
            self.check(slug, mailing_list, verdict)

    async def release(self, step: Step, slug: str) -> bool:
        held = (await self.ask(slug, "GET", "/quarantine")).json()["copies"]
        if not held:
            return False
        wanted = held[-1 - step.pick % len(held)]["id"]
        done = await self.ask(slug, "POST", f"/quarantine/{wanted}/release")
        assert done.status_code == 200, done.text
        return bool(done.json()["released"])

    # --- what must hold ---------------------------------------------------------------------

    def check(self, slug: str, mailing_list: MailingList, verdict: Verdict) -> None:
        passes = verdict.action is Action.DELIVER
        if mailing_list.kind is Kind.TRANSACTIONAL:
            assert passes, verdict
            return
        tenant, person = self.tenant(slug).id, verdict.recipient
        if passes:
            assert self.model.may(tenant, person, mailing_list), (mailing_list.slug, verdict)
        if (tenant, person.exact, mailing_list.id) in self.model.sure:
            assert passes, (mailing_list.slug, verdict)

    async def judged(
        self, slug: str, mailing_list: MailingList, people: list[Address]
    ) -> tuple[Verdict, ...]:
        header = f"From: {slug} <news@{slug}.test>\r\nSubject: Hi\r\n\r\n".encode()
        assessment = await self.relay.assessor.assess(
            self.tenant(slug),
            read_message(header, "relay.test"),
            Classification(mailing_list.kind, True, (), mailing_list),
            parse_address(f"news@{slug}.test"),
            people,
            now=self.clock.now(),
        )
        return tuple(assessment.verdicts)

    async def verdicts(self, slug: str, people: list[Address]) -> dict[tuple[str, int], Verdict]:
        """Of every list of the tenant, those that are gone too."""
        tenant = self.tenant(slug)
        return {
            (verdict.recipient.exact, one.id): verdict
            for one in self.relay.store.directory.lists.values()
            if one.tenant_id == tenant.id
            for verdict in await self.judged(slug, one, people)
        }

    async def after(
        self, step: Step, slug: str, before: dict[tuple[str, int], Verdict], done: bool
    ) -> None:
        """Every verdict agrees with the model, and one consent never takes two opt-outs (B21)."""
        directory = self.relay.store.directory
        seen = await self.verdicts(slug, PEOPLE)
        for (_, list_id), verdict in seen.items():
            self.check(slug, directory.lists[list_id], verdict)
        last = self.model.said[-1] if self.model.said else None
        if not done or last is None or last.yes or last.number != self.number:
            return
        ended = {
            before[person.exact, one.id].consent_event
            for person in PEOPLE
            if person.wide == last.person.wide and person.exact == last.person.exact
            for one in directory.lists.values()
            if (person.exact, one.id) in before and one.id == last.list
        } - {None}
        for (exact, list_id), verdict in seen.items():
            if verdict.action is Action.DELIVER and exact == last.person.exact:
                assert verdict.consent_event not in ended or (
                    directory.lists[list_id].kind is Kind.TRANSACTIONAL
                ), verdict

    async def look(self) -> None:
        """At what reached the upstream since the last look."""
        arrived = self.relay.upstream.sent[self.looked :]
        self.looked += len(arrived)
        for _, to, content in arrived:
            plain = _plain(content)
            for letter in self.model.letters:
                if letter.token.encode() in plain:
                    assert to == letter.person.wire
                    letter.arrived = True
            subject = re.search(rb"^Subject: (m\d+)\r$", content, re.M)
            sent = self.model.messages.get(subject[1].decode()) if subject else None
            if subject is None or sent is None or sent.mailing_list.kind is Kind.TRANSACTIONAL:
                continue
            person = parse_address(to)
            mailing_list = self.relay.store.directory.lists[sent.mailing_list.id]
            assert self.model.may(self.tenant(sent.tenant).id, person, mailing_list), (
                f"mail to {to} after the opt-out"
            )
            path = unsubscribe_path(content)
            self.links[sent.tenant].append((person, mailing_list, path))
            check_bound(
                self.relay.settings.data_dir,
                subject[1].decode(),
                mailing_list.tenant_id,
                person,
                self.relay.store.keys(person),
                mailing_list,
            )
        assert self.relay.witness.after_optout == []

    # --- what a tenant sees -----------------------------------------------------------------

    async def ask(self, slug: str, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = await self.relay.api(slug, method, path, body, **more)
        self.outputs[slug].append(answer.text)
        return answer

    async def record(self, slug: str, person: Address) -> Any:
        answer = await self.ask(slug, "GET", "/consents", params={"address": person.wire})
        assert answer.status_code == 200
        return answer.json()

    async def view(self, slug: str) -> list[str]:
        """Everything that the tenant can look at, in words that do not depend on when."""
        seen = [(await self.ask(slug, "GET", path)).text for path in ("/lists", "/quarantine")]
        after, more = None, True
        while more:
            params: dict[str, str] = {} if after is None else {"after": after}
            page = (await self.ask(slug, "GET", "/events", params=params)).json()
            # The cursor holds a salted hash, which is another one in each history.
            after, more = page["next"], page["more"]
            seen += [json.dumps(one) for one in page["events"]]
        seen += [json.dumps(await self.record(slug, person)) for person in PEOPLE]
        wanted = {
            "list": self.model.lists[slug][0].slug,
            "addresses": [person.wire for person in PEOPLE],
        }
        made = (await self.relay.api(slug, "POST", "/links", wanted)).json()["links"]
        for link in made:
            path = link["url"].removeprefix(URL)
            page = (await self.relay.page(path)).text
            seen.append(page.replace(path, "").replace(path.rpartition("/")[2], ""))
        people = await self.verdicts(slug, PEOPLE)
        seen += [f"{verdict.action} {verdict.reason}" for verdict in people.values()]
        return [BY_CHANCE.sub("", text) for text in seen]

    async def end(self) -> None:
        """Let everything go that may, and count."""
        self.relay.upstream.down = False
        for _ in range(3):
            self.clock.advance(60)
            await self.relay.deliver()
            await self.look()
        assert self.relay.waiting == []
        verified = await self.relay.command("ledger.verify")
        assert verified["ok"], verified
        await self.fates()
        for slug in SLUGS:
            shown = "\n".join([*self.outputs[slug], *await self.view(slug)])
            for token in self.tokens:
                for piece in (token, *token.split(".")[2:]):
                    assert piece not in shown, "a tenant sees a confirmation token"

    async def fates(self) -> None:
        """n recipients in, n fates; what left has left once."""
        left = Counter(
            (subject[1].decode(), to)
            for _, to, content in self.relay.upstream.sent
            if (subject := re.search(rb"^Subject: (m\d+)\r$", content, re.M))
        )
        for name, sent in self.model.messages.items():
            for seq, person in enumerate(sent.recipients, start=1):
                record = await self.relay.store.mail.record(f"{name}.{seq}")
                if record is None:
                    assert (sent.tenant, person.wide) in self.erased, (name, person)
                    continue
                times = left[name, person.wire]
                assert record.state is not CopyState.WAITING
                if not self.twice:
                    assert times == (record.state is CopyState.SENT), (name, record)
                if sent.mailing_list.kind is Kind.TRANSACTIONAL:
                    gone = (sent.tenant, person.wide) in self.erased
                    assert gone or (record.state is CopyState.SENT and times), record


def _plain(content: bytes) -> bytes:
    """Undo quoted-printable, as far as links are concerned."""
    return content.replace(b"=\r\n", b"").replace(b"=3D", b"=")
