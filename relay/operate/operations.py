"""All operations by name: what the control socket and the command line can ask."""

from __future__ import annotations

from typing import Final

from relay.operate import (
    archive,
    brands,
    consents,
    copies,
    credentials,
    doctor,
    domains,
    explain,
    imports,
    ledger,
    lists,
    sources,
    tenants,
)
from relay.operate.registry import Registry

OPERATIONS: Final = Registry(
    {
        "backup": archive.snapshot,
        "brand.add": brands.add,
        "brand.list": brands.listing,
        "brand.remove": brands.remove,
        "consent.show": consents.show,
        "consent.withdraw": consents.withdraw,
        "credential.add": credentials.add,
        "credential.list": credentials.listing,
        "credential.revoke": credentials.revoke,
        "doctor": doctor.doctor,
        "domain.add": domains.add,
        "domain.list": domains.listing,
        "domain.remove": domains.remove,
        "domain.rotate": domains.rotate,
        "explain": explain.explain,
        "import.abort": imports.abort,
        "import.begin_consents": imports.begin_consents,
        "import.begin_optouts": imports.begin_optouts,
        "import.commit": imports.commit,
        "import.consent_rows": imports.consent_rows,
        "import.optout_rows": imports.optout_rows,
        "ledger.export": ledger.export,
        "ledger.verify": ledger.verify,
        "list.add": lists.add,
        "list.archive": lists.archive,
        "list.list": lists.listing,
        "list.set": lists.change,
        "list.show": lists.show,
        "quarantine.delete": copies.delete_held,
        "quarantine.list": copies.held,
        "quarantine.release": copies.release,
        "quarantine.show": copies.show,
        "source.add": sources.add,
        "source.list": sources.listing,
        "spool.delete": copies.delete_spooled,
        "spool.list": copies.spooled,
        "spool.retry": copies.retry,
        "tenant.add": tenants.add,
        "tenant.list": tenants.listing,
        "tenant.resume": tenants.resume,
        "tenant.set": tenants.change,
        "tenant.show": tenants.show,
        "tenant.suspend": tenants.suspend,
    }
)
