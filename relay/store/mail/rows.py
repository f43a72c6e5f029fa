"""Messages and copies as rows, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.model import (
    Action,
    Address,
    Copy,
    CopyState,
    Finding,
    Kind,
    Reason,
    StoredMessage,
)

MESSAGE_COLUMNS: Final = (
    "id, at, tenant_id, list_id, kind, declared, mail_from, body_hash, body_size, subject,"
    " from_address, smtputf8, recipient_count, ours"
)
COPY_COLUMNS: Final = (
    "message_id, seq, tenant_id, at, state, next_at, expires_at, attempts, wire, domain, local,"
    " exact_address, wide_address, exact, reason, rule, findings, digest, consent_event,"
    " released_kind, last_reply"
)
RECORD_COLUMNS: Final = (
    "c.message_id, c.seq, m.at, m.tenant_id, m.list_id, m.kind, m.mail_from, m.from_address,"
    " m.subject, m.body_size, c.wire, c.state, c.reason, c.rule, c.findings, c.digest,"
    " c.consent_event, c.released_kind, c.next_at, c.expires_at, c.attempts, c.last_reply"
)


@dataclass(frozen=True, slots=True)
class CopyRecord:
    """One copy with what its message says, for lists and pages."""

    message_id: str
    seq: int
    at: float
    """When it was accepted."""
    tenant_id: int
    list_id: int | None
    kind: Kind
    mail_from: str
    from_address: str
    subject: str
    body_size: int
    to: str
    state: CopyState
    reason: Reason | None
    rule: str | None
    findings: tuple[Finding, ...]
    digest: str
    consent_event: int | None
    released_kind: Kind | None
    next_at: float
    expires_at: float
    attempts: int
    last_reply: str

    @property
    def id(self) -> str:
        """``MESSAGEID.SEQ``."""
        return f"{self.message_id}.{self.seq}"


def parts_of(copy_id: str) -> tuple[str, int] | None:
    """Message id and number of ``MESSAGEID.SEQ``; None when it is no id of a copy."""
    message_id, _, seq = copy_id.rpartition(".")
    # Nine digits: more would be no number that SQLite takes.
    if not seq.isascii() or not seq.isdigit() or len(seq) > 9:
        return None
    return message_id, int(seq)


def message_row(message: StoredMessage) -> tuple[Any, ...]:
    """In the order of ``MESSAGE_COLUMNS``."""
    return (
        message.id,
        message.at,
        message.tenant_id,
        message.list_id,
        message.kind.value,
        int(message.declared),
        message.mail_from,
        message.body_hash,
        message.body_size,
        message.subject,
        message.from_address,
        int(message.smtputf8),
        message.recipient_count,
        int(message.ours),
    )


def message_of(row: Sequence[Any], header: bytes | None) -> StoredMessage:
    """The message of a row; its header is empty once no copy lives."""
    number, at, tenant, mailing_list, kind, declared, *rest = row
    mail_from, body_hash, body_size, subject, from_address, smtputf8, recipients, ours = rest
    return StoredMessage(
        id=number,
        at=at,
        tenant_id=tenant,
        list_id=mailing_list,
        kind=Kind(kind),
        declared=bool(declared),
        mail_from=mail_from,
        header=header or b"",
        body_hash=body_hash,
        body_size=body_size,
        subject=subject,
        from_address=from_address,
        smtputf8=bool(smtputf8),
        recipient_count=recipients,
        ours=bool(ours),
    )


def copy_row(copy: Copy, message: StoredMessage, exact: bytes) -> tuple[Any, ...]:
    """In the order of ``COPY_COLUMNS``."""
    to = copy.recipient
    return (
        copy.message_id,
        copy.seq,
        message.tenant_id,
        message.at,
        copy.state.value,
        copy.next_at,
        copy.expires_at,
        copy.attempts,
        to.wire,
        to.domain,
        None if to.wire == f"{to.local}@{to.domain}" else to.local,
        None if to.exact == to.wire else to.exact,
        None if to.wide == to.exact else to.wide,
        exact.hex(),
        copy.reason.value if copy.reason is not None else None,
        copy.rule,
        _findings_text(copy.findings) if copy.findings else None,
        copy.digest,
        copy.consent_event,
        copy.released_kind.value if copy.released_kind is not None else None,
        copy.last_reply,
    )


def copy_of(row: Sequence[Any]) -> Copy:
    """The copy of a row in the order of ``COPY_COLUMNS``."""
    message_id, seq, _tenant, _at, state, next_at, expires_at, attempts, *rest = row
    wire, domain, local, exact_address, wide_address, _exact, *judged = rest
    reason, rule, findings, digest, consent_event, released_kind, last_reply = judged
    exact = exact_address or wire
    local = wire.removesuffix(f"@{domain}") if local is None else local
    return Copy(
        message_id=message_id,
        seq=seq,
        recipient=Address(wire, local, domain, exact, wide_address or exact),
        state=CopyState(state),
        reason=Reason(reason) if reason is not None else None,
        rule=rule,
        digest=digest,
        consent_event=consent_event,
        next_at=next_at,
        attempts=attempts,
        expires_at=expires_at,
        last_reply=last_reply,
        released_kind=Kind(released_kind) if released_kind is not None else None,
        findings=_findings_of(findings),
    )


def record_of(row: Sequence[Any]) -> CopyRecord:
    """The record of a row in the order of ``RECORD_COLUMNS``."""
    message_id, seq, at, tenant, mailing_list, kind, *rest = row
    mail_from, from_address, subject, body_size, to, state, *judged = rest
    reason, rule, findings, digest, consent_event, released_kind, *fate = judged
    return CopyRecord(
        message_id,
        seq,
        at,
        tenant,
        mailing_list,
        Kind(kind),
        mail_from,
        from_address,
        subject,
        body_size,
        to,
        CopyState(state),
        Reason(reason) if reason is not None else None,
        rule,
        _findings_of(findings),
        digest,
        consent_event,
        Kind(released_kind) if released_kind is not None else None,
        *fate,
    )


def _findings_text(findings: Sequence[Finding]) -> str:
    return json.dumps(
        [
            [f.rule, int(f.action), f.reason.value, f.detail, *([f.cite] if f.cite else [])]
            for f in findings
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _findings_of(text: str | None) -> tuple[Finding, ...]:
    return tuple(
        Finding(rule, Action(action), Reason(reason), detail, tuple(cite[0]) if cite else ())
        for rule, action, reason, detail, *cite in json.loads(text or "[]")
    )
