"""ccxt's `binanceusdm`, asked over pipes; `ccxt_program.py URL KEY SECRET`.

A question is {"call": method, "with": positional arguments, "params": the exchange's own}.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ccxt


def exchange_at(url: str, key: str, secret: str) -> Any:
    """Return the client, pointed at `url` by its configuration alone."""
    client = ccxt.binanceusdm({"apiKey": key, "secret": secret, "enableRateLimit": False})
    bases = client.urls["api"]
    for name, base in bases.items():
        if isinstance(base, str) and base.startswith("https://fapi.binance.com"):
            bases[name] = url + base.removeprefix("https://fapi.binance.com")
    client.options["fetchCurrencies"] = False  # a call of the spot exchange
    return client


def main() -> None:
    """Answer until the input ends."""
    client = exchange_at(*sys.argv[1:4])
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
