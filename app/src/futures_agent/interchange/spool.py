"""Rows by series on their way through: kept on disk, so that memory holds one series at a time.

Files may be interleaved in any way and longer than memory; a series can only be judged when it is together.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from futures_agent.errors import Refuse, Retry
from futures_agent.interchange.findings import Findings
from futures_agent.interchange.judging import ROW, Rows, judge
from futures_agent.interchange.layout import CandleFile, Series, in_order
from futures_agent.interchange.reading import read_chunks

# Not /tmp, which on Debian 13 is memory.
SPOOL_DIRECTORY = Path(os.environ.get("TMPDIR", "/var/tmp"))


class Spool:
    """A nameless temporary file of rows; it vanishes with the process, however that ends."""

    def __init__(self, directory: Path = SPOOL_DIRECTORY) -> None:
        self._directory = directory
        try:
            self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 (closed by __exit__)
        except OSError as error:
            raise Refuse(
                f"{directory}: cannot write there: {error.strerror}; set TMPDIR to a directory on a disk"
            ) from None
        self._parts: dict[Series, list[tuple[int, int]]] = {}  # offset in bytes, rows
        self._end = 0

    def append(self, series: Series, rows: Rows) -> None:
        """Add rows (ROW) of one series.

        Raises
        ------
        Retry
            The disk is full or failing.
        """
        if len(rows) == 0:
            return
        try:
            self._file.write(np.ascontiguousarray(rows).view(np.uint8).data)
            self._file.flush()
        except OSError as error:
            raise Retry(
                f"{self._directory}: cannot spool the rows read: {error.strerror}; "
                "free space there, or set TMPDIR to a directory that has some"
            ) from None
        self._parts.setdefault(series, []).append((self._end, len(rows)))
        self._end += rows.nbytes

    def series(self) -> list[Series]:
        """Return which series there are, in `in_order`."""
        return in_order(self._parts)

    def rows(self, series: Series) -> Rows:
        """Return all rows of one series in the order they were added."""
        parts = self._parts.get(series, [])
        rows = np.zeros(sum(count for _, count in parts), dtype=ROW)
        filled = 0
        for offset, count in parts:
            part = rows[filled : filled + count]
            read = os.preadv(self._file.fileno(), [part.view(np.uint8).data], offset)
            if read != part.nbytes:
                raise Retry(
                    f"{self._directory}: the spooled rows came back short; check the disk and run again"
                )
            filled += count
        return rows

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # what a full disk did not take is told already
            self._file.close()


def spool_files(
    files: Sequence[CandleFile],
    spool: Spool,
    findings: Findings,
    *,
    now_ms: int | None,
    wanted: Callable[[Series], bool],
    progress: Callable[[int], None] = lambda files_done: None,
) -> None:
    """Read and judge files; good rows of wanted series go to the spool, bad ones to the findings.

    Parameters
    ----------
    now_ms : int, optional
        Exchange time, ms UTC; without it every candle counts as closed.
    progress : callable
        Called after each piece with the number of files done; what it raises ends the reading.

    Raises
    ------
    Refuse, Retry
        A file cannot be read, the disk is full.
    """
    for number, file in enumerate(files):
        unassigned = findings.count_of(None)
        met: set[Series] = set()
        for chunk in read_chunks(file):
            for series, rows in judge(file, number, chunk, findings, now_ms=now_ms).items():
                met.add(series)
                if wanted(series):
                    spool.append(series, rows)
            progress(number)
        if findings.count_of(None) > unassigned:
            findings.taint(met)
