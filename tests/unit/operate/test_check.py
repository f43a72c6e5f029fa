"""What `check` says of a configuration that is allowed and should be known."""

from pathlib import Path

import pytest

from relay.operate import keyfiles
from relay.operate.check import check
from relay.settings import Operator, Settings


@pytest.mark.parametrize(
    ("contact", "told"),
    [("postmaster@localhost", True), ("root@mailhost", True), ("abuse@host.example", False)],
)
def test_a_contact_that_nobody_outside_reaches_is_told(
    tmp_path: Path, contact: str, told: bool
) -> None:
    keyfiles.make(tmp_path)
    settings = Settings(data_dir=tmp_path, operator=Operator(contact=contact))
    notes = " ".join(check(settings))
    assert (f"write to {contact}, which reaches nobody" in notes) is told
