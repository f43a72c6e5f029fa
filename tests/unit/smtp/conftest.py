"""A certificate authority for the listeners."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.unit.smtp.certificates import Certificates


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificates(authority: trustme.CA, tmp_path: Path) -> Certificates:
    made = Certificates(authority, tmp_path / "server.pem", tmp_path / "server.key")
    made.issue()
    return made
