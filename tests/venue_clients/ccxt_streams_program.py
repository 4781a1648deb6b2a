"""ccxt.pro listens while it trades; `ccxt_streams_program.py URL KEY SECRET`.

It watches candles, prices and its orders, buys once, and prints as JSON what it was told.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import ccxt.pro
from ccxt_program import point_at

PATIENCE_S = 30.0
BITCOIN = "BTC/USDT:USDT"


async def watch(client: Any) -> dict[str, Any]:
    """Return what the first message of each kind said."""
    await client.load_markets()
    orders = asyncio.create_task(client.watch_orders(BITCOIN))
    candles = await client.watch_ohlcv(BITCOIN, "15m")
    best = await client.watch_bids_asks([BITCOIN])
    marks = await client.watch_mark_price(BITCOIN)
    while not orders.done():  # the subscription to user data gives no sign that it stands
        await client.create_order(BITCOIN, "market", "buy", 0.01)
        await asyncio.wait([orders], timeout=1.0)
    return {"candles": candles, "best": best, "mark": marks, "orders": orders.result()}


async def main() -> None:
    client = point_at(ccxt.pro.binanceusdm(), *sys.argv[1:4])
    try:
        heard = await asyncio.wait_for(watch(client), PATIENCE_S)
    finally:
        await client.close()
    print(json.dumps(heard, default=str))


if __name__ == "__main__":
    asyncio.run(main())
