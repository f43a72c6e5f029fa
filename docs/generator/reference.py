"""``docs/reference/``: which pages there are, and what they still lack."""

from __future__ import annotations

import re
from pathlib import Path

from docs.generator.api import api
from docs.generator.commands import command_tree, commands, is_group, option_help, shown
from docs.generator.configuration import configuration
from docs.generator.markdown import page
from docs.generator.metrics import metrics, series
from docs.generator.reasons import reasons
from docs.generator.replies import fixed_replies, replies
from docs.generator.words import CONTENT_PROBLEMS, LABELS, REPLIES
from relay.smtp import reply

REFERENCE = Path(__file__).parents[1] / "reference"


def pages() -> dict[str, str]:
    """File name in ``docs/reference/`` → the text that belongs there."""
    return {
        "api.md": page(api()),
        "commands.md": page(commands()),
        "configuration.md": page(configuration()),
        "metrics.md": page(metrics()),
        "reasons.md": page(reasons()),
        "replies.md": page(replies()),
    }


def write(directory: Path = REFERENCE) -> None:
    """Write every page."""
    directory.mkdir(exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, "utf-8")


def undescribed() -> dict[str, set[str]]:
    """Names without words of a person, or words without a name, by where they stand in
    ``docs.generator.words``."""
    labels = {label for _, _, labels, _ in series() for label in labels}
    problems = set(re.findall(r'"([a-z-]+)": Reply\(', Path(reply.__file__).read_text("utf-8")))
    return {
        "LABELS": labels ^ set(LABELS),
        "REPLIES": set(fixed_replies()) ^ set(REPLIES),
        "CONTENT_PROBLEMS": problems ^ set(CONTENT_PROBLEMS),
        "OPTIONS": {
            f"{name} {one.opts[0]}"
            for name, command in command_tree()
            if not is_group(command)
            for one in shown(command)
            if not option_help(name, one)
        },
    }
