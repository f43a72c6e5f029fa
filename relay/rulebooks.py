"""Finds the shipped rulebooks and keeps one compiled policy per set of names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from relay.decide import rulebook
from relay.decide.rulebook import Policy, Rulebook, RulebookError


def shipped_directory() -> Path:
    """Where the shipped rulebooks are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "policies"
    return installed if installed.is_dir() else package.parent / "policies"


class Rulebooks:
    """All rulebooks of one directory, loaded and checked."""

    def __init__(self, books: Mapping[str, Rulebook], directory: Path) -> None:
        self.books = books
        self.directory = directory
        self._policies: dict[tuple[str, ...], Policy] = {}

    @classmethod
    def read(cls, directory: Path | None = None) -> Rulebooks:
        """Load every ``*.toml`` of ``directory`` (the shipped ones by default).

        Raises RulebookError, which names file, rule and key.
        """
        directory = directory or shipped_directory()
        files = sorted(directory.glob("*.toml"))
        if not files:
            raise RulebookError(f"{directory}: no rulebooks (*.toml) here; is the install whole?")
        books = {}
        for file in files:
            try:
                text = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise RulebookError(f"{file}: cannot be read: {error}") from error
            books[file.stem] = rulebook.load(file.stem, text, str(file))
        return cls(books, directory)

    def policy(self, names: tuple[str, ...]) -> Policy:
        """The compiled policy for a tenant's rulebooks.

        Raises RulebookError when a name is unknown.
        """
        policy = self._policies.get(names)
        if policy is None:
            missing = [name for name in names if name not in self.books]
            if missing:
                known = ", ".join(sorted(self.books))
                raise RulebookError(f"no rulebook named {missing[0]!r}; there are: {known}")
            policy = rulebook.compile([self.books[name] for name in names])
            self._policies[names] = policy
        return policy

    def replace(self, other: Rulebooks) -> None:
        """Become ``other``: a reload, for everybody who holds this object."""
        self.books, self.directory, self._policies = other.books, other.directory, {}
