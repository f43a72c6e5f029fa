"""Signed heads of the ledger's chains, outside the database, so that a cut tail shows.

Each line of ``ledger-heads.jsonl`` holds the heads of the chains that grew since the line before.
What is signed is the root of a Merkle tree over them, so that one chain's head can be shown with
its signature and without the others'. Nothing is ever taken out of the file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from relay.ports import Json
from relay.store.ledger.chain import Head, merkle_path, merkle_root
from relay.store.ledger.head_copy import HeadCopy
from relay.store.ledger.head_file import End, HeadFile
from relay.store.ledger.key import PublicKey, load_key
from relay.store.sqlite.journal import canonical

log = logging.getLogger("relay.store")

FILE: Final = "ledger-heads.jsonl"
EVERY_EVENTS: Final = 1_000
EVERY_SECONDS: Final = 60.0
RECENT: Final = 1 << 20
"""Octets at the file's end in which ``latest`` looks."""

_SIGNED: Final = ("n", "at", "key", "prev", "root", "restored", "torn")


class Unsigned(ValueError):
    """A line that is not what this key signed; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, its signature checked."""

    number: int
    at: float
    prev: bytes
    """SHA-256 of the line before."""
    heads: Mapping[int, Head]
    restored: bool
    """The store came back from a backup: the chains go on from these heads, and what lines before
    this one say beyond them is void."""
    torn: bool
    """A crash left half a line just before this one."""
    said: Mapping[str, Any]

    def proof(self, tenant_id: int) -> dict[str, Json]:
        """The signed statement with the head of one chain, and nothing of the others."""
        order = sorted(self.heads)
        leaves = [_leaf(tenant, self.heads[tenant]) for tenant in order]
        index = order.index(tenant_id)
        return {
            **{name: self.said[name] for name in (*_SIGNED, "signature")},
            "head": json.loads(leaves[index]),
            "path": [[side, node.hex()] for side, node in merkle_path(index, leaves)],
        }


def read_line(raw: bytes, public: PublicKey) -> Line:
    """One line of the file. Raises Unsigned."""
    try:
        said = _parsed(raw)
        heads = {int(t): Head(int(s), bytes.fromhex(h)) for t, (s, h) in said["heads"].items()}
        statement = {name: said[name] for name in _SIGNED}
        signature = bytes.fromhex(said["signature"])
        prev = bytes.fromhex(said["prev"])
        if said["key"] != public.fingerprint:
            other = str(said["key"])[:16]
            raise Unsigned(f"is signed with another key ({other}…) than the one in keys/ledger.pem")
        if canonical({**statement, "heads": said["heads"], "signature": signature.hex()}) != (
            raw.decode()
        ):
            raise Unsigned("is not signed by this relay as it stands")
        public.key.verify(signature, canonical(statement).encode())
    except Unsigned:
        raise
    except (InvalidSignature, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unsigned("is not signed by this relay as it stands") from error
    if _root(heads) != said["root"]:
        raise Unsigned("is not signed by this relay as it stands")
    return Line(
        said["n"], said["at"], prev, heads, bool(said["restored"]), bool(said["torn"]), said
    )


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise ValueError("brackets without end") from error


class Heads:
    """Writes the heads; used in the writer's thread, between transactions."""

    def __init__(self, data_dir: Path, copy: Path | None = None) -> None:
        """``copy``: a second file, on another disk, that gets every line too.

        Raises StoreTrouble, OSError.
        """
        self._key: Final = load_key(data_dir)
        self.public: Final = PublicKey(self._key.public_key())
        self._file: Final = HeadFile(data_dir / FILE)
        self._copy: Final = HeadCopy(data_dir / FILE, copy) if copy is not None else None
        self._tried_at = float("-inf")
        self._failed = False

    @property
    def path(self) -> Path:
        """Where the lines are."""
        return self._file.path

    @property
    def copy_path(self) -> Path | None:
        """Where they are a second time."""
        return self._copy.path if self._copy is not None else None

    @property
    def end(self) -> End:
        """Where the file ends, as this process wrote or found it."""
        return self._file.end

    def write(self, heads: Mapping[int, Head], at: float, *, restored: bool = False) -> bool:
        """Append one signed line; False, and an error in the log, when that was not possible."""
        end = self._file.end
        self._tried_at = at
        statement: dict[str, Json] = {
            "n": end.lines + 1,
            "at": at,
            "key": self.public.fingerprint,
            "prev": end.digest.hex(),
            "root": _root(heads),
            "restored": restored,
            "torn": end.torn,
        }
        signature = self._key.sign(canonical(statement).encode()).hex()
        said: Json = {str(tenant): [head.seq, head.hash.hex()] for tenant, head in heads.items()}
        line = canonical({**statement, "heads": said, "signature": signature})
        try:
            self._file.append(line.encode())
        except OSError as error:
            self._failed = True
            log.error("ledger heads cannot be written: %s", error)
            return False
        self._failed = False
        if self._copy is not None:
            self._copy.wake()
        return True

    def hurry(self) -> None:
        """Let the next events be signed at once: nothing vouches for them yet."""
        self._tried_at = float("-inf")

    def sign(self, statement: bytes) -> bytes:
        """Ed25519 with the key of the heads, over what cannot be taken for one of their lines."""
        return self._key.sign(statement)

    def due(self, events: int, at: float) -> bool:
        """Whether ``events`` new events want a line now."""
        late = not 0 <= at - self._tried_at < EVERY_SECONDS
        return (events > 0 and late) or (events >= EVERY_EVENTS and not self._failed)

    def latest(self) -> dict[int, Head]:
        """The last heads signed, of the chains that are named near the end of the file."""
        found: dict[int, Head] = {}
        wrong: Unsigned | None = None
        for raw in self._file.tail(RECENT):
            try:
                line = read_line(raw, self.public)
            except Unsigned as error:
                wrong = error
                continue
            wrong = None
            found = dict(line.heads) if line.restored else {**found, **line.heads}
        if wrong is not None and not self.end.torn:
            log.critical("%s: the last line %s", self.path, wrong)
        return found

    def close(self) -> None:
        """Close the file."""
        if self._copy is not None:
            self._copy.close()
        self._file.close()


def _leaf(tenant: int, head: Head) -> bytes:
    return canonical([tenant, head.seq, head.hash.hex()]).encode()


def _root(heads: Mapping[int, Head]) -> str:
    return merkle_root([_leaf(tenant, heads[tenant]) for tenant in sorted(heads)]).hex()
