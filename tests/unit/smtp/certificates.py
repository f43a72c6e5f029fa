"""A certificate authority for the listeners."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass
class Certificates:
    """Files for a server, and a client's context that trusts them."""

    authority: trustme.CA
    certificate: Path
    key: Path

    def issue(self) -> None:
        """Write a new certificate with its key."""
        made = self.authority.issue_cert("localhost")
        self.key.write_bytes(made.private_key_pem.bytes())
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))

    @property
    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    @property
    def settings(self) -> dict[str, object]:
        return {"tls_certificate": self.certificate, "tls_key": self.key}
