"""The verifier, as a regulator runs it: one file, another process, none of our packages."""

from __future__ import annotations

import ast
import base64
import contextlib
import copy
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from relay import verify_bundle
from relay.consent.proving import Proving
from relay.decide.address import parse_address
from relay.decide.keys import subject_keys
from relay.model import Address, Basis, Tenant
from relay.ports import NewEvent
from relay.settings import Store as StoreSettings
from relay.store import ImportRow
from relay.store.restore import restore
from tests.support.clock import FakeClock
from tests.unit.store.samples import PEPPER, open_store
from tests.unit.store.story import ANN, BEN, CARL, DORA, EVE, FAY, NEWS, OFFERS, SHOP, Story, told

SCRIPT = Path(verify_bundle.__file__)


@pytest.fixture
async def story(tmp_path: Path) -> Story:
    return await told(tmp_path / "data", FakeClock())


async def bundle(story: Story, who: Address | None = None) -> bytes:
    """A person's, or the whole chain of the shop."""
    proving = Proving(story.store, story.clock, "relay.test")
    owner = story.store.directory.tenant("shop")
    assert isinstance(owner, Tenant)
    pieces = proving.ledger(owner) if who is None else proving.person(who, story.keys(who))
    return "".join([piece async for piece in pieces]).encode()


def run(octets: bytes, tmp_path: Path, *more: str, flags: tuple[str, ...] = ("-I",)) -> Any:
    file = tmp_path / "bundle.json"
    file.write_bytes(octets)
    return subprocess.run(
        [sys.executable, *flags, str(SCRIPT), str(file), *more], capture_output=True, text=True
    )


def verdict(octets: bytes) -> str:
    """What the verifier says, in this process: empty when all holds."""
    try:
        document, key, fingerprint = verify_bundle.open_bundle(octets, None)
        verify_bundle.report(document, key, fingerprint, True)
    except verify_bundle.DoesNotHold as error:
        return str(error)
    except verify_bundle.MISSHAPEN as error:
        return repr(error)
    return ""


class Forger:
    """Whoever has the relay's key may seal anything; the rest must give it away all the same."""

    def __init__(self, story: Story) -> None:
        pem = (story.store.data_dir / "keys" / "ledger.pem").read_bytes()
        key = load_pem_private_key(pem, None)
        assert isinstance(key, Ed25519PrivateKey)
        self.key = key

    def sealed(self, document: dict[str, Any]) -> bytes:
        body = json.dumps({k: v for k, v in document.items() if k != "signature"})[:-1].encode()
        statement = b"consent-relay proof 1\n" + hashlib.sha256(body).digest()
        return body + b',"signature":"' + self.key.sign(statement).hex().encode() + b'"}\n'


# --- what holds -----------------------------------------------------------------------------


async def test_real_bundles_hold(story: Story, tmp_path: Path) -> None:
    for who in (None, ANN):
        done = run(await bundle(story, who), tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("Everything in this file holds.\n")
    await story.store.close()


def test_without_the_package_for_signatures_nothing_is_called_proven(tmp_path: Path) -> None:
    done = run(b"{}", tmp_path, flags=("-I", "-S"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "apt install python3-cryptography" in done.stderr


async def test_a_persons_bundle_tells_the_whole_story(story: Story, tmp_path: Path) -> None:
    told_ = run(await bundle(story, ANN), tmp_path).stdout
    for words in (
        "Person: ann@person.test",
        "consent to the list news of Shop (news) was asked for",
        "question: Mag \\u201cdit\\u201d?",
        "the confirmation mail <c@relay.test> was taken",
        "consent to the list news of Shop (news) was given (basis: confirmed)",
        "mail <m@shop.test> of the list news of Shop (news) was delivered, under the consent of",
        "opt-out from the list news of Shop (news) (by: one-click)",
        "1 mails delivered under a consent that was given before",
        "opt-out from everything of Club",
    ):
        assert words in told_
    await story.store.close()


async def test_a_persons_bundle_says_nothing_of_others(story: Story) -> None:
    for who, others in ((BEN, (ANN, CARL, DORA, FAY)), (ANN, (BEN, CARL, DORA, FAY))):
        text = (await bundle(story, who)).decode()
        for other in others:
            keys = story.keys(other)
            assert keys.exact.hex() not in text
            assert other.local not in text
    await story.store.close()


async def test_evidence_that_names_another_persons_event_does_not_bring_it_along(
    story: Story,
) -> None:
    await story.store.consents.grant(
        SHOP,
        story.keys(FAY),
        basis=Basis.APPROVED,
        at=story.clock.now(),
        evidence={"event": story.ids["ann"], "consent": story.ids["out"]},
    )
    octets = await bundle(story, FAY)
    assert verdict(octets) == ""
    assert story.keys(ANN).wide.hex() not in octets.decode()
    await story.store.close()


async def test_an_erased_persons_bundle_and_the_ledger_with_erasures_hold(story: Story) -> None:
    assert verdict(await bundle(story, DORA)) == ""
    assert verdict(await bundle(story)) == ""
    await story.store.close()


async def test_nobodys_bundle_is_empty_and_holds(story: Story, tmp_path: Path) -> None:
    done = run(await bundle(story, parse_address("nobody@person.test")), tmp_path)
    assert done.returncode == 0
    assert "Nothing is on record." in done.stdout
    await story.store.close()


async def test_a_long_chain_makes_a_small_bundle(story: Story) -> None:
    for _ in range(5):
        await story.store.ledger.record([NewEvent(SHOP, "note", 1.0)] * 400)
        await story.chapter()
    await story.delivered(BEN, story.ids["file"])
    for _ in range(5):
        await story.store.ledger.record([NewEvent(SHOP, "note", 1.0)] * 400)
        await story.chapter()
    octets = await bundle(story, BEN)
    assert verdict(octets) == ""
    shown = json.loads(octets)["tenants"][0]
    assert sum(len(run_) for run_ in shown["runs"]) < 500
    await story.store.close()


async def test_a_gap_from_a_restore_is_told_in_words(story: Story, tmp_path: Path) -> None:
    await story.store.backup(tmp_path / "backup.tar")
    await story.delivered(BEN, story.ids["file"])
    await story.chapter()
    await story.store.close()
    await restore(
        tmp_path / "backup.tar",
        tmp_path / "again",
        settings=StoreSettings(min_free_bytes=0),
        clock=story.clock,
        heads=tmp_path / "data" / "ledger-heads.jsonl",
    )
    again = Story(await open_store(tmp_path / "again", story.clock), story.clock)
    again.ids = story.ids
    await again.delivered(BEN, story.ids["file"])
    for who in (None, BEN):
        done = run(await bundle(again, who), tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "the relay's store was brought back from a backup of" in done.stdout
        assert "events up to 19 had been signed before and are lost" in done.stdout
    await again.store.close()


# --- what does not --------------------------------------------------------------------------


async def test_any_octet_changed_is_found(story: Story, tmp_path: Path) -> None:
    octets = await bundle(story, ANN)
    rng = random.Random(20261122)
    for _ in range(300):
        at = rng.randrange(len(octets))
        changed = octets[:at] + bytes([octets[at] ^ rng.randrange(1, 128)]) + octets[at + 1 :]
        with contextlib.suppress(verify_bundle.CannotCheck):
            assert verdict(changed) != "", at
    for changed in (octets[:-1], octets + b" ", octets[: len(octets) // 2], octets[:50]):
        assert run(changed, tmp_path).returncode in (1, 2)
    await story.store.close()


Change = Callable[[dict[str, Any]], None]


def drop(*path: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for part in path[:-1]:
            at = at[part]
        del at[path[-1]]

    return change


def put(value: Any, *path: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for part in path[:-1]:
            at = at[part]
        assert at[path[-1]] != value
        at[path[-1]] = value

    return change


SHOP_ = ("tenants", 0)
RUN = (*SHOP_, "runs", 0)
NOTICE_, FILE = (*RUN, 0), (*RUN, 4)


@pytest.mark.parametrize(
    "change",
    [
        drop(*RUN, 3),
        drop(*RUN, 0),
        drop(*RUN, -1),
        put("optout", *RUN, 3, "type"),
        put(5, *RUN, 3, "t"),
        put(9, *RUN, 3, "id"),
        put(9, *RUN, 3, "seq"),
        put("00" * 32, *RUN, 3, "commit"),
        put("00" * 32, *RUN, 3, "hash"),
        put("00" * 16, *RUN, 3, "salt"),
        put("{}", *RUN, 3, "content"),
        put(None, *RUN, 3, "content"),
        drop(*RUN, 3, "content"),
        put(None, *NOTICE_, "content"),
        put(None, *FILE, "content"),
        drop(*SHOP_, "heads", -1),
        put(2, *SHOP_, "heads", 0, "head", 0),
        put(2, *SHOP_, "heads", 0, "head", 1),
        put(1.0, *SHOP_, "heads", 0, "at"),
        put(True, *SHOP_, "heads", 0, "restored"),
        put("00" * 64, *SHOP_, "heads", 0, "signature"),
        put("00" * 32, *SHOP_, "heads", 0, "root"),
        put("00" * 32, *SHOP_, "heads", 0, "key"),
        put([["left", "00" * 32]], *SHOP_, "heads", 0, "path"),
        put(2, *SHOP_, "id"),
        drop(*FILE, "rows"),
        drop(*FILE, "rows", 0),
        put(9, *FILE, "rows", 0, 0),
        put("00" * 32, *FILE, "rows", 0, 1),
        put("00" * 16, *FILE, "rows", 0, 2),
        put("{}", *FILE, "rows", 0, 3),
        drop(*NOTICE_, "words"),
        put("{}", *NOTICE_, "words"),
        put("00" * 32, "key", "fingerprint"),
        put("person", "kind"),
        put("some of it", "kind"),
        put(2**70, *RUN, 3, "t"),
    ],
)
async def test_every_kind_of_change_is_found_although_the_seal_is_good(
    story: Story, change: Change
) -> None:
    forger = Forger(story)
    document = json.loads(await bundle(story))
    assert verdict(forger.sealed(copy.deepcopy(document))) == ""
    change(document)
    assert verdict(forger.sealed(document)) != ""
    await story.store.close()


async def test_events_of_another_person_are_found_in_a_bundle(story: Story) -> None:
    document = json.loads(await bundle(story, ANN))
    document["person"]["wide"] = story.keys(BEN).wide.hex()
    assert "another person" in verdict(Forger(story).sealed(document))
    await story.store.close()


async def test_another_key_is_found(story: Story, tmp_path: Path) -> None:
    octets = await bundle(story, ANN)
    fingerprint = json.loads(octets)["key"]["fingerprint"]
    assert run(octets, tmp_path, "--key", fingerprint).returncode == 0
    done = run(octets, tmp_path, "--key", "00" * 32)
    assert done.returncode == 1
    assert "not the published one" in done.stderr
    other = Ed25519PrivateKey.generate().public_key()
    der = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    document = json.loads(octets)
    document["key"]["pem"] = base64.b64encode(der).decode()
    document["key"]["fingerprint"] = hashlib.sha256(der).hexdigest()
    assert verdict(Forger(story).sealed(document)) != ""
    await story.store.close()


def test_what_is_no_bundle_is_called_so(tmp_path: Path) -> None:
    for octets in (b"", b"{}", b"[]", b"no json", b'{"format":"consent-relay proof","version":2}'):
        done = run(octets, tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("cannot be checked: ")
    loud = run(b'{"format":"\\u001b[31m","version":"\\u001b[31m"}', tmp_path)
    assert (loud.returncode, "\x1b" in loud.stderr) == (2, False)
    absent = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), str(tmp_path / "none")], capture_output=True, text=True
    )
    assert absent.returncode == 2


# --- mail and the consent that allowed it -----------------------------------------------------


async def after_leaving(story: Story) -> None:
    story.clock.advance(3_600)
    await story.delivered(ANN, story.ids["ann"])


async def without_being_asked_again(story: Story) -> None:
    """An import after the opt-out never counts."""
    number = await story.imported("consent", [ANN])
    story.clock.advance(3_600)
    await story.delivered(ANN, number)


async def under_an_import_after_leaving_another_list(story: Story) -> None:
    number = await story.imported("consent", [ANN], OFFERS)
    story.clock.advance(3_600)
    await story.delivered(ANN, number, OFFERS)


async def under_an_old_yes_recorded_late(story: Story) -> None:
    """A signed consent from before the opt-out, sent in after it."""
    data = {"brand": None, "list": NEWS, "basis": "approved", "own_act": True, "evidence": {}}
    event = NewEvent(SHOP, "consent.granted", 1.0, story.keys(ANN), data)
    (number,) = await story.store.ledger.record([event])
    story.clock.advance(3_600)
    await story.delivered(ANN, number)


async def under_a_press_by_a_machine_after_leaving(story: Story) -> None:
    data = {"brand": None, "list": NEWS, "basis": "confirmed", "own_act": True, "evidence": {}}
    data["automated"] = ["no-page-fetch"]
    event = NewEvent(SHOP, "consent.granted", story.clock.now(), story.keys(ANN), data)
    (number,) = await story.store.ledger.record([event])
    story.clock.advance(3_600)
    await story.delivered(ANN, number)


async def for_another_list(story: Story) -> None:
    await story.delivered(ANN, await story.granted(ANN), list_id=OFFERS)


async def under_anothers_consent(story: Story) -> None:
    await story.delivered(BEN, await story.granted(ANN))


async def under_anothers_row(story: Story) -> None:
    await story.delivered(FAY, story.ids["file"])


async def under_an_opt_out(story: Story) -> None:
    await story.delivered(ANN, story.ids["out"])


async def under_a_consent_that_came_later(story: Story) -> None:
    await story.delivered(BEN, 10_000)


async def under_an_expired_consent(story: Story) -> None:
    number = await story.granted(ANN)
    story.clock.advance(9.1e7)
    await story.delivered(ANN, number)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (after_leaving, "had left with event 14"),
        (without_being_asked_again, "had left with event 14"),
        (under_an_import_after_leaving_another_list, "had left with event 14 before"),
        (under_an_old_yes_recorded_late, "had left with event 14"),
        (under_a_press_by_a_machine_after_leaving, "had left with event 14"),
        (for_another_list, "for something else"),
        (under_anothers_consent, "another person's"),
        (under_an_opt_out, "is none"),
        (under_a_consent_that_came_later, "not in the chain"),
        (under_an_expired_consent, "had expired"),
    ],
)
async def test_mail_that_no_consent_allowed_is_found(story: Story, act: Any, why: str) -> None:
    assert verdict(await bundle(story)) == ""
    await act(story)
    assert why in verdict(await bundle(story))
    await story.store.close()


async def test_a_row_that_is_not_the_persons_is_found_in_the_persons_bundle(story: Story) -> None:
    await under_anothers_row(story)
    assert verdict(await bundle(story, FAY)) != ""
    await story.store.close()


@pytest.mark.parametrize("clock_set", [0, -400_000])
async def test_who_came_back_by_an_own_act_gets_mail_again(story: Story, clock_set: float) -> None:
    story.clock.set_wall(story.clock.now() + clock_set)
    number = await story.granted(ANN)
    story.clock.advance(3_600)
    await story.delivered(ANN, number)
    assert verdict(await bundle(story, ANN)) == ""
    assert verdict(await bundle(story)) == ""
    await story.store.close()


async def test_the_weekly_file_of_old_opt_outs_is_no_new_opt_out(story: Story) -> None:
    """As the relay itself takes it: else mail that was rightly sent would look wrong."""

    async def file(at: float) -> None:
        number = await story.store.imports.begin("optout", SHOP, at=story.clock.now(), list_id=NEWS)
        await story.store.imports.stage(number, [ImportRow(1, story.keys(ANN), "", at)])
        await story.store.imports.commit(number)

    left = story.clock.now()
    await file(left)
    story.clock.advance(60)
    number = await story.granted(ANN)
    await file(left)
    story.clock.advance(3_600)
    await story.delivered(ANN, number)
    assert verdict(await bundle(story)) == ""
    await file(left + 1)
    story.clock.advance(3_600)
    await story.delivered(ANN, number)
    assert "had left" in verdict(await bundle(story))
    await story.store.close()


async def test_a_file_can_name_what_it_likes_without_spoiling_the_proof(story: Story) -> None:
    number = await story.store.imports.begin("consent", SHOP, at=story.clock.now(), list_id=NEWS)
    junk = dict.fromkeys(("notice_digest", "consent", "signup", "event"), "f" * 64)
    row = ImportRow(1, story.keys(EVE), EVE.wire, 9.0, Basis.ATTESTED, junk)
    await story.store.imports.stage(number, [row])
    await story.store.imports.commit(number)
    assert verdict(await bundle(story)) == ""
    assert verdict(await bundle(story, EVE)) == ""
    await story.store.close()


async def test_an_opt_out_during_the_handing_over_is_a_remark(story: Story, tmp_path: Path) -> None:
    number = await story.granted(ANN)
    story.clock.advance(3_600)
    await story.store.consents.withdraw(
        SHOP, story.keys(ANN), at=story.clock.now(), channel="link", list_id=NEWS
    )
    story.clock.advance(20)
    await story.delivered(ANN, number)
    done = run(await bundle(story, ANN), tmp_path)
    assert done.returncode == 0
    assert "came while it was being handed over" in done.stdout
    await story.store.close()


# --- the file itself ------------------------------------------------------------------------


def test_it_runs_on_python_3_9_and_needs_one_package() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 9))
    top = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in top if isinstance(node, ast.ImportFrom)}
    others = names - set(sys.stdlib_module_names) - {"__future__"}
    assert {name.partition(".")[0] for name in others} == {"cryptography"}


async def test_the_hashes_are_those_of_an_implementation_of_their_own(story: Story) -> None:
    """Said once more, from the documentation alone."""
    document = json.loads(await bundle(story))
    tenant = document["tenants"][0]
    prev = b"\0" * 32
    for link in tenant["runs"][0]:
        octets = b"\0"
        for number in (link["seq"], tenant["id"], link["t"]):
            octets += number.to_bytes(8, "big")
        octets += len(link["type"]).to_bytes(2, "big") + link["type"].encode()
        octets += bytes.fromhex(link["commit"]) + prev
        prev = hashlib.sha256(octets).digest()
        assert prev.hex() == link["hash"]
        if link["content"] is not None:
            salted = bytes.fromhex(link["salt"]) + link["content"].encode()
            assert hashlib.sha256(salted).hexdigest() == link["commit"]
    assert [1, tenant["runs"][0][-1]["seq"], prev.hex()] == tenant["heads"][-1]["head"]
    contents = [link["content"] for link in tenant["runs"][0]]
    imports = [link for link in tenant["runs"][0] if link["type"].endswith(".imported")]
    assert len(imports) == 2
    for link in imports:
        running = b"\0" * 32
        for line, commit, *_ in link["rows"]:
            octets = running + line.to_bytes(8, "big") + bytes.fromhex(commit)
            running = hashlib.sha256(octets).digest()
        assert json.loads(link["content"])["data"]["content"] == running.hex()
    assert subject_keys(PEPPER, ANN).wide.hex() in str(contents)
    await story.store.close()
