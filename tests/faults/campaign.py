"""The fault matrix of live trading: every fault in every situation, and what came of it.

`python campaign.py` (`make faults`) plays all rows, `--only WORD` those whose name has the word in it,
`--seed N` in another order of answers and events. A row in which a fault did not strike has failed: it proves
nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.cases import CASES
from faults.play import Outcome, play


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="seeds from there on")
    chosen = parser.parse_args()
    rows = [case for case in CASES if chosen.only in case.name]
    failed, width = [], max((len(case.name) for case in rows), default=0)
    for seed in range(chosen.seed, chosen.seed + chosen.rounds):
        for case in rows:
            began = time.monotonic()
            try:
                outcome = play(case, seed)
            except Exception as error:
                traceback.print_exc()
                outcome = Outcome([f"{type(error).__name__}: {error}"], [], [], 0)
            took_s = time.monotonic() - began
            if outcome.wrong:
                failed.append(f"{case.name} (seed {seed})")
            said = "FAILED" if outcome.wrong else "as told"
            print(
                f"{case.name:{width}}  {case.scene:6}  seed {seed}  {said}  {', '.join(outcome.trades)}"
                f"  {', '.join(outcome.incidents) or 'no incident'}"
                f"  naked {outcome.naked_ms / 1000:g} s  ({took_s:.1f} s)",
                flush=True,
            )
            for line in outcome.wrong:
                print(f"{'':{width}}  {line}", flush=True)
    print(f"faults: {len(rows) * chosen.rounds} rows, {len(failed)} failed {', '.join(failed)}".rstrip())
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
