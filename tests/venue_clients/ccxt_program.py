"""ccxt's `binanceusdm`, asked over pipes; `ccxt_program.py URL KEY SECRET`.

A question is {"call": method, "with": positional arguments, "params": the exchange's own}.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ccxt

REST, STREAMS = "https://fapi.binance.com", "wss://fstream.binance.com"


def point_at(client: Any, url: str, key: str, secret: str) -> Any:
    """Point a client of ccxt or ccxt.pro at `url`, by its configuration alone."""
    client.apiKey, client.secret, client.enableRateLimit = key, secret, False
    client.options["fetchCurrencies"] = False  # a call of the spot exchange
    bases = client.urls["api"]
    for name, base in bases.items():
        if isinstance(base, str) and base.startswith(REST):
            bases[name] = url + base.removeprefix(REST)
    streams = bases.get("ws", {})
    for name, base in streams.items():
        if isinstance(base, str) and base.startswith(STREAMS):
            streams[name] = url.replace("http", "ws", 1) + base.removeprefix(STREAMS)
    return client


def main() -> None:
    """Answer until the input ends."""
    client = point_at(ccxt.binanceusdm(), *sys.argv[1:4])
    for line in sys.stdin:
        question = json.loads(line)
        try:
            data = getattr(client, question["call"])(*question.get("with", ()), **question.get("named", {}))
            answer = {"data": data}
        except ccxt.BaseError as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main()
