"""Telling systemd and a person how far the work is.

Under systemd: READY, STATUS (one telling line) and WATCHDOG, sent from the work loop after real progress.
On a terminal: a progress bar. Elsewhere: a log line now and then.
"""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from futures_agent.program.notify import notify

_log = logging.getLogger(__name__)
_LOG_EVERY_S = 10.0
_STATUS_EVERY_S = 1.0


class Reporter:
    """Reports one program's progress to whoever watches it.

    Parameters
    ----------
    title : str
        Shown beside the progress bar.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Progress | None = None
        self._task: int | None = None
        self._status_at = float("-inf")
        self._logged_at = time.monotonic()  # short work needs no progress lines

    def ready(self) -> None:
        """Tell systemd that the program is up: without it even exit 0 counts as a failure."""
        notify("READY=1\nSTATUS=starting")

    def alive(self) -> None:
        """Feed the watchdog: call it after real progress only, or in a wait that has a bound."""
        notify("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the one line that `systemctl status` shows."""
        notify(f"STATUS={text}\nWATCHDOG=1")
        self._status_at = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text)  # type: ignore[arg-type]

    def advance(self, done: int, total: int, text: str) -> None:
        """Report that `done` of `total` pieces of work are finished."""
        now = time.monotonic()
        if now - self._status_at >= _STATUS_EVERY_S:
            notify(f"STATUS={text} ({done}/{total})\nWATCHDOG=1")
            self._status_at = now
        if sys.stderr.isatty():
            self._draw(done, total, text)
        elif now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            _log.info("%s: %s (%d/%d)", self._title, text, done, total)

    def _draw(self, done: int, total: int, text: str) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn(self._title, style="bold", markup=False),
                BarColumn(bar_width=32),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}", markup=False),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(text, total=total)
        self._bar.update(self._task, completed=done, total=total, description=text)  # type: ignore[arg-type]

    def end_bar(self) -> None:
        """Take the bar off the terminal, so that what is printed next stands alone."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_bar()
