"""Measuring another program as a whole: wall clock, CPU and peak memory from its start to its end.

Nothing but the standard library is imported here or by whoever measures: a child's peak memory counts
what it shared with its parent before it became another program.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """What one whole process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(command: Sequence[str], output: Path, expected: Sequence[int] = (0,)) -> Usage:
    """Run a program to its end, its output into a file; stop the benchmark where it fails."""
    # Started by a person, not by a timer that may be late.
    environment = {name: value for name, value in os.environ.items() if name != "TRIGGER_UNIT"}
    errors = output.with_suffix(".errors")
    with output.open("wb") as out, errors.open("wb") as err:
        started = os.times().elapsed
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = os.times().elapsed - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}\n{errors.read_text()[-2_000:]}")
    return Usage(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def middle(runs: Sequence[Usage]) -> Usage:
    """Return the median of each number."""
    return Usage(*(statistics.median(values) for values in zip(*runs, strict=True)))
