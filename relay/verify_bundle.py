#!/usr/bin/env python3
"""Checks a proof of consent-relay without the relay: ``python3 verify_bundle.py BUNDLE.json``.

One file, Python 3.9 or later, nothing but the standard library. It opens no connection and writes
no file. Exit status: 0 everything holds, 1 something does not (the first such thing is named), 2 it
could not be checked.

What is checked, and how
------------------------
- The file is octet for octet as the relay wrote it: its last member, ``signature``, is Ed25519 over
  ``consent-relay proof 1``, a line feed, and the SHA-256 of all octets before ``,"signature"``.
- ``key.fingerprint`` is the SHA-256 of the DER SubjectPublicKeyInfo of ``key.pem``. Compare it with
  the fingerprint that the relay's operator has published (``--key``): the proof is as good as that.
- ``content`` is canonical JSON; ``commit`` = SHA-256(salt || content).
- ``hash`` = SHA-256(0x00 || seq || tenant || t || len(type) || type || commit || prev), numbers as
  eight octets big-endian (the length as two); ``prev`` is the hash of the event before, or zeros.
- ``heads``: statements that were signed about once a minute as time went by. The tree head ``root``
  (RFC 9162 section 2.1) covers ``head`` = [tenant, seq, hash], by ``index``, ``size``, ``path``. A
  head fixes every event of its chain up to ``seq`` as it was at ``at``.
- Imported rows are ``[line, commit]``, with ``salt, content`` where they are shown. The hash over a
  whole batch, SHA-256(before || line || commit) from zeros, stands in the batch's event.
- Each mail delivered names the consent that allowed it: that consent is in the chain, came before,
  covers the list, had not expired, and no opt-out of the same person had ended it.

What it cannot show: an event that a person's bundle leaves out. A bundle of the whole ledger can
leave none out. Names, addresses of parties and words about lists are the relay's statement.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from datetime import datetime, timezone
from typing import Any

FORMAT = "consent-relay proof"
VERSION = 1
SIGNED = ("n", "at", "key", "prev", "root", "restored", "torn")
SEAL = b',"signature":"'
CONTEXT = b"consent-relay proof 1\n"
SPKI = bytes.fromhex("302a300506032b6570032100")
ZEROS = bytes(32)
IMPORTED = ("consent.imported", "optout.imported")
HANDED_OVER = 1_200_000
"""Milliseconds that one delivery may take, where an event does not say as of when it was judged."""

Json = dict[str, Any]


class DoesNotHold(Exception):
    """What was found wrong, in words."""


class CannotCheck(Exception):
    """Why nothing could be checked."""


# --- Ed25519 (RFC 8032 section 5.1.7), used where the cryptography package is missing -----------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)

Point = tuple[int, int, int, int]
Ending = tuple[int, Json, int]
"""Place of an opt-out or complaint in its chain, what it covers, and when it was said (ms)."""


def _add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _decode(octets: bytes) -> Point | None:
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


_BASE = _decode((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def verify_plainly(key: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519 without any package."""
    if len(key) != 32 or len(signature) != 64 or _BASE is None:
        return False
    public, nonce = _decode(key), _decode(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or nonce is None or scalar >= _L:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    left = _multiply(scalar, _BASE)
    right = _add(nonce, _multiply(int.from_bytes(digest, "little") % _L, public))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % _P == 0


def verify_signature(key: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519, by the cryptography package when it is there."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return verify_plainly(key, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# --- Hashes --------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """The one JSON spelling: sorted keys, no spaces, no needless escapes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def link_hash(tenant: int, link: Json) -> bytes:
    """The hash of an event."""
    kind = link["type"].encode()
    numbers = b"".join(n.to_bytes(8, "big", signed=True) for n in (link["seq"], tenant, link["t"]))
    octets = bytes.fromhex(link["commit"]) + bytes.fromhex(link["prev"])
    return hashlib.sha256(b"\x00" + numbers + len(kind).to_bytes(2, "big") + kind + octets).digest()


def root_of(leaf: bytes, index: int, size: int, path: list[str]) -> bytes:
    """The tree head that an inclusion proof leads to (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        raise DoesNotHold("a signed head names no place in its tree")
    first, last = index, size - 1
    found = hashlib.sha256(b"\x00" + leaf).digest()
    for text in path:
        node = bytes.fromhex(text)
        if last == 0:
            raise DoesNotHold("a signed head has a path that is too long")
        if first & 1 or first == last:
            found = hashlib.sha256(b"\x01" + node + found).digest()
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\x01" + found + node).digest()
        first, last = first >> 1, last >> 1
    if last:
        raise DoesNotHold("a signed head has a path that is too short")
    return found


# --- Words ---------------------------------------------------------------------------------------


def when(seconds: float) -> str:
    """A moment, in UTC."""
    at = datetime.fromtimestamp(int(seconds), timezone.utc)  # noqa: UP017 - not before 3.11
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(words: str) -> str:
    """On one line and in ASCII: nothing in a bundle may act on the reader's terminal."""
    shown = "".join(one if one.isprintable() else " " for one in words)
    return shown.encode("ascii", "backslashreplace").decode()


def scope_words(tenant: Json, data: Json) -> str:
    """What a consent or an opt-out covers."""
    name = (tenant.get("party") or {}).get("name") or "tenant {}".format(tenant["id"])
    if data.get("list") is not None:
        for one in tenant["lists"]:
            if one["id"] == data["list"]:
                return "the list {} of {} ({})".format(one["slug"], name, one["purpose"])
        return "list {} of {}".format(data["list"], name)
    if data.get("brand") is not None:
        for one in tenant["brands"]:
            if one["id"] == data["brand"]:
                return "everything of {} under the brand {}".format(name, one["name"])
        return "everything of {} under brand {}".format(name, data["brand"])
    return f"everything of {name}"


def event_words(tenant: Json, kind: str, data: Json) -> str:
    """What happened."""
    scope = scope_words(tenant, data)
    if kind == "consent.pending":
        return f"consent to {scope} was asked for"
    if kind == "consent.granted":
        words = "consent to {} was given (basis: {})".format(scope, data.get("basis"))
        marks = data.get("automated")
        if marks:
            words += "; marked as perhaps a machine's act: {}".format(", ".join(map(str, marks)))
        return words
    if kind == "confirmation.mailed":
        return "the confirmation mail {} was taken by the mail server".format(
            data.get("message_id")
        )
    if kind in IMPORTED:
        what = "consents to" if kind == "consent.imported" else "opt-outs from"
        return "{} {} were imported, {} rows".format(what, scope, data.get("rows"))
    if kind == "optout":
        return "opt-out from {} (by: {})".format(scope, data.get("channel"))
    if kind == "complaint":
        return f"a complaint about mail of {scope}"
    if kind == "copy.delivered":
        return "mail {} of {} was delivered".format(data.get("message_id"), scope)
    if kind == "notice.version":
        return "version {} of the words shown for {}".format(data.get("version"), scope)
    if kind == "erasure":
        return "the person was erased"
    if kind == "terms.accepted":
        return "{} accepted the terms for attested consent to {}".format(
            data.get("accepted_by"), scope
        )
    if kind == "ledger.discontinuity":
        return discontinuity_words(data)
    return kind


def discontinuity_words(data: Json) -> str:
    """What a restore left, or the loss of the signed heads."""
    last, lost = data.get("last"), data.get("lost")
    if data.get("backup_at") is None:
        return (
            "the signed heads of the relay were missing when it started: nothing from before "
            "vouches for the events up to {}".format(last["seq"] if last else 0)
        )
    words = (
        "the relay's store was brought back from a backup of {}, which ended with event {}".format(
            when(data["backup_at"]), last["seq"] if last else 0
        )
    )
    if lost:
        words += "; events up to {} had been signed before and are lost".format(lost["seq"])
    return words


# --- One chain -----------------------------------------------------------------------------------


class Chain:
    """The events of one tenant in a bundle."""

    def __init__(self, tenant: Json, person: Json | None, key: bytes, whole: bool) -> None:
        self.tenant = tenant
        self.number = tenant["id"]
        self.person = person
        self.key = key
        self.whole = whole
        self.points: dict[int, tuple[bytes, float]] = {0: (ZEROS, 0.0)}
        self.links: dict[int, Json] = {}
        """By sequence number."""
        self.by_id: dict[int, Json] = {}
        self.said: dict[int, Json] = {}
        """What events say, by sequence number."""
        self.rows: dict[int, list[Json]] = {}
        """Rows of imports that are shown, by id of the batch's event."""

    def fail(self, seq: int, why: str) -> DoesNotHold:
        """An error about one event."""
        name = self.tenant.get("slug") or f"number {self.number}"
        return DoesNotHold(f"event {seq} of tenant {name}: {why}")

    def check(self) -> None:
        """Everything but what one event says of another."""
        for head in self.tenant["heads"]:
            self._head(head)
        after = 0
        for run in self.tenant["runs"]:
            after = self._run(run, after)
        if self.whole and (len(self.tenant["runs"]) > 1 or (self.links and 1 not in self.links)):
            raise self.fail(1, "the ledger is not whole")
        if self.whole and max(self.points) > after:
            raise self.fail(after + 1, f"events up to {max(self.points)} are left out")
        for batch in self.tenant["imports"]:
            self._batch(batch)
        for notice in self.tenant["notices"]:
            self._notice(notice)
        self._complete()

    def _head(self, head: Json) -> None:
        statement = {name: head[name] for name in SIGNED}
        number, seq, digest = head["head"]
        where = self.fail(seq, "the signed head does not hold")
        if number != self.number or head["key"] != hashlib.sha256(SPKI + self.key).hexdigest():
            raise where
        if not verify_signature(self.key, bytes.fromhex(head["signature"]), canonical(statement)):
            raise where
        leaf = canonical(head["head"])
        if root_of(leaf, head["index"], head["size"], head["path"]).hex() != head["root"]:
            raise where
        octets = bytes.fromhex(digest)
        known = self.points.get(seq)
        if known is not None and known[0] != octets:
            raise self.fail(seq, "two different hashes of it were signed")
        if known is None or head["at"] < known[1]:
            self.points[seq] = (octets, head["at"])

    def _run(self, run: list[Json], after: int) -> int:
        prev: bytes | None = None
        seq = 0
        for link in run:
            if prev is None:
                if link["seq"] <= after or link["seq"] - 1 not in self.points:
                    raise self.fail(link["seq"], "no signed head stands before it")
                prev = self.points[link["seq"] - 1][0]
            elif link["seq"] != seq + 1:
                raise self.fail(seq + 1, "it is missing")
            seq = link["seq"]
            self._link(link, prev)
            prev = bytes.fromhex(link["hash"])
        if prev is None or seq not in self.points:
            raise self.fail(seq, "no signed head covers it")
        return seq

    def _link(self, link: Json, prev: bytes) -> None:
        seq = link["seq"]
        if bytes.fromhex(link["prev"]) != prev:
            raise self.fail(seq, "it does not follow from the event before it")
        digest = link_hash(self.number, link)
        if digest.hex() != link["hash"]:
            raise self.fail(seq, "its hash does not match its fields")
        if seq in self.points and self.points[seq][0] != digest:
            raise self.fail(seq, "it is not the event whose hash was signed")
        if link["id"] in self.by_id:
            raise self.fail(seq, "its number is another event's too")
        self.links[seq] = self.by_id[link["id"]] = link
        if link.get("content") is not None:
            self.said[seq] = self._content(link)
        elif self.whole and "content" not in link:
            raise self.fail(seq, "its content is left out")

    def _content(self, link: Json) -> Json:
        text = link["content"].encode()
        if hashlib.sha256(bytes.fromhex(link["salt"]) + text).hexdigest() != link["commit"]:
            raise self.fail(link["seq"], "its content was changed")
        said: Json = json.loads(text)
        if said["id"] != link["id"]:
            raise self.fail(link["seq"], "it stands under another number")
        subject = said["subject"]
        if self.person and subject and subject["wide"] != self.person["wide"]:
            raise self.fail(link["seq"], "it is about another person")
        return said

    def _batch(self, batch: Json) -> None:
        link = self.by_id.get(batch["event"])
        if link is None or link["seq"] not in self.said or link["type"] not in IMPORTED:
            raise self.fail(0, "import {} has no event".format(batch["import"]))
        data = self.said[link["seq"]]["data"]
        running, shown = ZEROS, []
        for row in batch["rows"]:
            line, commit = row[0], row[1]
            octets = line.to_bytes(8, "big", signed=True) + bytes.fromhex(commit)
            running = hashlib.sha256(running + octets).digest()
            if len(row) == 2:
                continue
            octets = bytes.fromhex(row[2]) + row[3].encode()
            if hashlib.sha256(octets).hexdigest() != commit:
                raise self.fail(link["seq"], f"line {line} was changed")
            said = json.loads(row[3])
            if said["line"] != line:
                raise self.fail(link["seq"], f"line {line} stands in another's place")
            if self.person and said["wide"] != self.person["wide"]:
                raise self.fail(link["seq"], "a row is about another person")
            shown.append(said)
        found = (batch["import"], running.hex(), len(batch["rows"]))
        if found != (data["import"], data["content"], data["rows"]):
            raise self.fail(link["seq"], "the rows are not those that were imported")
        self.rows[batch["event"]] = shown

    def _notice(self, notice: Json) -> None:
        link = self.by_id.get(notice["event"])
        said = self.said.get(link["seq"]) if link else None
        if link is None or said is None or link["type"] != "notice.version":
            raise self.fail(0, "the words of notice {} have no event".format(notice["digest"]))
        fields = ("list", "version", "language", "digest")
        if any(said["data"][name] != notice[name] for name in fields):
            raise self.fail(link["seq"], "the words shown are not those on record")
        if hashlib.sha256(notice["content"].encode()).hexdigest() != notice["digest"]:
            raise self.fail(link["seq"], "the words shown were changed")

    def _complete(self) -> None:
        """What an event points at comes along with it."""
        digests = {notice["digest"] for notice in self.tenant["notices"]}
        for seq, said in self.said.items():
            link = self.links[seq]
            if link["type"] in IMPORTED and link["id"] not in self.rows:
                raise self.fail(seq, "its rows are left out")
            # In a row of an import any word may stand that a file brought along.
            for digest in find(said, "notice_digest"):
                if digest not in digests:
                    raise self.fail(seq, "the words that were shown are left out")

    # --- mail and the consent that allowed it ---------------------------------------------------

    def bindings(self) -> tuple[int, int, list[str]]:
        """How many deliveries are bound to a consent, how many name none, and remarks."""
        bound, without, remarks = 0, 0, []
        endings = self._endings()
        for seq in sorted(self.said):
            if self.links[seq]["type"] != "copy.delivered":
                continue
            data = self.said[seq]["data"]
            if data.get("consent") is None:
                without += 1
                remarks.append(f"event {seq}: no consent was on record for this mail")
            else:
                remark = self._binding(seq, endings)
                bound += remark is None
                if remark is not None:
                    remarks.append(f"event {seq}: {remark}")
        return bound, without, remarks

    def _binding(self, seq: int, endings: dict[str, list[Ending]]) -> str | None:
        said, t = self.said[seq], self.links[seq]["t"]
        data, person = said["data"], said["subject"]
        consent = self.by_id.get(data["consent"])
        if consent is None:
            raise self.fail(seq, "the consent that it names is not in the chain")
        given = consent["seq"]
        if given >= seq:
            raise self.fail(seq, "the consent that it names came later")
        if consent["type"] not in ("consent.granted", "consent.imported"):
            raise self.fail(seq, "what it names as consent is none")
        if given not in self.said:
            if not self.whole:
                raise self.fail(seq, "the consent that it names is left out")
            return f"what the consent (event {given}) said was erased"
        what = self.said[given]["data"]
        if consent["type"] == "consent.granted":
            if self.said[given]["subject"]["exact"] != person["exact"]:
                raise self.fail(seq, "the consent that it names is another person's")
            if what.get("expires_at") is not None and what["expires_at"] * 1000 < t - HANDED_OVER:
                raise self.fail(seq, "the consent that it names had expired")
        else:
            rows = self.rows.get(consent["id"], [])
            if not any(row["exact"] == person["exact"] for row in rows):
                if not self.whole:
                    raise self.fail(seq, "the consent that it names is another person's")
                return f"the row of the import (event {given}) was erased"
        if not covers(what, data):
            raise self.fail(seq, "the consent that it names is for something else")
        return self._not_ended(seq, given, endings)

    def _not_ended(self, seq: int, given: int, endings: dict[str, list[Ending]]) -> str | None:
        """After an opt-out only the person's own act counts, when it came later in the ledger and
        by its own date: an old yes that is recorded late brings nobody back. What others put on
        record after a person left, whatever part, does not count at all."""
        said, t = self.said[seq], self.links[seq]["t"]
        data, as_of = said["data"], said["data"].get("as_of")
        own, yes = self.said[given]["data"].get("own_act"), self.links[given]["t"]
        late = 0
        for out, scope, at in endings.get(said["subject"]["wide"], []):
            if out < given and not own:
                raise self.fail(seq, f"the person had left with event {out} before that consent")
            if out >= seq or not covers(scope, data) or (out < given and at <= yes):
                continue
            link = self.links[out]
            if link["id"] > as_of if as_of is not None else link["t"] > t - HANDED_OVER:
                late = out
            else:
                raise self.fail(seq, f"the person had left with event {out}")
        if late:
            return f"the opt-out of event {late} came while it was being handed over"
        return None

    def _endings(self) -> dict[str, list[Ending]]:
        """Opt-outs and complaints, by person; an imported one of the very same moment as one
        before is that one, told again."""
        found: dict[str, list[Ending]] = {}
        told: set[tuple[Any, ...]] = set()
        for seq in sorted(self.said):
            kind, said = self.links[seq]["type"], self.said[seq]
            if kind in ("optout", "complaint") and said["subject"]:
                ending = (seq, said["data"], self.links[seq]["t"])
                found.setdefault(said["subject"]["wide"], []).append(ending)
            elif kind == "optout.imported":
                data = said["data"]
                for row in self.rows[self.links[seq]["id"]]:
                    opt_out = (row["wide"], row["at"], data.get("brand"), data.get("list"))
                    if opt_out not in told:
                        told.add(opt_out)
                        ending = (seq, data, round(row["at"] * 1000))
                        found.setdefault(row["wide"], []).append(ending)
        return found

    # --- words ----------------------------------------------------------------------------------

    def story(self) -> list[str]:
        """Every event shown, in words."""
        lines = []
        for seq in sorted(self.links):
            link = self.links[seq]
            if seq in self.said:
                words = event_words(self.tenant, link["type"], self.said[seq]["data"])
                words += self._more_words(link)
            elif "content" in link:
                words = "{}: its content was erased".format(link["type"])
            else:
                continue
            fixed = min(at for point, (_, at) in self.points.items() if point >= seq)
            lines.append(
                "  {}  event {}: {}. On record, signed, by {}.".format(
                    when(link["t"] / 1000), seq, words, when(fixed)
                )
            )
        return lines

    def _more_words(self, link: Json) -> str:
        """What the person was shown, or the consent that a mail was sent under."""
        if link["type"] == "notice.version":
            for notice in self.tenant["notices"]:
                if notice["event"] == link["id"]:
                    shown = json.loads(notice["content"])
                    return ": " + "; ".join(f"{name}: {shown[name]}" for name in sorted(shown))
        if link["type"] == "copy.delivered":
            consent = self.by_id.get(self.said[link["seq"]]["data"].get("consent"))
            if consent is not None:
                return f", under the consent of event {consent['seq']}"
        return ""


def covers(scope: Json, mail: Json) -> bool:
    """Whether a consent or an opt-out of some scope covers a mail."""
    if scope.get("list") is not None:
        return bool(scope["list"] == mail.get("list"))
    return scope.get("brand") is None or bool(scope["brand"] == mail.get("brand"))


def find(value: Any, key: str) -> list[str]:
    """Every text that stands under ``key``, at any depth."""
    if isinstance(value, dict):
        own = [v for k, v in value.items() if k == key and isinstance(v, str)]
        return own + [one for v in value.values() for one in find(v, key)]
    if isinstance(value, list):
        return [one for v in value for one in find(v, key)]
    return []


# --- The bundle ----------------------------------------------------------------------------------


def open_bundle(octets: bytes, published: str | None) -> tuple[Json, bytes]:
    """The document and the key that it was signed with."""
    try:
        bundle = json.loads(octets)
        form = (bundle["format"], bundle["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise CannotCheck("this file is no proof of consent-relay") from error
    if form != (FORMAT, VERSION):
        raise CannotCheck("this is version {1} of {0!r}, and I know 1".format(*form))
    lines = [line for line in bundle["key"]["pem"].splitlines() if not line.startswith("-")]
    spki = base64.b64decode("".join(lines))
    fingerprint = hashlib.sha256(spki).hexdigest()
    if not spki.startswith(SPKI) or len(spki) != len(SPKI) + 32:
        raise DoesNotHold("the key is no Ed25519 key")
    if fingerprint != bundle["key"]["fingerprint"]:
        raise DoesNotHold("the key's fingerprint is not the one that the file names")
    if published is not None and fingerprint != published.lower().replace(":", ""):
        raise DoesNotHold(f"the key is not the published one: it is {fingerprint}")
    key = spki[len(SPKI) :]
    body, _, seal = octets.rpartition(SEAL)
    if not seal.endswith(b'"}\n'):
        raise DoesNotHold("the file is not as the relay wrote it")
    signature = bytes.fromhex(seal[:-3].decode())
    if not verify_signature(key, signature, CONTEXT + hashlib.sha256(body).digest()):
        raise DoesNotHold("the file is not as the relay wrote it")
    return bundle, key


def report(bundle: Json, key: bytes, every_event: bool) -> list[str]:
    """Check all of it; returns what was proven, in words."""
    person = bundle["person"]
    lines = ["Relay {}, {}.".format(bundle["relay"], bundle["made"])]
    if person:
        lines.append("Person: {}".format(person["address"]))
    for tenant in bundle["tenants"]:
        chain = Chain(tenant, person, key, bundle["kind"] == "ledger")
        chain.check()
        bound, without, remarks = chain.bindings()
        name = (tenant.get("party") or {}).get("name") or "tenant {}".format(tenant["id"])
        lines.append("")
        lines.append(
            "{}: {} events shown of {} links, {} signed heads: unchanged, in order.".format(
                name, len(chain.said), len(chain.links), len(tenant["heads"])
            )
        )
        if person or every_event:
            lines += chain.story()
        if bound:
            lines.append(
                f"  {bound} mails delivered under a consent that was given before, covers the list"
                " and had not been withdrawn."
            )
        if without:
            lines.append(f"  {without} mails delivered with no consent on record.")
        lines += ["  " + remark + "." for remark in remarks]
        for seq, said in chain.said.items():
            if chain.links[seq]["type"] == "ledger.discontinuity" and not (person or every_event):
                lines.append("  event {}: {}.".format(seq, discontinuity_words(said["data"])))
    if not bundle["tenants"]:
        lines.append("Nothing is on record.")
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
            octets = file.read()
        bundle, key = open_bundle(octets, given.key)
        lines = report(bundle, key, given.events)
    except (OSError, CannotCheck) as error:
        sys.stderr.write(f"cannot be checked: {error}\n")
        return 2
    except DoesNotHold as error:
        sys.stderr.write(f"DOES NOT HOLD: {plain(str(error))}\n")
        return 1
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        # Whatever a changed file makes of our reading it: it is not as the relay wrote it.
        sys.stderr.write(f"DOES NOT HOLD: a part is missing or misshapen ({error!r})\n")
        return 1
    sys.stdout.write("\n".join(plain(line) for line in lines) + "\n\n")
    if given.key is None:
        sys.stdout.write(
            "Key {}: compare it with the one that the relay's operator has published.\n".format(
                bundle["key"]["fingerprint"]
            )
        )
    sys.stdout.write("Everything in this file holds.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
