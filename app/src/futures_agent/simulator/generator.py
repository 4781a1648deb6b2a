"""Candles out of a seed: the same world for every clock, range and number of symbols.

Time is cut into chunks of 30 days. A symbol's price at each chunk's edge follows a slow mean-reverting
walk of its own and of the whole market; within the chunk 15-minute returns run from edge to edge, with
volatility that clusters, a common market factor, and stretches that trend or range. Every draw comes
from (seed, symbol, chunk), so any chunk can be made alone and always comes out the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import exp, floor, log, log10, sqrt
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import DAY_MS
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.listing import Listing, untradable
from futures_agent.simulator.series import Grid, aggregate, on_grid

BASE = Timeframe.M15
CHUNK_MS = 30 * DAY_MS
_BARS = CHUNK_MS // BASE.ms
_BARS_PER_YEAR = 365 * DAY_MS / BASE.ms
_STRETCH = 192  # bars of one trend or range: two days
_QUOTE_DECIMALS = 5

# Quote price and daily turnover in millions of quote units, so that known names look like themselves.
_KNOWN = {
    "BTC": (84_000.0, 15_000.0),
    "ETH": (2_900.0, 12_000.0),
    "SOL": (135.0, 4_000.0),
    "BNB": (840.0, 700.0),
    "XRP": (2.1, 2_500.0),
    "DOGE": (0.15, 1_500.0),
    "ADA": (0.42, 600.0),
    "TRX": (0.28, 150.0),
    "LINK": (12.5, 500.0),
    "AVAX": (13.4, 350.0),
    "LTC": (84.0, 300.0),
    "BCH": (480.0, 250.0),
    "1000PEPE": (0.0042, 500.0),
    "1000SHIB": (0.0078, 150.0),
}

Floats = NDArray[np.float64]


class GeneratedCandles:
    """A `CandleSource` of made-up contracts.

    Parameters
    ----------
    symbols : sequence of str
    seed : int
    start_ms : int
        Where the clock starts (ms UTC); candles begin `history_days` earlier, at 00:00.
    onboard_ms : mapping, optional
        Later first days (ms UTC, cut to 00:00) of some symbols.
    with_untradable : bool
        List contracts that clients must leave alone as well.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        seed: int,
        start_ms: int,
        history_days: int,
        onboard_ms: Mapping[str, int] | None = None,
        with_untradable: bool = True,
    ) -> None:
        first_ms = start_ms - start_ms % DAY_MS - history_days * DAY_MS
        later = {symbol: Timeframe.D1.open_of(first) for symbol, first in (onboard_ms or {}).items()}
        listings = [generated_listing(symbol, seed, later.get(symbol, first_ms)) for symbol in symbols]
        if with_untradable:
            extra = untradable(generated_listing("EXTRAUSDT", seed, first_ms), start_ms)
            listings += [listing for listing in extra if listing.symbol not in symbols]
        self._seed = seed
        self._listings = {listing.symbol: listing for listing in listings}
        self._series: dict[tuple[str, Timeframe], Candles] = {}
        self._newest_chunk: dict[str, tuple[int, Candles]] = {}
        self._lock = threading.RLock()

    def listings(self) -> list[Listing]:
        return list(self._listings.values())

    def series(self, symbol: str, timeframe: Timeframe, until_ms: int) -> Candles:
        """Return the final candles from the first day to the end of the chunk that holds `until_ms`."""
        with self._lock:
            key = (symbol, timeframe)
            known = self._series.get(key)
            next_ms = self._listings[symbol].onboard_ms
            if known is not None:
                next_ms = int(known["timestamp"][-1]) + timeframe.ms
            if known is None or until_ms >= next_ms:
                parts = [] if known is None else [known]
                for chunk in range(next_ms // CHUNK_MS, until_ms // CHUNK_MS + 1):
                    candles = self._aggregated(symbol, timeframe, chunk)
                    parts.append(candles[candles["timestamp"] >= next_ms])
                if not parts:
                    return np.zeros(0, dtype=FULL_CANDLE)
                known = self._series[key] = np.concatenate(parts)
            return known

    def inside(self, symbol: str, timeframe: Timeframe, open_ms: int) -> tuple[Timeframe, Candles]:
        """Return the final 15-minute candles that the bar opened at `open_ms` consists of."""
        with self._lock:
            candles = self._chunk(symbol, open_ms // CHUNK_MS)
            first = (open_ms % CHUNK_MS) // BASE.ms
            return BASE, candles[first : first + timeframe.ms // BASE.ms]

    def _aggregated(self, symbol: str, timeframe: Timeframe, chunk: int) -> Candles:
        """Return one chunk of any timeframe, keeping hours so that H4 and D1 need no finer candles."""
        grid = self._listings[symbol].grid
        if timeframe is BASE:
            return self._chunk(symbol, chunk)
        if timeframe is Timeframe.H1:
            return aggregate(self._chunk(symbol, chunk), timeframe, grid)
        hours = self.series(symbol, Timeframe.H1, (chunk + 1) * CHUNK_MS - 1)
        first, last = np.searchsorted(hours["timestamp"], (chunk * CHUNK_MS, (chunk + 1) * CHUNK_MS))
        return aggregate(hours[first:last], timeframe, grid)

    def _chunk(self, symbol: str, chunk: int) -> Candles:
        """Return the 15-minute candles of one chunk; the one asked for last is kept."""
        kept = self._newest_chunk.get(symbol)
        if kept is None or kept[0] != chunk:
            kept = (chunk, generate_chunk(self._listings[symbol], self._seed, chunk))
            self._newest_chunk[symbol] = kept
        return kept[1]


def generated_listing(symbol: str, seed: int, onboard_ms: int) -> Listing:
    """Return a contract whose price magnitude fits its name, or follows from the name where unknown."""
    pick = np.random.default_rng([seed, crc32(symbol.encode()), 1])
    known = _known(symbol)
    price = known[0] if known else exp(pick.uniform(log(0.05), log(30.0)))
    magnitude = floor(log10(price))
    decimals = 1 if price > 10_000 else min(max(4 - magnitude, 2), 8)
    volume_decimals = 3 if price >= 1000 else 2 if price >= 100 else 1 if price >= 5 else 0
    return Listing(
        symbol=symbol,
        price=price,
        grid=Grid(decimals, volume_decimals, _QUOTE_DECIMALS),
        price_precision=max(decimals, 2),
        onboard_ms=onboard_ms,
    )


def generate_chunk(listing: Listing, seed: int, chunk: int) -> Candles:
    """Return the 2,880 15-minute candles of `listing` in the 30 days that start at `chunk` × 30 days UTC."""
    name = crc32(listing.symbol.encode())
    rng = np.random.default_rng([seed, name, 2, chunk])
    market_returns, market_spread, market_heat = _market(seed, chunk)
    traits = np.random.default_rng([seed, name, 3])
    beta, yearly = traits.uniform(0.7, 1.3), traits.uniform(0.35, 0.8)
    if listing.base_asset == "BTC":
        beta, yearly = 1.0, 0.15
    heat = 0.7 * market_heat + 0.5 * _clustering(rng)
    spread = yearly / sqrt(_BARS_PER_YEAR) * np.exp(heat)
    returns = beta * market_returns + _with_regimes(spread * rng.standard_normal(_BARS), yearly, rng)
    start, end = (
        log(listing.price) + 0.15 * _level(seed, name, edge) + beta * 0.12 * _level(seed, 0, edge)
        for edge in (chunk, chunk + 1)
    )
    edges = start + np.r_[0.0, np.cumsum(returns + (end - start - returns.sum()) / _BARS)]
    edges[-1] = end  # the next chunk opens here
    candles = np.zeros(_BARS, dtype=FULL_CANDLE)
    candles["timestamp"] = chunk * CHUNK_MS + np.arange(_BARS) * BASE.ms
    _fill_prices(candles, edges, np.hypot(spread, beta * market_spread), listing.grid.price, rng)
    _fill_volumes(candles, heat, _turnover(listing, traits), listing.grid, rng)
    return candles


def _fill_prices(
    candles: Candles, edges: Floats, spread: Floats, decimals: int, rng: np.random.Generator
) -> None:
    """Set open, high, low, close from the log price at the bars' edges.

    High and low are the extremes of a Brownian bridge between the edges, by inverting their law:
    max = (x + sqrt(x² − 2σ² ln U)) / 2 for a bridge from 0 to x (Karatzas & Shreve, 4.3.40).
    """
    move = np.diff(edges)
    up, down = -2 * np.square(spread) * np.log(rng.uniform(1e-9, 1.0, (2, _BARS)))
    high = np.exp(edges[:-1] + 0.5 * (move + np.sqrt(move**2 + up)))
    low = np.exp(edges[:-1] + 0.5 * (move - np.sqrt(move**2 + down)))
    scale = 10.0**decimals
    ticks = np.maximum(np.rint(np.exp(edges) * scale), 1.0)
    candles["open"], candles["close"] = ticks[:-1] / scale, ticks[1:] / scale
    candles["high"] = np.maximum(np.rint(high * scale), np.maximum(ticks[:-1], ticks[1:])) / scale
    lowest = np.minimum(np.rint(low * scale), np.minimum(ticks[:-1], ticks[1:]))
    candles["low"] = np.maximum(lowest, 1.0) / scale


def _fill_volumes(candles: Candles, heat: Floats, daily: float, grid: Grid, rng: np.random.Generator) -> None:
    """Set volumes and trade counts: they rise with volatility and with the American day."""
    minutes = (candles["timestamp"] % DAY_MS) / 60_000
    season = 1.0 + 0.4 * np.cos((minutes - 15 * 60) / 1440 * 2 * np.pi)
    typical = (candles["open"] + candles["high"] + candles["low"] + candles["close"]) / 4
    quote = daily / (DAY_MS / BASE.ms) * season * np.exp(0.8 * heat + 0.35 * rng.standard_normal(_BARS))
    body = (candles["close"] - candles["open"]) / np.maximum(candles["high"] - candles["low"], 1e-12)
    taker_share = np.clip(0.5 + 0.12 * body + 0.03 * rng.standard_normal(_BARS), 0.05, 0.95)
    volume = np.maximum(on_grid(quote / typical, grid.volume), 10.0**-grid.volume)
    candles["volume"] = volume
    candles["quote_volume"] = on_grid(volume * typical, grid.quote)
    candles["trades"] = np.maximum(volume * typical / (400.0 + sqrt(daily)), 1.0)
    bought = on_grid(volume * taker_share, grid.volume)
    candles["taker_buy_volume"] = bought
    candles["taker_buy_quote_volume"] = on_grid(bought * typical, grid.quote)


def _with_regimes(returns: Floats, yearly: float, rng: np.random.Generator) -> Floats:
    """Turn stretches of two days into trends (drift added) or ranges (most of the net move taken out).

    Weak enough that a plain trend follower does about as well as on recorded candles.
    """
    stretches = returns.reshape(-1, _STRETCH)
    kind = rng.choice((-1.0, 0.0, 1.0), size=(len(stretches), 1), p=(0.25, 0.45, 0.30))
    ranged = stretches - 0.9 * stretches.mean(axis=1, keepdims=True)
    drift = kind * 1.2 * yearly * sqrt(_STRETCH / _BARS_PER_YEAR) / _STRETCH
    shaped: Floats = np.where(kind == 0.0, ranged, stretches + drift).ravel()
    return shaped


def _clustering(rng: np.random.Generator) -> Floats:
    """Return a log volatility that remembers: AR(1) with a half-life of 12 hours, standard deviation 1.

    h[t] = φ h[t−1] + e[t] in closed form, φ^t Σ e[s] φ^−s; one chunk stays well inside a double's range.
    """
    phi = 0.5 ** (1 / 48)
    powers = phi ** np.arange(_BARS)
    shocks = rng.standard_normal(_BARS) * sqrt(1 - phi**2)
    shocks[0] /= sqrt(1 - phi**2)
    clustered: Floats = powers * np.cumsum(shocks / powers) - 0.5
    return clustered


@lru_cache(maxsize=64)
def _market(seed: int, chunk: int) -> tuple[Floats, Floats, Floats]:
    """Return the whole market's returns, their standard deviations and log volatility in one chunk."""
    rng = np.random.default_rng([seed, 0, 2, chunk])
    heat = 0.6 * _clustering(rng)
    spread = 0.45 / sqrt(_BARS_PER_YEAR) * np.exp(heat)
    return _with_regimes(spread * rng.standard_normal(_BARS), 0.45, rng), spread, heat


@lru_cache(maxsize=4096)
def _level(seed: int, name: int, chunk: int) -> float:
    """Return where a mean-reverting walk that began in 1970 (steps of deviation 1) is at a chunk's start."""
    shocks = np.random.default_rng([seed, name, 4]).standard_normal(chunk + 1)
    return float(np.sum(shocks[::-1] * 0.9 ** np.arange(chunk + 1)))


def _known(symbol: str) -> tuple[float, float] | None:
    pair = symbol.partition("_")[0]
    return _KNOWN.get(pair.removesuffix("USDT").removesuffix("USDC"))


def _turnover(listing: Listing, traits: np.random.Generator) -> float:
    """Return the daily turnover in quote units."""
    known = _known(listing.symbol)
    return 1e6 * (known[1] if known else exp(traits.uniform(log(20.0), log(400.0))))
