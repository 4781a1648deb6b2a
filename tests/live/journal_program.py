"""Appends records until it is killed, and says after each that it is on the disk."""

import sys
from pathlib import Path

from futures_agent.live.journal import Journal
from futures_agent.live.records import ExitWanted

with Journal(Path(sys.argv[1]), "paper", segment_bytes=2000) as journal:
    number = 0
    while True:
        number += 1
        journal.append(ExitWanted(at_ms=number, symbol="BTCUSDT", why="SIGNAL"))
        print(number, flush=True)
