"""The doctor's look at what consent rests on: terms, proof, what is told, who may ask."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Final

from relay.consent.list_notices import ListNotices
from relay.consent.sender_of import own_sender
from relay.consent.sign_up_requests import place_of
from relay.consent.terms import TermsTrouble, current_terms
from relay.operate.context import Context
from relay.operate.doctor_check import Check
from relay.ports import StoreTrouble
from relay.settings import Settings
from relay.settings_checks import is_loopback, split_address
from relay.store.backup import HEADS

TAIL: Final = 1_000_000
"""Octets at the end of a file of heads in which its last line is looked for."""


def check_sign_up(context: Context) -> Check:
    """People can sign up to every list that consent is asked for."""
    directory = context.store.directory
    notices = ListNotices(context.store, context.clock)
    closed: list[Check] = []
    for mailing_list in directory.lists.values():
        owner = directory.tenants[mailing_list.tenant_id]
        if place_of(directory, owner.slug, mailing_list.slug) is None:
            continue
        name = f"nobody can sign up to {mailing_list.slug} of {owner.slug}"
        if own_sender(owner, mailing_list, directory) is None:
            why = "it has no sender domain for which the confirmation mail could be signed"
            mend = f"consent-relay domain add {owner.slug} DOMAIN"
        else:
            refusal = notices.refusal(owner, mailing_list)
            if refusal is None:
                continue
            why = refusal
            mend = "change the words: list set --purpose or --third-parties, or tenant set --name"
        closed.append(Check("sign-up", False, f"{name}: {why}", mend))
    if not closed:
        return Check("sign-up", True, "people can sign up to every commercial list")
    first, more = closed[0], len(closed) - 1
    if not more:
        return first
    rest = f"(and {more} more list{'s' if more > 1 else ''})"
    return replace(first, detail=f"{first.detail} {rest}")


def check_terms(settings: Settings) -> Check:
    """The text that tenants accept before their own word counts can be read."""
    try:
        terms = current_terms(settings.operator.terms_file)
    except TermsTrouble as error:
        return Check("terms", False, f"{error}", "put a UTF-8 text there that the service can read")
    return Check("terms", True, f"version {terms.version}, in {', '.join(sorted(terms.texts))}")


def check_heads_copy(settings: Settings) -> Check:
    """The second file of signed heads ends as the first. Reads files: run in a thread."""
    copy = settings.store.heads_copy
    if copy is None:
        return Check(
            "heads copy",
            True,
            "there is one file of signed heads, on this disk: whoever cuts off its end, and the"
            " database's, leaves no trace",
            "name a second file on another machine's disk: store.heads_copy",
        )
    mend = "see whether its disk is there, has room, and lets the service write"
    try:
        # The copy first: what is signed meanwhile must not count as missing.
        copied, first = _tail(copy), _tail(settings.data_dir / HEADS)
    except FileNotFoundError:
        return Check("heads copy", False, f"{copy} is not there yet", mend)
    except OSError as error:
        return Check("heads copy", False, f"{copy}: {error.strerror}", mend)
    last = copied.removesuffix(b"\n").rpartition(b"\n")[2]
    behind = first.rpartition(last + b"\n")
    if not last or not behind[1]:
        return Check("heads copy", False, f"{copy} does not hold the newest heads", mend)
    missing = behind[2].count(b"\n")
    if missing > 1:
        return Check("heads copy", False, f"{copy} lacks the last {missing} heads", mend)
    return Check("heads copy", True, f"{copy} holds the newest heads")


def _tail(path: os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        return file.read()


async def check_webhooks(context: Context) -> Check:
    """Nothing was given up that senders' software should have been told."""
    try:
        counts = await context.store.outbox.counts()
    except StoreTrouble as error:
        return Check("webhooks", False, f"the store does not answer: {error}", "see the log")
    dead = Counter(
        {tenant: number for (tenant, state), number in counts.items() if state == "dead"}
    )
    for tenant_id, number in dead.most_common(1):
        tenant = context.store.directory.tenants.get(tenant_id)
        slug = tenant.slug if tenant is not None else "TENANT"
        return Check(
            "webhooks",
            False,
            f"{dead.total()} notices were given up, {number} of them for {slug}",
            f"consent-relay webhook dead {slug}; when its server is back, webhook retry {slug}",
        )
    return Check("webhooks", True, "nothing was given up")


def check_api(settings: Settings) -> Check:
    """The API speaks no TLS, so it must not face the world."""
    host, _ = split_address(settings.http.admin)
    if is_loopback(host):
        return Check("api", True, f"{settings.http.admin} is reached from this machine alone")
    return Check(
        "api",
        True,
        f"{settings.http.admin} is open to other machines, without TLS",
        "let only a proxy that speaks TLS reach it, by firewall; or set http.admin to loopback",
    )
