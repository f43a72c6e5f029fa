"""After a return to an older backup no number is given out that mail or opt-outs may name."""

from __future__ import annotations

from pathlib import Path

from relay.model import Brand
from relay.settings import Store as StoreSettings
from relay.store import Store, restore
from tests.support.clock import FakeClock
from tests.unit.store.samples import newsletter, open_store, tenant


async def test_what_was_made_after_the_backup_keeps_its_number_for_ever(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    """A link in a mail of the lost list must never stop, or show, another tenant's list."""
    shop = await store.registry.add_tenant(tenant())
    await store.registry.add_list(newsletter(shop.id, "news"))
    archive = tmp_path / "backup.tar"
    await store.backup(archive)
    lost = (
        (await store.registry.add_tenant(tenant("lost"))).id,
        (await store.registry.add_list(newsletter(shop.id, "lost"))).id,
        (await store.registry.add_brand(Brand(0, shop.id, "lost", "Lost"))).id,
    )
    await store.close()

    await restore(archive, tmp_path / "again", settings=StoreSettings(), clock=clock)
    again = await open_store(tmp_path / "again", clock)
    club = await again.registry.add_tenant(tenant("club"))
    made = (
        club.id,
        (await again.registry.add_list(newsletter(club.id, "post"))).id,
        (await again.registry.add_brand(Brand(0, club.id, "club", "Club"))).id,
    )
    assert all(new > old for new, old in zip(made, lost, strict=True))
    assert (await again.ledger.verify()).ok
    await again.close()
