"""``consent`` and ``optout``: what people said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from relay.cli import csv_rows, timeline
from relay.cli.caller import ask, within
from relay.cli.output import AsJson, counted, progress_bar, say, show_json
from relay.model import Kind
from relay.operate.session import Session

SHOWN: Final = 20
"""Bad rows that are named one by one."""

consent = typer.Typer(help="What people said yes to.", rich_markup_mode=None)
optout = typer.Typer(help="What people said no to.", rich_markup_mode=None)

Tenant = Annotated[str, typer.Argument(metavar="TENANT")]
File = Annotated[Path, typer.Argument(metavar="FILE.csv")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Take the good rows, leave the bad ones out.")
]


def register(program: typer.Typer) -> None:
    """Add both groups."""
    program.add_typer(consent, name="consent")
    program.add_typer(optout, name="optout")


@consent.command("import")
def import_consents(
    context: typer.Context,
    tenant: Tenant,
    list_: Annotated[str, typer.Argument(metavar="LIST")],
    file: File,
    source: Annotated[str, typer.Option(metavar="S", help="The system that collected them.")],
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Record consents: columns address, basis, collected_at, and any evidence."""
    _import(
        context,
        file,
        required=("address", "basis", "collected_at"),
        begin=("import.begin_consents", {"tenant": tenant, "list": list_, "source": source}),
        rows=("import.consent_rows", {"source": source}),
        opted_out="of people who opted out: without effect",
        skip_bad=skip_bad,
        as_json=as_json,
    )


@optout.command("import")
def import_optouts(
    context: typer.Context,
    tenant: Tenant,
    file: File,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Record opt-outs from elsewhere: columns address, collected_at, and any evidence."""
    from relay.consent.rows import optout_date  # loads the store, which no other command needs

    _import(
        context,
        file,
        required=("address",),
        begin=("import.begin_optouts", {"tenant": tenant}),
        rows=("import.optout_rows", {}),
        opted_out="of people who had left before",
        date_of=optout_date,
        skip_bad=skip_bad,
        as_json=as_json,
    )


@consent.command("show")
def show(
    context: typer.Context,
    address: Address,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT")] = None,
    as_json: AsJson = False,
) -> None:
    """One person's record: standing for each list, and the timeline with evidence."""
    record = ask(context, "consent.show", {"address": address, "tenant": tenant})
    if as_json:
        show_json(record)
    else:
        print(record["address"])
        for line in record["standings"]:
            where = f"{line['tenant']}/{line['list']}" if line["list"] else line["tenant"]
            if line["kind"] not in (None, Kind.COMMERCIAL):
                print(f"  {where}: needs no consent")
                continue
            since = f" since {line['since']}" if line["since"] else ""
            basis = f" ({line['basis']})" if line["basis"] != "none" else ""
            print(f"  {where}: {line['state']}{basis}{since}")
        for entry in record["timeline"]:
            for line in timeline.lines(entry):
                print(line)
    if not record["timeline"]:
        say(f"nothing is on record about {record['address']}")
        raise typer.Exit(1)


@consent.command("withdraw")
def withdraw(
    context: typer.Context,
    address: Address,
    tenant: Annotated[str, typer.Option(metavar="TENANT")],
    list_: Annotated[
        str | None, typer.Option("--list", metavar="LIST", help="From what covers this list.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record an opt-out; it is in force at once, also for mail that waits."""
    done = ask(context, "consent.withdraw", {"address": address, "tenant": tenant, "list": list_})
    if as_json:
        show_json(done)
    else:
        print(f"stopped for {done['address']}: {done['stopped']}")


def _import(
    context: typer.Context,
    file: Path,
    *,
    required: Sequence[str],
    begin: tuple[str, Mapping[str, Any]],
    rows: tuple[str, Mapping[str, Any]],
    opted_out: str,
    skip_bad: bool,
    as_json: bool,
    date_of: Callable[[Mapping[str, str]], str] | None = None,
) -> None:
    """Send the file in chunks; commit when all of it is good, or the bad may be skipped.

    ``opted_out`` says who the rows of people that have left are; with ``date_of`` it is told how
    many rows have no date.
    """
    total = csv_rows.count_lines(file)
    bad: list[tuple[int, str]] = []
    bad_count = undated = 0

    async def run(session: Session) -> dict[str, Any] | None:
        nonlocal bad_count, undated
        begun: Any = await session.call(*begin)
        number = begun["import"]
        done = False
        try:
            with progress_bar("rows") as progress:
                read = 0
                for chunk in csv_rows.chunks(file, required):
                    wrong: Any = await session.call(
                        rows[0], {**rows[1], "number": number, "rows": list(chunk.rows)}
                    )
                    refused = sorted([*chunk.bad, *((line, why) for line, why in wrong)])
                    bad_count += len(refused)
                    bad.extend(refused[: SHOWN - len(bad)])
                    if date_of is not None:
                        undated += sum(not date_of(fields) for _, fields in chunk.rows)
                    read += len(chunk.rows) + len(chunk.bad)
                    progress(read, max(total - 1, read))
            if bad_count and not skip_bad:
                return None
            result: Any = await session.call("import.commit", {"number": number})
            done = True
            return dict(result)
        finally:
            if not done:
                await session.call("import.abort", {"number": number})

    result = within(context, run)
    for line, why in bad:
        say(f"{file}:{line}: {why}")
    if bad_count > len(bad):
        say(f"{file}: and {counted(bad_count - len(bad), 'more bad row')}")
    report: dict[str, Any] = {
        "imported": result["rows"] if result else 0,
        "opted_out": result["opted_out"] if result else 0,
        "bad": bad_count,
        "errors": [{"line": line, "error": why} for line, why in bad],
    }
    if as_json:
        show_json(report)
    elif result:
        print(f"{counted(report['imported'], 'row')} recorded")
        if report["opted_out"]:
            print(f"{report['opted_out']} of them {opted_out}")
    if result and undated:
        say(
            f"{file}: {counted(undated, 'row')} without a date (column collected_at), taken as said"
            " now: mail stops also to those who have come back since an earlier file"
        )
    if result is None:
        say(f"nothing was imported: {counted(bad_count, 'bad row')} (--skip-bad leaves them out)")
        raise typer.Exit(1)
