"""How an operation says no."""

from __future__ import annotations


class OperationError(Exception):
    """One sentence for a person, and the exit status of the command.

    Status 1: the answer is no (not found, a check failed). Status 2: wrong usage or configuration.
    """

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
