"""The log: one line per event on stderr, with the priority journald understands."""

from __future__ import annotations

import logging
import os
import sys

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    """Prefix each line with `<N>`: journald turns it into the entry's priority."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", "\n  ")
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}"


def start_logging(level: str) -> None:
    """Send the log to stderr: plain to a person, with priorities to the journal."""
    stream = logging.StreamHandler(sys.stderr)
    under_systemd = "JOURNAL_STREAM" in os.environ
    stream.setFormatter(
        _JournalFormatter("%(message)s")
        if under_systemd
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    )
    logging.basicConfig(level=level, handlers=[stream], force=True)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
