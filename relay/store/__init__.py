"""What is kept: consent, mail, and who is who. All SQL lives here."""

from relay.store.directory import DirectoryError, Registry
from relay.store.ledger.ledger import Ledger
from relay.store.ledger.verify import VerifyResult
from relay.store.mail.mail import Counts, Mail
from relay.store.mail.rows import CopyRecord
from relay.store.people.consents import Consents, scope_of
from relay.store.people.imports import ImportClosed, ImportResult, ImportRow, Imports
from relay.store.people.timeline import Entry
from relay.store.restore import restore
from relay.store.store import Store

__all__ = [
    "Consents",
    "CopyRecord",
    "Counts",
    "DirectoryError",
    "Entry",
    "ImportClosed",
    "ImportResult",
    "ImportRow",
    "Imports",
    "Ledger",
    "Mail",
    "Registry",
    "Store",
    "VerifyResult",
    "restore",
    "scope_of",
]
