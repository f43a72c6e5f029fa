"""Random histories of two tenants through every door of the whole service layer.

Real services on a real store, with restarts, backups and restores in between. What must hold is
said twice: by a model that knows only who did what and in which order, and by the ledger.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.history_model import PEOPLE
from tests.fuzz.history_world import OF_NOBODY, Step, World
from tests.support.whole_relay import SLUGS

EXAMPLES: Final = int(os.environ.get("SERVICE_HISTORIES", "6"))
"""Histories of one run; more of them by hand."""
SLOTS: Final = 3
"""Lists of a tenant: consent asked for the list, for its brand, for the tenant."""

STEPS = st.builds(
    Step,
    what=st.sampled_from(
        [
            *("sign up", "sign up", "sign up by API", "confirm", "confirm", "confirm"),
            *("signed", "attest", "import", "import"),
            *("one-click", "one-click", "page", "own page", "links"),
            *("API", "hook", "command", "complaint", "opt-out import", "erase"),
            *("recreate", "mail", "mail", "mail", "mail", "release", "receipt"),
            *("deliver", "deliver", "later", "restart", "backup", "restore", "upstream"),
        ]
    ),
    tenant=st.integers(0, 1),
    person=st.integers(0, len(PEOPLE) - 1),
    slot=st.integers(0, SLOTS - 1),
    pick=st.integers(0, 3),
)


async def live(history: list[Step], directory: Path, only: int | None = None) -> list[list[str]]:
    """What the first tenant sees after each of its own steps."""
    world = World(directory, only)
    views: list[list[str]] = []
    try:
        await world.build()
        for number, step in enumerate(history):
            await world.act(number, step)
            if step.what in OF_NOBODY or step.tenant == 0:
                views.append(await world.view(SLUGS[0]))
        await world.end()
    finally:
        await world.relay.close()
    if only is None:
        for what, times in world.happened.items():
            if times:
                event(what)
    return views


@contextmanager
def new_directories() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "both", Path(name) / "alone"


HISTORIES = st.lists(STEPS, min_size=12, max_size=30)
ERASED_AT_ONE_OF_TWO = [
    Step("attest", 1, 1, 0, 3),
    Step("import", 0, 0, 0, 1),
    Step("erase", 0, 1, 1, 1),
]
"""What is gone told the one whether the other had the address, too."""
SIGNED_BETWEEN_TWO_OPT_OUTS = [
    Step("hook", 0, 1, 1, 1),
    Step("later", 1, 1, 2, 0),
    Step("API", 0, 0, 1, 2),
    Step("signed", 0, 1, 1, 2),
]
"""The second opt-out was not recorded, and what was signed before it counted."""
ERASED_SINCE_THE_BACKUP = [
    Step("mail", 0, 1, 2, 1),
    Step("backup", 0, 2, 2, 0),
    Step("complaint", 1, 0, 2, 1),
    Step("erase", 0, 1, 0, 1),
    Step("restore", 0, 0, 1, 0),
    Step("restart", 0, 2, 2, 2),
]
"""Held mail to another spelling came back, unless another tenant knew that spelling."""
THERE_AND_BACK = [
    Step("sign up", 0, 0, 2, 0),
    Step("sign up", 1, 0, 2, 0),
    Step("sign up by API", 0, 1, 0, 0),
    Step("deliver", 0, 0, 0, 0),
    Step("confirm", 0, 0, 0, 1),
    Step("confirm", 1, 0, 0, 0),
    Step("mail", 0, 0, 2, 1),
    Step("mail", 1, 0, 2, 0),
    Step("deliver", 0, 0, 0, 0),
    Step("upstream", 0, 0, 0, 0),
    Step("mail", 0, 0, 1, 1),
    Step("deliver", 0, 0, 0, 0),
    Step("backup", 0, 0, 0, 0),
    Step("one-click", 0, 0, 0, 0),
    Step("confirm", 0, 0, 0, 0),
    Step("sign up", 0, 2, 0, 0),
    Step("upstream", 0, 0, 0, 0),
    Step("deliver", 0, 0, 0, 0),
    Step("restart", 0, 0, 0, 0),
    Step("restore", 0, 0, 0, 0),
    Step("mail", 0, 0, 2, 1),
    Step("import", 0, 0, 2, 1),
    Step("mail", 0, 0, 2, 1),
    Step("confirm", 0, 0, 0, 0),
    Step("deliver", 0, 0, 0, 0),
    Step("own page", 1, 0, 0, 0),
    Step("mail", 1, 0, 2, 0),
    Step("receipt", 0, 0, 2, 1),
]
"""The whole life, and what a backup must not bring back."""


# A history takes a second: finding the shortest one that fails is for those who mend it.
@settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(HISTORIES)
@example(ERASED_AT_ONE_OF_TWO)
@example(SIGNED_BETWEEN_TWO_OPT_OUTS)
@example(ERASED_SINCE_THE_BACKUP)
@example(THERE_AND_BACK)
def test_what_a_person_said_holds_through_every_door(history: list[Step]) -> None:
    with new_directories() as (both, alone):
        both.mkdir()
        alone.mkdir()
        seen = asyncio.run(live(history, both))
        assert asyncio.run(live(history, alone, only=0)) == seen
