"""Funding and statistics over REST: fundingRate, fundingInfo, /futures/data.

They weigh nothing, and are counted in two pools of five minutes each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from futures_agent.clock import DAY_MS
from futures_agent.market.sentiment import PERIODS_MS, Statistic
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.rest import Endpoint, Params, mandatory, whole_number
from futures_agent.simulator.venue import FUNDING_POOL, STATISTICS_POOL, Venue

KEPT_MS = 30 * DAY_MS  # statistics older than this do not exist
FUNDING_LIMIT, FUNDING_LARGEST, FUNDING_UNBOUNDED = 100, 1000, 200
STATISTICS_LIMIT, STATISTICS_LARGEST = 30, 500


def funding_rate(venue: Venue, params: Params, now_ms: int) -> bytes:
    """Answer funding payments: from a start the first ones, without one the last."""
    start_ms, end_ms = _bounds(params)
    unbounded = start_ms is None and end_ms is None
    limit = _limit(params, FUNDING_UNBOUNDED if unbounded else FUNDING_LIMIT, FUNDING_LARGEST)
    symbols = [_symbol(venue, params)] if params.get("symbol") else list(venue.market.listings)
    last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
    first_ms = last_ms - FUNDING_LARGEST * DAY_MS // 3 if start_ms is None else start_ms
    rows = [
        (time, symbol, rate, mark)
        for symbol in symbols
        for time, rate, mark in venue.sentiment.funding(symbol, max(first_ms, 0), last_ms).tolist()
    ]
    rows.sort()
    kept = rows[-limit:] if start_ms is None else rows[:limit]
    return _json(
        [
            {
                "symbol": symbol,
                "fundingTime": time,
                "fundingRate": f"{rate:.8f}",
                "markPrice": "" if math.isnan(mark) else f"{mark:.8f}",
                "rateType": "Regular",
            }
            for time, symbol, rate, mark in kept
        ]
    )


def funding_info(venue: Venue, params: Params, now_ms: int) -> bytes:
    """Answer the contracts whose interval is not the usual eight hours."""
    intervals = {symbol: venue.sentiment.interval_h(symbol) for symbol in venue.market.listings}
    return _json(
        [
            {
                "symbol": symbol,
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": hours,
                "disclaimer": False,
                "updateTime": venue.market.listings[symbol].onboard_ms,
            }
            for symbol, hours in intervals.items()
            if hours != 8
        ]
    )


def _statistic(statistic: Statistic) -> Callable[[Venue, Params, int], bytes]:
    """Return the answer of one statistic's endpoint."""

    def answer(venue: Venue, params: Params, now_ms: int) -> bytes:
        symbol = _symbol(venue, params)
        step = PERIODS_MS.get(mandatory(params, "period"))
        if step is None:
            raise refusal(-1130, "period")
        limit = _limit(params, STATISTICS_LIMIT, STATISTICS_LARGEST)
        start_ms, end_ms = _bounds(params)
        if start_ms is not None and start_ms < now_ms - KEPT_MS:
            raise refusal(-1130, "startTime", other=True)
        # A start alone is ignored, as a client must not count on it; the last rows are answered.
        first_ms = now_ms - KEPT_MS if start_ms is None or end_ms is None else start_ms
        first_ms = max(first_ms, venue.market.listings[symbol].onboard_ms)
        last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        stamps = np.arange(-(-first_ms // step) * step, last_ms + 1, step, dtype=np.int64)
        return _rows(statistic, symbol, venue.sentiment.statistic(statistic, symbol, stamps)[-limit:])

    return answer


def _rows(statistic: Statistic, symbol: str, rows: Any) -> bytes:
    """Return rows as the exchange writes them; timestamps are numbers since July 2026."""
    if statistic is Statistic.OPEN_INTEREST:
        return _json(
            [
                {
                    "symbol": symbol,
                    "sumOpenInterest": f"{amount:.8f}",
                    "sumOpenInterestValue": f"{value:.8f}",
                    "CMCCirculatingSupply": "165880.538",
                    "timestamp": time,
                }
                for time, amount, value in rows.tolist()
            ]
        )
    if statistic is Statistic.TAKER_VOLUME:
        return _json(
            [
                {
                    "buySellRatio": f"{ratio:.4f}",
                    "buyVol": f"{bought:.4f}",
                    "sellVol": f"{sold:.4f}",
                    "timestamp": time,
                }
                for time, ratio, bought, sold in rows.tolist()
            ]
        )
    return _json(
        [
            {
                "symbol": symbol,
                "longShortRatio": f"{ratio:.4f}",
                "longAccount": f"{ratio / (1 + ratio):.4f}",
                "shortAccount": f"{1 / (1 + ratio):.4f}",
                "timestamp": time,
            }
            for time, ratio in rows.tolist()
        ]
    )


def _symbol(venue: Venue, params: Params) -> str:
    symbol = mandatory(params, "symbol")
    if symbol not in venue.market.listings:
        raise refusal(-1121)
    return symbol


def _bounds(params: Params) -> tuple[int | None, int | None]:
    start_ms, end_ms = whole_number(params, "startTime"), whole_number(params, "endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise refusal(-1023)
    return start_ms, end_ms


def _limit(params: Params, usual: int, largest: int) -> int:
    limit = whole_number(params, "limit")
    if limit is not None and not 1 <= limit <= largest:
        raise refusal(-1130, "limit")
    return limit or usual


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _weightless(params: Params) -> int:
    return 0


SENTIMENT_ENDPOINTS = (
    Endpoint("GET", "/fapi/v1/fundingRate", _weightless, funding_rate, FUNDING_POOL),
    Endpoint("GET", "/fapi/v1/fundingInfo", _weightless, funding_info, FUNDING_POOL),
    *(
        Endpoint(
            "GET", f"/futures/data/{statistic.value}", _weightless, _statistic(statistic), STATISTICS_POOL
        )
        for statistic in Statistic
    ),
)
