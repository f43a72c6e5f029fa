"""Requests for consent: asked, mailed, confirmed or lapsed, and the caps on the mail they cause.

One transaction decides and records, so that two requests at once can never both pass a cap. What
was said stands in the ledger; a row here lives only as long as its request can be answered.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from relay.model import Directory, SubjectKeys
from relay.ports import Json, NewEvent
from relay.store.ledger.ledger import Ledger
from relay.store.people.consents import scope_of
from relay.store.people.signup_caps import DAY, Caps, room, too_many
from relay.store.people.signup_rows import (
    ASKED,
    BY_ID,
    BY_MESSAGE,
    COLUMNS,
    CONFIRMED,
    MAILED,
    POSTED,
    POSTING,
    PRESSED,
    SignUp,
    evidence_of,
    left_since,
    living,
    one,
    reread,
)
from relay.store.people.subjects import KEEP_ADDRESS
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Transaction
from relay.store.sqlite.worker import Reader

POSTING_SECONDS: Final = 120.0
"""Seconds after which a row whose mail was being handed over belongs to nobody any more."""
MOST_FETCHES: Final = 1_000
"""Fetches of one page that are counted; more say nothing more."""
AT_ONCE: Final = 500
"""Rows that one transaction of the housekeeping touches."""

_LATEST: Final = f"""
SELECT {COLUMNS} FROM signups
 WHERE wide = ? AND exact = ? AND tenant_id = ? AND list_id IN (SELECT value FROM json_each(?))
   AND at > ? ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - constants
_INSERT: Final = (
    "INSERT INTO signups (nonce, tenant_id, list_id, exact, wide, language, notice_id, at, network,"
    " form, state, event_id, mail_reply, fetches, fetch_agent, fetch_network)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'asked', ?, '', 0, '', '')"
)
_REPLACE: Final = """
UPDATE signups SET state = 'replaced'
 WHERE wide = ? AND tenant_id = ? AND list_id IN (SELECT value FROM json_each(?)) AND id < ?
   AND state IN ('asked', 'posting', 'posted', 'mailed', 'pressed')
"""
_ABANDONED: Final = """
SELECT id, EXISTS (SELECT 1 FROM messages m WHERE m.id = signups.message_id) FROM signups
 WHERE state = 'posting' AND posted_at < ?
"""
_ABANDONED_OF_PERSON: Final = """
SELECT id, EXISTS (SELECT 1 FROM messages m WHERE m.id = signups.message_id) FROM signups
 WHERE wide = ? AND state = 'posting' AND posted_at < ?
"""
_LAPSE: Final = """
UPDATE signups SET state = 'lapsed' WHERE id IN (
  SELECT id FROM signups
   WHERE at <= ? AND state IN ('asked', 'posting', 'posted', 'mailed') LIMIT ?)
RETURNING tenant_id
"""
_FINISHED: Final = """
DELETE FROM signups WHERE id IN (
  SELECT id FROM signups WHERE at <= ? AND coalesce(confirmed_at, at) <= ?
   AND state NOT IN ('asked', 'posting', 'posted', 'mailed') LIMIT ?)
RETURNING exact
"""
# Of somebody who never said yes, nor anything else that we must act on, no address is kept; nor of
# an erased person, who left an opt-out behind and whom anybody can name in a form.
_FORGET_ADDRESS: Final = """
DELETE FROM subjects
 WHERE exact = ?
   AND NOT EXISTS (SELECT 1 FROM consents c WHERE c.exact = subjects.exact AND c.state = 'granted')
   AND (NOT EXISTS (SELECT 1 FROM suppressions p WHERE p.wide = subjects.wide)
        OR EXISTS (SELECT 1 FROM erasures g WHERE g.wide = subjects.wide))
   AND NOT EXISTS (
     SELECT 1 FROM signups s WHERE s.wide = subjects.wide AND s.exact = subjects.exact)
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be recorded."""

    tenant_id: int
    list_id: int
    keys: SubjectKeys
    address: str
    language: str
    notice_id: int
    at: float
    network: str
    """Of the client: the address, for IPv6 its /64."""
    form: str
    """Names the form, for its cap."""
    pending: NewEvent
    """``consent.pending``, with the evidence."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a request."""

    signup: SignUp | None
    """None: no mail may leave for it, and nothing was recorded."""
    mail: bool
    """A mail may leave, and is reserved under ``message_id``: ``settle`` says what became of it."""


Grant = Callable[[SignUp, Mapping[str, Json]], tuple[NewEvent, bool]]
"""Makes ``consent.granted`` from a request and the evidence of its pending event, and says whether
the confirmation can be a person's: what certainly is not one's does not use the request up."""


class SignUps:
    """Keeps requests and counts the mail that they cause."""

    def __init__(self, directory: Callable[[], Directory]) -> None:
        self._directory: Final = directory

    def attach(self, writer: Writer, reader: Reader, ledger: Ledger) -> None:
        """Hand over the connections."""
        self._writer, self._reader, self._ledger = writer, reader, ledger

    async def ask(self, request: Request, caps: Caps, message_id: str) -> Recorded | None:
        """Record a request, and reserve its mail if the caps allow one; durable on return.

        The same request within 24 hours records nothing new, unless the person has answered or
        left since; nor does one for which this tenant's own caps let no mail leave. None: the
        client's network asks for too many persons. Raises StoreTrouble.
        """
        return await self._writer.write(lambda tx: self._ask(tx, request, caps, message_id))

    async def settle(self, signup_id: int, *, taken: bool) -> None:
        """Whether our queue has taken a reserved mail; if not, it counts for no cap.

        Raises StoreTrouble.
        """
        await self._writer.write(lambda tx: self._settle(tx, signup_id, taken))

    async def of_message(self, message_id: str) -> SignUp | None:
        """The request whose mail has this id. Raises StoreTrouble."""
        return await self._reader.read(lambda session: one(session, BY_MESSAGE, message_id))

    async def mailed(self, message_id: str, reply: str, *, at: float) -> SignUp | None:
        """The upstream took a mail, saying ``reply``: record it, with its event. None: it is no
        mail of ours to confirm, or was recorded before. Raises StoreTrouble."""
        return await self._writer.write(lambda tx: self._mailed(tx, message_id, reply, at))

    async def failed(self, message_id: str, reply: str) -> None:
        """The upstream refused a mail for good. Raises StoreTrouble."""
        await self._writer.write(
            lambda tx: tx.raw.execute(
                "UPDATE signups SET state = 'failed', mail_reply = ? WHERE message_id = ?"
                " AND state IN ('posting', 'posted')",
                (reply, message_id),
            )
        )

    async def peek(
        self, nonce: int, keys: SubjectKeys, *, now: float, lifetime: float
    ) -> SignUp | None:
        """The request, if it can still be answered or was confirmed, without a trace. Raises
        StoreTrouble."""
        return await self._reader.read(lambda session: living(session, nonce, keys, now, lifetime))

    async def fetch(
        self,
        nonce: int,
        keys: SubjectKeys,
        *,
        now: float,
        lifetime: float,
        user_agent: str,
        network: str,
    ) -> SignUp | None:
        """As ``peek``, and note that its page was fetched: when, how often, and by whom first."""

        def work(tx: Transaction) -> SignUp | None:
            signup = living(tx, nonce, keys, now, lifetime)
            if signup is not None and signup.state != CONFIRMED:
                first = signup.fetched_at is None
                tx.raw.execute(
                    "UPDATE signups SET fetches = min(fetches + 1, ?), last_fetched_at = ?,"
                    " fetched_at = coalesce(fetched_at, ?), fetch_agent = ?, fetch_network = ?"
                    " WHERE id = ?",
                    (
                        MOST_FETCHES,
                        now,
                        now,
                        user_agent if first else signup.fetch_agent,
                        network if first else signup.fetch_network,
                        signup.id,
                    ),
                )
            return signup

        return await self._writer.write(work)

    async def confirm(
        self, nonce: int, keys: SubjectKeys, *, now: float, lifetime: float, grant: Grant
    ) -> tuple[SignUp, bool] | None:
        """Confirm a request that can be answered, once: the consent is in force on return. What a
        machine pressed first is recorded once too, and the person can still confirm.

        Returns the request as it stands now and whether an event was recorded; None when it is
        dead. Raises StoreTrouble.
        """

        def work(tx: Transaction) -> tuple[SignUp, bool] | None:
            signup = living(tx, nonce, keys, now, lifetime)
            if signup is None:
                return None
            if signup.state == CONFIRMED:
                return signup, False
            evidence = evidence_of(tx, signup.event_id)
            assert evidence is not None
            event, by_person = grant(signup, evidence)
            if signup.state == PRESSED and not by_person:
                return signup, False
            self._ledger.append(tx, [event])
            tx.raw.execute(
                "UPDATE signups SET state = ?, confirmed_at = ? WHERE id = ?",
                (CONFIRMED if by_person else PRESSED, now, signup.id),
            )
            self._replace(tx, signup)
            return reread(tx, nonce), True

        return await self._writer.write(work)

    async def lapse(self, *, now: float, lifetime: float, kept: float) -> Sequence[int]:
        """End requests older than ``lifetime`` seconds, and delete those finished for ``kept``
        seconds more. Returns the tenant of each request that ended. Raises StoreTrouble."""
        abandoned = (now - POSTING_SECONDS,)
        await self._writer.write(lambda tx: self._recover(tx, _ABANDONED, abandoned))
        ended: list[int] = []
        while True:
            some = await self._writer.write(
                lambda tx: tx.raw.execute(_LAPSE, (now - lifetime, AT_ONCE)).fetchall()
            )
            ended += [tenant_id for (tenant_id,) in some]
            if len(some) < AT_ONCE:
                break
        while await self._writer.write(lambda tx: _delete(tx, now, lifetime + kept, kept)):
            pass
        return ended

    # --- in the writer's thread -------------------------------------------------------------

    def _ask(
        self, tx: Transaction, request: Request, caps: Caps, message_id: str
    ) -> Recorded | None:
        now, keys = request.at, request.keys
        if too_many(tx, request.network, keys, now=now, caps=caps):
            return None
        self._recover(tx, _ABANDONED_OF_PERSON, (keys.wide.hex(), now - POSTING_SECONDS))
        signup = self._standing(tx, request)
        if signup is not None and signup.state != ASKED:
            return Recorded(signup, False)
        left = room(
            tx,
            request.tenant_id,
            keys,
            form=request.form,
            same_scope=self._same_scope(request.list_id),
            now=now,
            caps=caps,
        )
        if signup is None and left.on_record:
            signup = self._insert(tx, request)
        if signup is None or not left.mail:
            return Recorded(signup, False)
        tx.raw.execute(
            "UPDATE signups SET state = 'posting', message_id = ?, posted_at = ? WHERE id = ?",
            (message_id, now, signup.id),
        )
        return Recorded(reread(tx, signup.nonce), True)

    def _standing(self, tx: Transaction, request: Request) -> SignUp | None:
        """The same request, made within a day and not answered since. Only what happened at this
        tenant counts, so that what is recorded never depends on another's caps."""
        lists = self._same_scope(request.list_id)
        exact, wide = request.keys.exact.hex(), request.keys.wide.hex()
        found = one(tx, _LATEST, wide, exact, request.tenant_id, lists, request.at - DAY)
        if found is None or found.state == CONFIRMED or left_since(tx, found):
            return None
        return found

    def _insert(self, tx: Transaction, request: Request) -> SignUp:
        exact, wide = request.keys.exact.hex(), request.keys.wide.hex()
        tx.raw.execute(KEEP_ADDRESS, (exact, wide, request.address))
        (event,) = self._ledger.append(tx, [request.pending])
        nonce = secrets.randbits(63)
        tx.raw.execute(
            _INSERT,
            (
                nonce,
                request.tenant_id,
                request.list_id,
                exact,
                wide,
                request.language,
                request.notice_id,
                request.at,
                request.network,
                request.form,
                event,
            ),
        )
        return reread(tx, nonce)

    def _settle(self, tx: Transaction, signup_id: int, taken: bool) -> None:
        signup = one(tx, BY_ID, signup_id)
        # Its mail may have been delivered, and even answered, before we hear of it here.
        if signup is None or signup.state != POSTING:
            return
        if taken:
            self._taken(tx, signup, POSTED, signup.posted_at)
        else:
            tx.raw.execute(
                "UPDATE signups SET state = 'asked', posted_at = NULL WHERE id = ?", (signup.id,)
            )

    def _mailed(self, tx: Transaction, message_id: str, reply: str, at: float) -> SignUp | None:
        signup = one(tx, BY_MESSAGE, message_id)
        if signup is None or signup.mailed_at is not None:
            return None
        said: dict[str, Json] = {
            "signup": signup.event_id,
            "message_id": message_id,
            "reply": reply,
        }
        event = NewEvent(signup.tenant_id, "confirmation.mailed", at, signup.keys, said)
        self._ledger.append(tx, [event])
        tx.raw.execute(
            "UPDATE signups SET mailed_at = ?, mail_reply = ? WHERE id = ?", (at, reply, signup.id)
        )
        if signup.state in (ASKED, POSTING, POSTED):
            self._taken(tx, signup, MAILED, signup.posted_at or at)
        return signup

    def _taken(self, tx: Transaction, signup: SignUp, state: str, posted_at: float | None) -> None:
        """Its mail is on its way: an older request of the same person and scope is dead."""
        tx.raw.execute(
            "UPDATE signups SET state = ?, posted_at = ? WHERE id = ?",
            (state, posted_at, signup.id),
        )
        self._replace(tx, signup)

    def _replace(self, tx: Transaction, signup: SignUp) -> None:
        lists = self._same_scope(signup.list_id)
        tx.raw.execute(_REPLACE, (signup.keys.wide.hex(), signup.tenant_id, lists, signup.id))

    def _recover(self, tx: Transaction, sql: str, values: Sequence[object]) -> None:
        """Settle mails whose handing over was cut off: our queue has them, or has them not."""
        for signup_id, queued in tx.raw.execute(sql, values).fetchall():
            self._settle(tx, signup_id, bool(queued))

    def _same_scope(self, list_id: int) -> str:
        """The lists for which consent is asked at the very scope of this one, as a JSON array."""
        lists = self._directory().lists
        this = lists.get(list_id)
        if this is None:
            return json.dumps([list_id])
        scope = (this.tenant_id, scope_of(this))
        return json.dumps([m.id for m in lists.values() if (m.tenant_id, scope_of(m)) == scope])


def _delete(tx: Transaction, now: float, oldest: float, kept: float) -> bool:
    rows = tx.raw.execute(_FINISHED, (now - oldest, now - kept, AT_ONCE)).fetchall()
    for (exact,) in rows:
        tx.raw.execute(_FORGET_ADDRESS, (exact,))
    return len(rows) == AT_ONCE
