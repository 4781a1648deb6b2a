"""The EMA cross in freqtrade 2026.9: `python run_freqtrade.py candles.npz rules.json` prints its tally.

Its own backtester in futures mode. What it would ask the exchange for is put in its place: a list of
markets (the maintenance margins are those that freqtrade ships), and funding rates of zero. It reads
candles from files only, so they are written first; the tables that it prints afterwards are not made.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.commands.optimize_commands import setup_optimize_configuration
from freqtrade.data.history import get_datahandler
from freqtrade.enums import CandleType, RunMode
from freqtrade.exchange import Exchange
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.resolvers import ExchangeResolver

STRATEGIES = Path(__file__).parent / "freqtrade_strategies"


def main(candles: str, rules_file: str) -> None:
    """Run all pairs with one wallet and print trades and net profit as JSON."""
    logging.disable(logging.WARNING)
    rules = json.loads(Path(rules_file).read_text(encoding="utf-8"))
    series = np.load(candles)
    with tempfile.TemporaryDirectory(prefix="freqtrade_") as name:
        directory = Path(name)
        pairs = {pair_of(symbol): series[symbol] for symbol in series.files}
        write_candles(directory / "data", pairs)
        config = configuration(directory, list(pairs), rules)
        backtesting = Backtesting(config, exchange_of(config, list(pairs)))
        data, period = backtesting.load_bt_data()
        backtesting.backtest_one_strategy(backtesting.strategylist[0], data, period)
        (run,) = backtesting.all_bt_content.values()
        trades = run["results"]
    print(json.dumps([len(trades), float(trades["profit_abs"].sum())]))


def pair_of(symbol: str) -> str:
    """Return a contract's name as ccxt writes it."""
    return f"{symbol.removesuffix('USDT')}/USDT:USDT"


def write_candles(directory: Path, pairs: dict[str, Any]) -> None:
    """Write candles, mark prices and funding rates where freqtrade looks for them."""
    (directory / "futures").mkdir(parents=True)
    store = get_datahandler(directory, "feather")
    for pair, series in pairs.items():
        names = ("open", "high", "low", "close", "volume")
        frame = pd.DataFrame({name: series[name] for name in names})
        frame.insert(0, "date", pd.to_datetime(series["timestamp"], unit="ms", utc=True))
        store.ohlcv_store(pair, "1h", frame, CandleType.FUTURES)
        store.ohlcv_store(pair, "1h", frame, CandleType.MARK)
        store.ohlcv_store(pair, "1h", frame[["date"]].assign(funding_rate=0.0), CandleType.FUNDING_RATE)


def configuration(directory: Path, pairs: list[str], rules: dict[str, float]) -> dict[str, Any]:
    """Return the configuration as `freqtrade backtesting` would make it."""
    written = {
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "stake_currency": "USDT",
        "stake_amount": rules["notional"],
        "dry_run": True,
        "dry_run_wallet": rules["cash"] * len(pairs),
        "max_open_trades": len(pairs),
        "fee": rules["fee"],
        "dataformat_ohlcv": "feather",
        "exchange": {"name": "binance", "pair_whitelist": pairs, "pair_blacklist": []},
        "pairlists": [{"method": "StaticPairList"}],
        "entry_pricing": {"price_side": "same", "use_order_book": False},
        "exit_pricing": {"price_side": "same", "use_order_book": False},
    }
    file = directory / "config.json"
    file.write_text(json.dumps(written), encoding="utf-8")
    config = setup_optimize_configuration(
        {
            "config": [str(file)],
            "user_data_dir": str(directory),
            "datadir": str(directory / "data"),
            "strategy": "EmaCross",
            "strategy_path": str(STRATEGIES),
            "export": "none",
            "backtest_cache": "none",
        },
        RunMode.BACKTEST,
    )
    config["peer_rules"] = rules
    return config  # type: ignore[no-any-return]


def exchange_of(config: dict[str, Any], pairs: list[str]) -> Exchange:
    """Return freqtrade's Binance, told its markets instead of asking for them."""
    Exchange.reload_markets = lambda self, *_, **__: None
    exchange = ExchangeResolver.load_exchange(config, validate=False, load_leverage_tiers=True)
    tiers = next(iter(exchange._leverage_tiers.values()))
    exchange._markets = {pair: market(pair) for pair in pairs}
    exchange._api.markets = exchange._markets
    for pair in pairs:  # some were listed after this release
        exchange._leverage_tiers.setdefault(pair, tiers)
    return exchange


def market(pair: str) -> dict[str, Any]:
    """Return a contract traded in whole units, as ccxt describes it."""
    base = pair.split("/")[0]
    return {
        "id": f"{base}USDT",
        "symbol": pair,
        "base": base,
        "quote": "USDT",
        "settle": "USDT",
        "type": "swap",
        "spot": False,
        "margin": False,
        "swap": True,
        "future": False,
        "linear": True,
        "contract": True,
        "active": True,
        "contractSize": 1.0,
        "precision": {"price": 1e-8, "amount": 1.0},
        "limits": {
            "amount": {"min": 1.0, "max": 1e9},
            "cost": {"min": 5.0, "max": None},
            "price": {"min": None, "max": None},
            "leverage": {"min": None, "max": None},
        },
        "info": {},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
