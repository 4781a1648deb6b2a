"""A program that trades on a paper account until it is killed, and says what it was told of.

Arguments: the account's file, and a word that keeps client ids apart. One line for each fill.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from futures_agent.exchange.orders import FillSeen
from paper_world import PaperWorld


def main() -> None:
    world = PaperWorld(Path(sys.argv[1]))
    for position in world.broker.snapshot().positions:
        world.market(-1 if position.amount > 0 else 1, str(abs(position.amount)), f"{sys.argv[2]}-flat")
    world.seen.clear()
    for number in itertools.count():
        world.market(1, client_id=f"{sys.argv[2]}-{number}-E")
        world.stop(-1, "95", f"{sys.argv[2]}-{number}-S")
        world.price(94, after_ms=1000)
        world.price(100, after_ms=1000)
        for fill in world.seen:
            if isinstance(fill, FillSeen):
                print(fill.trade_id, fill.client_id, fill.price, flush=True)
        world.seen.clear()


main()
