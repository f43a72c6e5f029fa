"""The page of commands, from the Typer tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import typer.main

from docs.generator.markdown import code, prose, table
from docs.generator.words import COMMAND_GROUPS, OPTION_NOTES, OPTIONS
from relay.cli.program import program


def commands() -> Iterator[str]:
    """Every command with its arguments and options."""
    yield "# Commands"
    yield ""
    yield (
        "`consent-relay [--config FILE] COMMAND`, also `python -m relay`. Commands talk to the "
        "running relay through its control socket; when none runs, they open the store "
        "themselves."
    )
    yield ""
    yield from (
        "- `--json`: one JSON document on stdout, messages on stderr.",
        "- Exit status 0: done. 1: the answer is no (not found, a check failed). 2: wrong usage or "
        "configuration, with one sentence that says what and where.",
        "- Off a terminal, tables become lines with tabs between the columns.",
    )
    yield ""
    for name, command in command_tree():
        if is_group(command):
            yield f"## {name}"
            yield ""
            yield prose(command.help or "") + (
                f" {COMMAND_GROUPS[name]}" if name in COMMAND_GROUPS else ""
            )
            yield ""
            continue
        depth = "###" if " " in name else "##"
        yield f"{depth} {name}"
        yield ""
        usage = " ".join([name, *_usage(command)])
        yield f"    consent-relay {usage}"
        yield ""
        for paragraph in (command.help or "").strip().split("\n\n"):
            yield prose(paragraph)
            yield ""
        rows = [(_option(one), option_help(name, one)) for one in shown(command)]
        if rows:
            yield from table(("option", "meaning"), rows)


def command_tree() -> Iterator[tuple[str, Any]]:
    """(``list add``, command) of every command and group, in the order of ``--help``."""

    def below(prefix: str, group: Any) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            yield prefix + name, command
            if is_group(command):
                yield from below(f"{prefix}{name} ", command)

    yield from below("", typer.main.get_command(program))


def is_group(command: Any) -> bool:
    """Whether commands stand below it."""
    return hasattr(command, "commands")


def _arguments(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "argument"]


def shown(command: Any) -> list[Any]:
    """Options, and arguments that need words; ``--json`` is explained once for all."""
    arguments = [one for one in _arguments(command) if one.help]
    options = [one for one in command.params if one.param_type_name == "option"]
    return arguments + [one for one in options if one.name not in ("as_json", "help")]


def _usage(command: Any) -> Iterator[str]:
    for one in _arguments(command):
        name = one.metavar or one.name.upper()
        yield name if one.required or name.startswith("[") else f"[{name}]"
    for one in command.params:
        if one.param_type_name == "option" and one.required:
            yield _option(one).strip("`")
    optional = [
        one.name
        for one in command.params
        if one.param_type_name == "option" and not one.required and one.name != "help"
    ]
    if optional:
        yield "[--json]" if optional == ["as_json"] else "[OPTIONS]"


def _option(one: Any) -> str:
    if one.param_type_name == "argument":
        return code(one.metavar or one.name.upper())
    flag = "/".join([*one.opts, *one.secondary_opts])
    if one.is_flag:
        return code(flag)
    return code(f"{flag} {one.metavar or _choices(one) or one.name.rstrip('_').upper()}")


def _choices(one: Any) -> str:
    kind = one.type_descriptor.annotation
    for candidate in (kind, *get_args(kind)):
        members = getattr(candidate, "__members__", None)
        if members:
            return "|".join(str(member.value) for member in members.values())
    return ""


def option_help(command: str, one: Any) -> str:
    """What an option of a command means: its own help, or words of ours; empty when none says."""
    flag = one.opts[0]
    note = OPTION_NOTES.get((command, flag), "")
    words = [prose(one.help or ("" if note else OPTIONS.get(flag, ""))), note]
    if one.multiple and "repeated" not in words[0]:
        words.append("May be repeated.")
    if one.required and one.param_type_name == "option":
        words.append("Required.")
    default = one.default
    if default not in (None, False, (), []) and not callable(default):
        words.append(f"Default: `{getattr(default, 'value', default)}`.")
    return " ".join(word for word in words if word)
