"""``ledger``: the record of consent, whether it is whole, and proofs of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from relay.cli.caller import ask, within
from relay.cli.output import AsJson, counted, progress_bar, say, show_json
from relay.cli.proof_file import Output, put
from relay.operate.session import Session

group = typer.Typer(help="The record of consent.", rich_markup_mode=None)


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="ledger")


@group.command("verify")
def verify(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT")] = None,
    heads: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also against this copy of the signed heads."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the hash chains, the signed heads, and that what is in force is what they say; exit 1
    with the first broken event when something does not hold."""
    asked = {"tenant": tenant, "heads": str(heads.absolute()) if heads is not None else None}
    with progress_bar("events") as progress:
        report = ask(context, "ledger.verify", asked, progress)
    broken = report["broken"]
    if as_json:
        show_json(report)
    elif broken is None:
        events = counted(report["events"], "event")
        print(f"{events}, {report['erased']} of them erased: the chain holds")
    else:
        event = f" at event {broken['seq']} of {_name(broken)}" if broken["seq"] else ""
        print(f"broken{event}: {broken['why']}")
    if not as_json:
        for gap in report["discontinuities"]:
            print(_gap(gap))
    if not report["ok"]:
        say("the ledger does not hold: keep this store as it is, and restore a backup elsewhere")
        raise typer.Exit(1)


@group.command("export")
def export(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(metavar="TENANT")],
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """All events of a tenant with what proves them: one JSON document, with or without --json.

    `ledger verifier` prints the script that checks it.
    """

    async def stream(session: Session) -> None:
        await put(session.stream("ledger.export", {"tenant": tenant}), output)

    within(context, stream)


@group.command("key")
def key(context: typer.Context, as_json: AsJson = False) -> None:
    """The public key that the ledger is signed with: publish it, so that proofs can be checked."""
    public = ask(context, "ledger.key", {})
    if as_json:
        show_json(public)
        return
    print(public["pem"], end="")
    print(f"fingerprint: {public['fingerprint']}")


@group.command("verifier")
def verifier() -> None:
    """The script that checks an exported proof without this relay (Python 3.9 or later)."""
    from relay import verify_bundle

    sys.stdout.write(Path(verify_bundle.__file__).read_text(encoding="utf-8"))


def _name(place: Mapping[str, Any]) -> str:
    """The tenant; chain 0 is the operator's, and a chain outlives its tenant."""
    if place["tenant"] is not None:
        return str(place["tenant"])
    return "the operator" if place["chain"] == 0 else f"chain {place['chain']}"


def _gap(gap: Mapping[str, Any]) -> str:
    last = gap["last"]["seq"] if gap["last"] else 0
    if gap["backup"] is None:
        return (
            f"{_name(gap)}: the signed heads were missing at {gap['time']}: nothing from before"
            f" vouches for the events up to {last}; compare them with a copy (--heads)"
        )
    text = f"{_name(gap)}: restored at {gap['time']} from a backup of {gap['backup']}"
    text += f", which ended with event {last}"
    if gap["lost"]:
        text += f"; events up to {gap['lost']['seq']} were signed before, and are lost"
    return text
