"""``explain``: what would happen to a message, and why."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, printable, show_json
from relay.operate.errors import OperationError


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("explain")(explain)


def explain(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.eml")],
    tenant: Annotated[str, typer.Option(metavar="TENANT")],
    to: Annotated[list[str], typer.Option(metavar="ADDR", help="May be repeated.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[ADDR…]")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="ADDR", help="MAIL FROM; empty is <>.")
    ] = None,
    list_: Annotated[str | None, typer.Option("--list", metavar="LIST")] = None,
    as_json: AsJson = False,
) -> None:
    """Send nothing: tell the kind of a message, who has consented, every finding, the verdicts."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OperationError(f"{file} cannot be read: {error.strerror}", status=2) from error
    told = ask(
        context,
        "explain",
        {
            "content": base64.b64encode(content).decode(),
            "tenant": tenant,
            "to": [*to, *(more or [])],
            "mail_from": from_,
            "list": list_,
        },
    )
    if as_json:
        show_json(told)
    else:
        _show(told)


def _show(told: dict[str, Any]) -> None:
    if "refused" in told:
        print(printable(f"refused: {told['refused']}"))
        return
    kind = told["classification"]
    how = "declared" if kind["declared"] else "inferred"
    print(f"kind: {kind['kind']} ({how}), {'list ' + kind['list'] if kind['list'] else 'no list'}")
    for evidence in kind["evidence"]:
        print(printable(f"  {evidence}"))
    for fate in told["recipients"]:
        why = f" ({fate['reason']}, by {fate['rule']})" if fate["reason"] else ""
        print(f"{fate['recipient']}: {fate['action']}{why}")
        standing = fate["standing"]
        basis = f" ({standing['basis']})" if standing["basis"] != "none" else ""
        since = f" since {standing['since']}" if standing["since"] else ""
        print(f"  standing: {standing['state']}{basis}{since}")
        for finding in fate["findings"]:
            detail = f": {finding['detail']}" if finding["detail"] else ""
            cite = f" [{', '.join(finding['cite'])}]" if finding["cite"] else ""
            line = f"  {finding['action']}: {finding['rule']} ({finding['reason']}){detail}{cite}"
            print(printable(line))
        if not fate["findings"]:
            print("  no rule objects")
