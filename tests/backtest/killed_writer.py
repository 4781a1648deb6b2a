"""A program: in each of the directories named, write a result, then a second one and die on the way.

The child for directory N ends without any clean-up at its N-th call that changes the disk; one line per
directory tells whether it died (9) or had fewer calls (0).
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

from futures_agent.backtest.result import build_result
from futures_agent.backtest.result_files import write_result
from futures_agent.settings.load import load
from sample_runs import run_of

STARTED = 1_795_217_400_000


def write(directory: Path, started_ms: int) -> None:
    result = build_result(
        run_of([101, 102]), load(environ={}), started_ms=started_ms, finished_ms=started_ms + 900
    )
    write_result(directory, result, f"report of {started_ms}")


def die_at(step: int) -> None:
    calls = count()
    for name in ("open", "fsync", "replace", "link", "unlink"):
        original = getattr(os, name)

        def call(*arguments, _original=original, **keywords):
            if next(calls) == step:
                os._exit(9)
            return _original(*arguments, **keywords)

        setattr(os, name, call)


for step, name in enumerate(sys.argv[1:]):
    write(Path(name), STARTED)
    child = os.fork()
    if child == 0:
        die_at(step)
        write(Path(name), STARTED + 60_000)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
