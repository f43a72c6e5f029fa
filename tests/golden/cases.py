"""Golden cases: ``NAME.eml`` as it comes in, ``NAME.case.toml``, ``NAME.out.eml`` as it leaves.

``NAME.case.toml`` holds ``about`` (one sentence), ``kind``, and for commercial mail ``list_id``
when one is registered.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from relay.model import Kind, MailingList, Party, StoredMessage, Tenant
from relay.transform.body import body_hash
from relay.transform.compose import compose
from relay.transform.lines import cut
from relay.transform.normalise import normalise

FOLDER = Path(__file__).parent
NAMES = sorted(path.name.removesuffix(".case.toml") for path in FOLDER.glob("*.case.toml"))

_HOSTNAME = "relay.example.net"
_TENANT = Tenant(1, "acme", Party("Acme", "Street 1, Utrecht", "info@shop.example"))


@dataclass(frozen=True, slots=True)
class Case:
    """One message on its way through normalise and compose."""

    came: bytes
    header: bytes
    body: bytes
    body_hash: bytes


def run(name: str) -> Case:
    """Take a case through everything before the signature."""
    case = tomllib.loads((FOLDER / f"{name}.case.toml").read_text())
    came = (FOLDER / f"{name}.eml").read_bytes()
    kind = Kind(case["kind"])
    out = normalise(
        *cut(came),
        hostname=_HOSTNAME,
        unique="4XyZ",
        now=1_700_000_000.0,
        bare_newlines="normalise",
        long_lines="fold",
        max_header_bytes=102_400,
    )
    digest = body_hash(out.body)
    message = StoredMessage(
        id="4XyZ",
        at=1_700_000_000.0,
        tenant_id=1,
        list_id=1,
        kind=kind,
        declared=True,
        mail_from="bounce@shop.example",
        header=out.header,
        body_hash=digest,
        body_size=len(out.body),
        subject="",
        from_address="info@shop.example",
    )
    header = compose(
        message,
        tenant=_TENANT,
        mailing_list=MailingList(
            1, 1, "news", Kind.COMMERCIAL, "News", "1/week", list_id=case.get("list_id")
        ),
        kind=kind,
        unsubscribe_url="https://relay.example.net/u/v1.k1.token.mac",
        hostname=_HOSTNAME,
        feedback_id="consentrelay",
    )
    return Case(came, header, out.body, digest)
