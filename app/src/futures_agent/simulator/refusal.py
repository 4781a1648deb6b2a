"""A refusal as the exchange words it; the venue's rules raise it, its endpoints answer it."""

from __future__ import annotations


class VenueError(Exception):
    """A definite refusal, answered with the exchange's code and text."""

    def __init__(self, code: int, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.status = status
