"""Operations on held copies (quarantine) and waiting copies (spool)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.model import Action, CopyState, Kind, Reason
from relay.operate import names
from relay.operate.choices import ReleaseKind
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import CopyChange, Json, NewEvent
from relay.store.mail.rows import CopyRecord

# --- Quarantine -------------------------------------------------------------------------------


async def held(
    context: Context, tenant: str | None = None, reason: Reason | None = None
) -> AsyncIterator[Json]:
    """What is held, oldest first."""
    owner = names.tenant(context.store.directory, tenant) if tenant is not None else None
    for record in await context.store.mail.held(owner.id if owner else None, reason):
        yield {**_shown(context, record), "reason": record.reason}


async def show(context: Context, id: str) -> Json:  # noqa: A002  the word of the contract
    """One held copy with its findings and header block."""
    record = await _record(context, id, CopyState.HELD)
    message = await context.store.mail.message(record.message_id)
    header = message.header if message is not None else b""
    return {
        **_shown(context, record),
        "reason": record.reason,
        "rule": record.rule,
        "kind": record.kind,
        "size": record.body_size,
        "expires": names.iso(record.expires_at) if record.expires_at else None,
        "findings": [
            {
                "rule": finding.rule,
                "action": finding.action.slug,
                "reason": finding.reason,
                "detail": finding.detail,
                "cite": finding.cite,
            }
            for finding in record.findings
        ],
        "header": header.decode("utf-8", "replace"),
    }


async def release(
    context: Context,
    ids: list[str],
    kind: ReleaseKind | None = None,
    reason: str = "",
) -> Json:
    """Judge held copies again: ``[{id, released, action, reason, rule}]``."""
    if kind is not None and not reason.strip():
        raise OperationError("--kind wants --reason TEXT, for the record", status=2)
    # All ids are looked at first, so that a wrong one releases nothing.
    for copy_id in dict.fromkeys(ids):
        await _record(context, copy_id, CopyState.HELD)
    answer: list[Json] = []
    for copy_id in dict.fromkeys(ids):
        try:
            verdict = await context.release(copy_id, Kind(kind) if kind else None, reason.strip())
        except KeyError as error:
            raise OperationError(f"{copy_id} is not held any more") from error
        answer.append(
            {
                "id": copy_id,
                "released": verdict.action <= Action.DELAY,
                "action": verdict.action.slug,
                "reason": verdict.reason,
                "rule": verdict.rule,
            }
        )
    return answer


async def delete_held(context: Context, ids: list[str]) -> Json:
    """Delete held copies: ``[{id}]``."""
    return await _delete(context, ids, CopyState.HELD)


# --- Spool --------------------------------------------------------------------------------------


async def spooled(context: Context) -> AsyncIterator[Json]:
    """What waits, oldest first."""
    for record in await context.store.mail.spooled():
        why = record.last_reply or (record.reason and str(record.reason)) or "not tried yet"
        yield {**_shown(context, record), "why": why, "next": names.iso(record.next_at)}


async def retry(context: Context, ids: list[str]) -> Json:
    """Try waiting copies now: ``[{id}]``."""
    records = [await _record(context, copy_id, CopyState.WAITING) for copy_id in _once(ids)]
    now = context.clock.now()
    await context.store.mail.change([_change(record, CopyState.WAITING, now) for record in records])
    context.wake([record.id for record in records])
    return [{"id": record.id} for record in records]


async def delete_spooled(context: Context, ids: list[str]) -> Json:
    """Delete waiting copies: ``[{id}]``."""
    return await _delete(context, ids, CopyState.WAITING)


# --- Both ---------------------------------------------------------------------------------------


async def _delete(context: Context, ids: list[str], state: CopyState) -> Json:
    records = [await _record(context, copy_id, state) for copy_id in _once(ids)]
    now = context.clock.now()
    await context.store.mail.change(
        [_change(record, CopyState.DELETED, now) for record in records],
        [
            NewEvent(record.tenant_id, "copy.deleted", now, None, {"copy": record.id, "was": state})
            for record in records
        ],
    )
    return [{"id": record.id} for record in records]


def _once(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def _change(record: CopyRecord, state: CopyState, next_at: float) -> CopyChange:
    return CopyChange(
        message_id=record.message_id,
        seq=record.seq,
        state=state,
        next_at=next_at,
        attempts=record.attempts,
        last_reply=record.last_reply,
        reason=record.reason,
    )


async def _record(context: Context, copy_id: str, state: CopyState) -> CopyRecord:
    record = await context.store.mail.record(copy_id)
    if record is None:
        raise OperationError(f"there is no copy {copy_id!r}")
    if record.state is not state:
        raise OperationError(f"{copy_id} is {record.state}, not {state}")
    return record


def _shown(context: Context, record: CopyRecord) -> dict[str, Json]:
    directory = context.store.directory
    owner = directory.tenants.get(record.tenant_id)
    mailing_list = directory.mailing_list(record.list_id)
    return {
        "id": record.id,
        "time": names.iso(record.at),
        "tenant": owner.slug if owner else None,
        "list": mailing_list.slug if mailing_list else None,
        "from": record.from_address or record.mail_from,
        "to": record.to,
        "subject": record.subject,
    }
