#!/usr/bin/env python3
"""Checks a proof of consent-relay without the relay: ``python3 verify_bundle.py BUNDLE.json``.

Needs Python 3.9 or later and the package ``cryptography``; opens no connection, writes no file.
Exit status: 0 everything holds, 1 something does not (the first fault is named), 2 not checked.

- The file is octet for octet as the relay wrote it: its last member, ``signature``, is Ed25519 over
  ``consent-relay proof 1``, a line feed, and the SHA-256 of all octets before ``,"signature"``.
- ``key.fingerprint`` is the SHA-256 of the DER SubjectPublicKeyInfo of ``key.pem``. Compare it with
  the one that the relay's operator has published (``--key``): the proof is worth as much as that.
- An event's ``commit`` is SHA-256(salt || content), its ``hash`` SHA-256(0x00 || seq || tenant || t
  || len(type) || type || commit || hash of the event before, or zeros): numbers as eight octets
  big-endian, the length as two.
- ``heads`` were signed about once a minute as time went by. The tree head ``root`` (RFC 9162,
  section 2.1) covers ``head``, [tenant, seq, hash], by way of ``path``. A head fixes every event of
  its chain up to ``seq`` as it was at ``at``. A run of events starts behind a head and ends at one.
- The event of an import holds a hash over its ``rows``: SHA-256(before || line || commit) from
  zeros. A row is ``[line, commit]``, with salt and content where it is shown.
- Each mail delivered names the consent that allowed it: that consent came before, is the person's,
  covers the list, had not expired, and no opt-out had ended it.

What it cannot show: an event that a person's bundle leaves out. A bundle of the whole ledger can
leave none out. Names, addresses of parties and words about lists are the relay's statement.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import defaultdict
from datetime import datetime, timezone
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
except ImportError:
    sys.stderr.write(
        "cannot be checked: the package cryptography is missing; install it with"
        " `apt install python3-cryptography` or `pip install cryptography`\n"
    )
    sys.exit(2)

ZEROS = bytes(32)
HANDED_OVER = 1_200_000  # milliseconds that one delivery may take
SIGNED = ("n", "at", "key", "prev", "root", "restored", "torn")
IMPORTED = ("consent.imported", "optout.imported")
GAP = "ledger.discontinuity"
ABOUT_NOBODY = (*IMPORTED, GAP, "notice.version", "terms.accepted")  # so never erased
MACHINES = {"no-page-fetch", "scanner-network"}  # marks of a press that no person made
MISSHAPEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
WORDS = {
    "consent.pending": "consent to {scope} was asked for",
    "consent.granted": "consent to {scope} was given (basis: {basis})",
    "confirmation.mailed": "the confirmation mail {message_id} was taken by the mail server",
    "consent.imported": "consents to {scope} were imported, {rows} rows",
    "optout": "opt-out from {scope} (by: {channel})",
    "optout.imported": "opt-outs from {scope} were imported, {rows} rows",
    "complaint": "a complaint about mail of {scope}",
    "copy.delivered": "mail {message_id} of {scope} was delivered",
    "notice.version": "version {version} of the words shown for {scope}",
    "erasure": "the person was erased",
    "terms.accepted": "{accepted_by} accepted the terms for attested consent to {scope}",
}


class DoesNotHold(Exception):
    """What was found wrong, in words."""


class CannotCheck(Exception):
    """Why nothing could be checked."""


# --- Hashes and words ---------------------------------------------------------------------------


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of all parts, one behind the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def number(value: int) -> bytes:
    """Eight octets, big-endian."""
    return value.to_bytes(8, "big", signed=True)


def canonical(value: Any) -> bytes:
    """The one JSON spelling: sorted keys, no spaces, no needless escapes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def event_hash(tenant: int, event: Any, before: bytes) -> bytes:
    """The hash that binds an event to the one before it."""
    kind = event["type"].encode()
    numbers = number(event["seq"]) + number(tenant) + number(event["t"])
    length, commit = len(kind).to_bytes(2, "big"), bytes.fromhex(event["commit"])
    return sha256(b"\x00", numbers, length, kind, commit, before)


def root_of(leaf: bytes, path: Any) -> bytes:
    """The tree head that a leaf leads to, by its neighbours on the way up."""
    node = sha256(b"\x00", leaf)
    for side, neighbour in path:
        other = bytes.fromhex(neighbour)
        node = sha256(b"\x01", other, node) if side == "left" else sha256(b"\x01", node, other)
    return node


def is_signed(key: Any, signature: str, message: bytes) -> bool:
    """Whether the key signed the message."""
    try:
        key.verify(bytes.fromhex(signature), message)
    except InvalidSignature:
        return False
    return True


def covers(scope: Any, mail: Any) -> bool:
    """Whether a consent or an opt-out of some scope covers a mail."""
    if scope.get("list") is not None:
        return bool(scope["list"] == mail.get("list"))
    return scope.get("brand") is None or bool(scope["brand"] == mail.get("brand"))


def when(seconds: float) -> str:
    """A moment, in UTC."""
    at = datetime.fromtimestamp(int(seconds), timezone.utc)  # noqa: UP017 - not before 3.11
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(words: str) -> str:
    """On one line and in ASCII: nothing in a bundle may act on the reader's terminal."""
    shown = "".join(one if one.isprintable() else " " for one in words)
    return shown.encode("ascii", "backslashreplace").decode()


# --- One tenant's chain of events ---------------------------------------------------------------


class Chain:
    """The events of one tenant in a bundle, by their place (``seq``) in the chain."""

    def __init__(self, tenant: Any, person: Any, key: Any, fingerprint: str) -> None:
        self.tenant, self.person = tenant, person
        self.key, self.fingerprint = key, fingerprint
        self.name = (tenant["party"] or {}).get("name") or f"tenant {tenant['id']}"
        self.signed = {0: (ZEROS, 0.0)}  # hash, and when it was signed first
        self.events: dict[int, Any] = {}
        self.said: dict[int, Any] = {}  # the content of those that are shown and not erased
        self.people: dict[int, list[Any]] = {}  # whom an event is about; an import's rows
        self.about: set[tuple[int, str]] = set()  # place, and exact key of the person
        self.place: dict[int, int] = {}  # by the event's ``id``

    def must(self, holds: bool, seq: int, fault: str) -> None:
        """What does not hold is said of the event at ``seq``, and ends the check."""
        if not holds:
            name = self.tenant["slug"] or self.tenant["id"]
            raise DoesNotHold(f"event {seq} of tenant {name}: {fault}")

    def of_type(self, *types: str) -> list[tuple[int, Any]]:
        """What the events of some types say, in order."""
        return [(seq, said) for seq, said in self.said.items() if self.events[seq]["type"] in types]

    def check(self, whole: bool) -> None:
        """Every event by itself and in its place; with ``whole``, that none is left out."""
        for head in self.tenant["heads"]:
            self.check_head(head)
        for run in self.tenant["runs"]:
            self.check_run(run)
        if whole:
            self.check_whole()
        words = {said["data"]["digest"] for _, said in self.of_type("notice.version")}
        for seq, said in self.said.items():
            needed = re.findall('"notice_digest":"([^"]*)"', canonical(said).decode())
            self.must(words.issuperset(needed), seq, "the words that were shown are left out")

    def check_head(self, head: Any) -> None:
        """The key signed a tree head, and the hash of one event is in that tree."""
        tenant, seq, text = head["head"]
        statement = canonical({name: head[name] for name in SIGNED})
        own = (tenant, head["key"]) == (self.tenant["id"], self.fingerprint)
        covered = root_of(canonical(head["head"]), head["path"]).hex() == head["root"]
        signed = is_signed(self.key, head["signature"], statement)
        self.must(own and covered and signed, seq, "the signed head does not hold")
        digest, at = self.signed.get(seq, (bytes.fromhex(text), head["at"]))
        self.must(digest.hex() == text, seq, "two different hashes of it were signed")
        self.signed[seq] = (digest, min(at, head["at"]))

    def check_run(self, run: Any) -> None:
        """Each event follows from the one before, from one signed head to another."""
        seq = run[0]["seq"] - 1
        self.must(seq in self.signed, seq + 1, "no signed head stands before it")
        digest = self.signed[seq][0]
        for event in run:
            seq += 1
            self.must(event["seq"] == seq, seq, "it is missing")
            digest = event_hash(self.tenant["id"], event, digest)
            own = event["hash"] == digest.hex()
            self.must(own, seq, "it was changed, or does not follow from the event before it")
            signed, _ = self.signed.get(seq, (digest, 0.0))
            self.must(signed == digest, seq, "it is not the event whose hash was signed")
            self.must(event["id"] not in self.place, seq, "its number is another event's too")
            self.place[event["id"]], self.events[seq] = seq, event
            if event.get("content") is not None:
                self.read(seq, event)
        self.must(seq in self.signed, seq, "no signed head covers it")

    def read(self, seq: int, event: Any) -> None:
        """What an event says is what was committed to, and about the right person."""
        digest = sha256(bytes.fromhex(event["salt"]), event["content"].encode()).hex()
        self.must(digest == event["commit"], seq, "its content was changed")
        said = self.said[seq] = json.loads(event["content"])
        self.must(said["id"] == event["id"], seq, "it stands under another number")
        people = [said["subject"]] if said["subject"] else []
        if event["type"] in IMPORTED:
            people = self.read_rows(seq, event["rows"], said["data"])
        if event["type"] == "notice.version":
            digest = sha256(event["words"].encode()).hex()
            self.must(digest == said["data"]["digest"], seq, "the words shown were changed")
        for one in people:
            own = not self.person or one["wide"] == self.person["wide"]
            self.must(own, seq, "it is about another person")
            self.about.add((seq, one["exact"]))
        self.people[seq] = people

    def read_rows(self, seq: int, rows: Any, data: Any) -> list[Any]:
        """The rows of an import, as far as they are shown."""
        digest, shown = ZEROS, []
        for line, commit, *more in rows:
            digest = sha256(digest, number(line), bytes.fromhex(commit))
            for salt, text in [more] if more else []:
                row = json.loads(text)
                found = sha256(bytes.fromhex(salt), text.encode()).hex()
                self.must((found, row["line"]) == (commit, line), seq, f"line {line} was changed")
                shown.append(row)
        told = (data["content"], data["rows"])
        self.must((digest.hex(), len(rows)) == told, seq, "its rows are not those that it had")
        return shown

    def check_whole(self) -> None:
        """No event is left out, and no content but as far as erasures say that they took some."""
        for seq in range(1, max(self.signed) + 1):
            self.must(seq in self.events, seq, "it is left out")
        gone = [seq for seq in self.events if seq not in self.said]
        taken = sum(said["data"].get("events", 0) for _, said in self.of_type("erasure"))
        for count, seq in enumerate(gone, 1):
            erased = count <= taken and self.events[seq]["type"] not in ABOUT_NOBODY
            self.must(erased, seq, "its content is left out, and no erasure took it")

    # --- mail, and the consent that allowed it ---

    def check_mails(self) -> tuple[int, list[str]]:
        """How many mails were delivered under a consent that held, and remarks on the others."""
        endings = self.endings()
        mails = [(seq, self.check_mail(seq, endings)) for seq, _ in self.of_type("copy.delivered")]
        remarks = [f"event {seq}: {remark}" for seq, remark in mails if remark is not None]
        return len(mails) - len(remarks), remarks

    def endings(self) -> dict[str, list[tuple[int, Any, int]]]:
        """Opt-outs and complaints by person: place, scope, and when it was said (ms). An imported
        one of the very same moment as one before is that one, told again."""
        found: dict[str, list[tuple[int, Any, int]]] = defaultdict(list)
        told = set()
        for seq, said in self.of_type("optout", "complaint", "optout.imported"):
            data = said["data"]
            for one in self.people[seq]:
                at = round(one["at"] * 1000) if "at" in one else self.events[seq]["t"]
                ending = (one["wide"], at, data.get("brand"), data.get("list"))
                if ending not in told:
                    told.add(ending)
                    found[one["wide"]].append((seq, data, at))
        return found

    def check_mail(self, seq: int, endings: Any) -> str | None:
        """One mail against its consent; None when all holds, else a remark."""
        mail, person, t = self.said[seq]["data"], self.said[seq]["subject"], self.events[seq]["t"]
        if mail["consent"] is None:
            return "no consent was on record for this mail"
        given = self.place.get(mail["consent"], seq)
        self.must(given < seq, seq, "the consent that it names is not in the chain before it")
        granted = self.events[given]["type"] in ("consent.granted", "consent.imported")
        self.must(granted, seq, "what it names as consent is none")
        if given not in self.said:
            self.must(not self.person, seq, "the consent that it names is left out")
            return f"what the consent (event {given}) said was erased"
        if (given, person["exact"]) not in self.about:
            erased = self.events[given]["type"] in IMPORTED and not self.person
            self.must(erased, seq, "the consent that it names is another person's")
            return f"the row of the import (event {given}) was erased"
        consent, given_at = self.said[given]["data"], self.events[given]["t"]
        expires = (consent.get("expires_at") or float("inf")) * 1000
        self.must(expires >= t - HANDED_OVER, seq, "the consent that it names had expired")
        self.must(covers(consent, mail), seq, "the consent that it names is for something else")
        remark = None
        for out, scope, at in endings.get(person["wide"], ()):
            # What others put on record after a person left, whatever part, does not count at all;
            # an own act counts when it came later in the chain. What a source dated itself must be
            # later by that date too; a confirmation was seen by the relay itself. What a machine
            # certainly pressed brings nobody back.
            own = out > given or consent.get("own_act")
            self.must(own, seq, f"the person had left with event {out} before that consent")
            back = out < given and (at <= given_at or consent.get("basis") == "confirmed")
            back = back and not MACHINES.intersection(consent.get("automated") or ())
            if out > seq or not covers(scope, mail) or back:
                continue
            left, as_of = self.events[out], mail.get("as_of")  # the last event when it was sent
            late = left["id"] > as_of if as_of is not None else left["t"] > t - HANDED_OVER
            self.must(late, seq, f"the person had left with event {out}")
            remark = f"the opt-out of event {out} came while it was being handed over"
        return remark

    # --- words ---

    def story(self, seq: int) -> str:
        """One event in a sentence."""
        event, data = self.events[seq], self.said.get(seq, {}).get("data")
        if data is None:
            words = f"{event['type']}: its content was erased"
        elif event["type"] == GAP:
            words = gap_words(data)
        else:
            words = WORDS.get(event["type"], event["type"])
            words = words.format_map(defaultdict(str, data, scope=self.scope_of(data)))
            if data.get("automated"):
                words += f"; marked as perhaps a machine's act: {', '.join(data['automated'])}"
            if data.get("consent") in self.place:
                words += f", under the consent of event {self.place[data['consent']]}"
            if "words" in event:
                words += (
                    f": {'; '.join(': '.join(one) for one in json.loads(event['words']).items())}"
                )
        signed = min(at for head, (_, at) in self.signed.items() if head >= seq)
        at = when(event["t"] / 1000)
        return f"  {at}  event {seq}: {words}. On record, signed, by {when(signed)}."

    def scope_of(self, data: Any) -> str:
        """What a consent or an opt-out covers."""
        for one in self.tenant["lists"]:
            if one["id"] == data.get("list"):
                return f"the list {one['slug']} of {self.name} ({one['purpose']})"
        for one in self.tenant["brands"]:
            if one["id"] == data.get("brand"):
                return f"everything of {self.name} under the brand {one['name']}"
        return f"everything of {self.name}"


def gap_words(data: Any) -> str:
    """What a restore left, or the loss of the signed heads."""
    last = data["last"]["seq"] if data.get("last") else 0
    if data.get("backup_at") is None:
        missing = "the signed heads of the relay were missing when it started"
        return f"{missing}: nothing from before vouches for the events up to {last}"
    words = f"the relay's store was brought back from a backup of {when(data['backup_at'])},"
    words += f" which ended with event {last}"
    if data.get("lost"):
        words += f"; events up to {data['lost']['seq']} had been signed before and are lost"
    return words


# --- The bundle ---------------------------------------------------------------------------------


def open_bundle(octets: bytes, published: str | None) -> tuple[Any, Any, str]:
    """The document, its seal checked, and the key that it was sealed with: it, its fingerprint."""
    try:
        bundle = json.loads(octets)
        form = (bundle["format"], bundle["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CannotCheck("this file is no proof of consent-relay") from error
    if form != ("consent-relay proof", 1):
        raise CannotCheck("this is version {1} of {0!r}, and I know 1".format(*form))
    try:
        key: Any = serialization.load_pem_public_key(bundle["key"]["pem"].encode())
    except UnsupportedAlgorithm as error:
        raise DoesNotHold("the key is no Ed25519 key") from error
    encoding, layout = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    fingerprint = sha256(key.public_bytes(encoding, layout)).hex()
    if published is not None and fingerprint != published.lower().replace(":", ""):
        raise DoesNotHold(f"the key is not the published one: it is {fingerprint}")
    if fingerprint != bundle["key"]["fingerprint"]:
        raise DoesNotHold("the key is not the one that the file names")
    body, _, seal = octets.rpartition(b',"signature":"')
    statement = b"consent-relay proof 1\n" + sha256(body)
    if seal[128:] != b'"}\n' or not is_signed(key, seal[:128].decode(), statement):
        raise DoesNotHold("the file is not as the relay wrote it")
    return bundle, key, fingerprint


def report(bundle: Any, key: Any, fingerprint: str, every_event: bool) -> list[str]:
    """Check all of it; returns what was proven, in words."""
    person, whole = bundle["person"], bundle["kind"] == "ledger"
    if (bundle["kind"], person is None) not in (("ledger", True), ("person", False)):
        raise DoesNotHold("it is neither a person's nor a whole ledger")
    lines = [f"Relay {bundle['relay']}, {bundle['made']}."]
    lines += ["The whole ledger." if whole else f"Person: {person['address']}"]
    lines += ["Nothing is on record."] if not bundle["tenants"] else []
    for tenant in bundle["tenants"]:
        chain = Chain(tenant, person, key, fingerprint)
        chain.check(whole)
        held, remarks = chain.check_mails()
        counts = f"{len(chain.said)} events shown of {len(chain.events)} links"
        heads = f"{len(tenant['heads'])} signed heads"
        lines += ["", f"{chain.name}: {counts}, {heads}: unchanged, in order."]
        for seq, event in chain.events.items():
            if event["type"] == GAP or ("content" in event and (person or every_event)):
                lines.append(chain.story(seq))
        held_words = "given before, covers the list and had not been withdrawn"
        if held:
            lines += [f"  {held} mails delivered under a consent that was {held_words}."]
        lines += [f"  {remark}." for remark in remarks]
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Check one file; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Checks a proof of consent-relay: exit 0 it holds, 1 it does not, 2 no proof."
    )
    parser.add_argument("bundle", metavar="BUNDLE.json")
    parser.add_argument("--key", metavar="FINGERPRINT", help="the relay's published fingerprint")
    parser.add_argument("--events", action="store_true", help="every event of a whole ledger")
    given = parser.parse_args(arguments)
    try:
        with open(given.bundle, "rb") as file:
            bundle, key, fingerprint = open_bundle(file.read(), given.key)
        lines = [*report(bundle, key, fingerprint, given.events), ""]
    except (OSError, CannotCheck) as error:
        sys.stderr.write(f"cannot be checked: {plain(str(error))}\n")
        return 2
    except (DoesNotHold, *MISSHAPEN) as error:
        # Whatever a changed file makes of our reading it: it is not as the relay wrote it.
        odd = "" if isinstance(error, DoesNotHold) else "a part is missing or misshapen: "
        sys.stderr.write(f"DOES NOT HOLD: {odd}{plain(str(error))}\n")
        return 1
    if given.key is None:
        lines += [f"Key {fingerprint}: compare it with the one that the operator published."]
    lines += ["Everything in this file holds."]
    sys.stdout.write("\n".join(map(plain, lines)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
