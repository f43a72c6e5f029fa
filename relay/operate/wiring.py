"""Puts the judging parts together around an open store: for the daemon and for the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.operate.keyfiles import Keys
from relay.pipeline.assess import Assessor
from relay.pipeline.review import Review
from relay.ports import Clock, Waiting
from relay.rulebooks import Rulebooks
from relay.settings import Settings
from relay.store.store import Store


@dataclass(frozen=True, slots=True)
class Judging:
    """The judge, and what a person may ask of it."""

    assessor: Assessor
    review: Review


def wire_judging(
    *,
    settings: Settings,
    keys: Keys,
    store: Store,
    rulebooks: Rulebooks,
    clock: Clock,
    offer: Callable[[Sequence[Waiting]], None],
) -> Judging:
    """``offer`` is told of released copies; without a daemon nobody needs to be."""
    assessor = Assessor(
        directory=lambda: store.directory,
        book=store.consents,
        policy=rulebooks.policy,
        pepper=keys.pepper,
        settings=settings,
    )
    review = Review(
        directory=lambda: store.directory,
        assessor=assessor,
        mail=store.mail,
        offer=offer,
        settings=settings,
        clock=clock,
    )
    return Judging(assessor, review)
