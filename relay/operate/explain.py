"""The operation that tells what would happen to a message."""

from __future__ import annotations

import base64
import binascii

from relay.decide.facts import read_message
from relay.decide.sender import mail_from_refusal
from relay.model import Credential
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json


async def explain(
    context: Context,
    content: str,
    tenant: str,
    to: list[str],
    mail_from: str | None = None,
    list: str | None = None,  # noqa: A002  the word of the command line
) -> Json:
    """``content`` is base64 of the whole message; a missing ``mail_from`` is the From address,
    an empty one (or ``<>``) the null sender. Answers as ``context.Explain``."""
    try:
        octets = base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise OperationError("the content is not base64", status=2) from error
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    bound = names.mailing_list(directory, owner, list) if list is not None else None
    if mail_from is None:
        header, _, _ = octets.replace(b"\r\n", b"\n").partition(b"\n\n")
        block = header.replace(b"\n", b"\r\n") + b"\r\n\r\n"
        authors = read_message(block, context.settings.hostname).from_addresses
        sender = authors[0] if authors else None
    else:
        sender = names.address(mail_from, "--from") if mail_from not in ("", "<>") else None
        # The tenant's own client or one on a gateway: what neither may say, nobody may.
        refusal = mail_from_refusal(
            Credential(0, "explain", owner.id, gateway=True),
            sender,
            directory,
            context.settings.operator.domains,
        )
        if refusal is not None:
            return {"refused": refusal.text, "reason": refusal.reason.value}
    recipients = [names.address(text, "--to") for text in to]
    if not recipients:
        raise OperationError("at least one --to is needed", status=2)
    return await context.explain(owner, octets, sender, recipients, bound)
