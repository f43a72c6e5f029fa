"""Backup and restore: nothing that a person said is forgotten."""

import asyncio
from pathlib import Path

import pytest

from relay.operate import archive, keyfiles
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.local import open_context
from relay.operate.operations import OPERATIONS
from relay.settings import Settings
from tests.support.clock import FakeClock

PERSON = {"address": "ann@example.org", "tenant": "shop"}


async def backup(context: Context, file: Path) -> None:
    made = await OPERATIONS.call(context, "backup", {})
    assert isinstance(made, dict)
    assert archive.move_into_place(Path(str(made["file"])), file) > 0
    assert not list(context.data_dir.glob("snapshots/*"))


async def prepared(settings: Settings, clock: FakeClock, file: Path) -> None:
    """A backup from before a person left, and a store that knows of it."""
    async with open_context(settings, clock) as context:
        tenant = {"slug": "shop", "name": "S", "address": "A", "contact": "o@shop.example"}
        await OPERATIONS.call(context, "tenant.add", tenant)
        await backup(context, file)
        clock.advance(60)
        await OPERATIONS.call(context, "consent.withdraw", PERSON)


async def states(settings: Settings, clock: FakeClock) -> list[object]:
    """How the person stands at each list."""
    async with open_context(settings, clock) as context:
        record = await OPERATIONS.call(context, "consent.show", {"address": PERSON["address"]})
        assert isinstance(record, dict)
        return [line["state"] for line in record["standings"]]  # type: ignore[index,union-attr,call-overload]


async def test_opt_outs_made_after_the_backup_are_in_force_again(
    settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await prepared(settings, clock, file)
    pepper = keyfiles.load(settings.data_dir).pepper
    done = await archive.restore(settings, file, clock)
    assert done["replayed"] == 1
    assert str(done["before"]).startswith(f"{settings.data_dir}.before-")
    assert keyfiles.load(settings.data_dir).pepper == pepper
    assert await states(settings, clock) == ["withdrawn"]


async def test_restored_files_are_the_owners_alone(
    settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await prepared(settings, clock, file)
    assert file.stat().st_mode & 0o077 == 0
    await archive.restore(settings, file, clock)
    for path in (settings.data_dir, *settings.data_dir.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_not_while_the_relay_runs(
    settings: Settings, context: Context, clock: FakeClock, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await backup(context, file)
    with pytest.raises(OperationError, match="stop the relay first"):
        await archive.restore(settings, file, clock)
    assert (settings.data_dir / "store.db").exists()


async def test_what_is_no_backup_changes_nothing(
    settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    await prepared(settings, clock, tmp_path / "backup.tar")
    before = sorted(settings.data_dir.rglob("*"))
    (tmp_path / "bad.tar").write_bytes(b"nothing of the sort" * 100)
    with pytest.raises(OperationError, match="nothing was restored"):
        await archive.restore(settings, tmp_path / "bad.tar", clock)
    with pytest.raises(OperationError, match="there is no file"):
        await archive.restore(settings, tmp_path / "none.tar", clock)
    assert sorted(settings.data_dir.rglob("*")) == before


async def test_a_backup_of_another_relay_is_refused(
    settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    await prepared(settings, clock, tmp_path / "ours.tar")
    other_dir = tmp_path / "other"
    other_dir.mkdir()
    keyfiles.make(other_dir)
    other = Settings(data_dir=other_dir)
    await prepared(other, clock, tmp_path / "theirs.tar")
    with pytest.raises(OperationError, match="its pepper differs"):
        await archive.restore(settings, tmp_path / "theirs.tar", clock)
    async with open_context(settings, clock) as context:
        assert context.store.directory.tenant("shop") is not None


async def test_a_backup_goes_over_no_file(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    file.write_text("precious")
    with pytest.raises(OperationError, match="not overwritten"):
        await backup(context, file)
    assert file.read_text() == "precious"
    assert not list(context.data_dir.glob("snapshots/*"))


@pytest.mark.parametrize(
    "step",
    [
        "relay.store.ledger.heads.Heads.write",
        "relay.operate.archive._check_keys",
        "relay.operate.archive._move_in",
    ],
)
async def test_a_restore_that_is_cut_off_forgets_no_opt_out(
    settings: Settings,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """Neither when the relay is simply started again, nor when the restore is repeated."""
    file = tmp_path / "backup.tar"
    await prepared(settings, clock, file)
    with monkeypatch.context() as patch:

        def cut_off(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(step, cut_off)
        with pytest.raises(KeyboardInterrupt):
            await archive.restore(settings, file, clock)
    assert await states(settings, clock) == ["withdrawn"]
    done = await archive.restore(settings, file, clock)
    assert done["replayed"] == 1
    assert await states(settings, clock) == ["withdrawn"]
    assert not await asyncio.to_thread(list, settings.data_dir.parent.glob("*.restoring"))


async def test_a_snapshot_that_a_crash_left_is_gone_after_the_next_start(
    settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    """It holds every address, and the keys."""
    async with open_context(settings, clock) as context:
        made = await OPERATIONS.call(context, "backup", {})
        assert isinstance(made, dict)
        assert await asyncio.to_thread(Path(str(made["file"])).exists)
    async with open_context(settings, clock):
        assert not await asyncio.to_thread(Path(str(made["file"])).exists)
