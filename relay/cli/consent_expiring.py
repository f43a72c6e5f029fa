"""``consent expiring``: what is about to run out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, Final

import typer

from relay.cli.caller import ask_all
from relay.cli.consent import consent
from relay.cli.output import AsJson, say, show_json

_OF: Final = ("tenant", "brand", "list")


def register(_program: typer.Typer) -> None:
    """Add the command to the group ``consent``."""
    consent.command("expiring")(expiring)


def expiring(
    context: typer.Context,
    tenant: Annotated[
        str | None, typer.Option(metavar="TENANT", help="Only this one; else all.")
    ] = None,
    days: Annotated[int, typer.Option(metavar="N", min=1, help="How far to look ahead.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Consents that run out within N days, by their date or because no mail was sent for long.

    A consent stays alive by being used: send what was promised. Never ask everybody again in a
    bulk mailing; that is a mailing without consent. Ask people where you meet them, for example
    with the sign-up form on your site.
    """
    found = ask_all(context, "consent.expiring", {"tenant": tenant, "days": days})
    groups = _grouped(found)
    if as_json:
        show_json(groups)
        return
    for group in groups:
        where = "/".join(group[name] for name in _OF if group[name])
        print(f"{where}: {group['count']} run out within {days} days")
        for one in group["consents"]:
            address = one["address"] or "(erased)"
            print(f"  {one['expires'][:10]}  {address}  {one['basis']}  {_why(one)}")
    if not groups:
        say(f"no consent runs out within {days} days")


def _grouped(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``[{tenant, brand, list, count, consents: [...]}]``, the first to run out first."""

    def place(one: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(one[name] or "" for name in _OF)

    groups = []
    for _, members in groupby(sorted(found, key=place), key=place):
        consents = sorted(members, key=lambda one: (one["expires"], one["address"] or ""))
        groups.append(
            {
                **{name: consents[0][name] for name in _OF},
                "count": len(consents),
                "consents": [
                    {name: value for name, value in one.items() if name not in _OF}
                    for one in consents
                ],
            }
        )
    return groups


def _why(one: Mapping[str, Any]) -> str:
    return "by its date" if one["why"] == "date" else f"unused for {one['unused_days']} days"
