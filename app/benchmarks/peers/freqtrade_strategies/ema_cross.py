"""The EMA cross as freqtrade loads it: indicators over whole columns, stop and target by callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from freqtrade.strategy import IStrategy, stoploss_from_absolute
from pandas import DataFrame, Series


class EmaCross(IStrategy):  # type: ignore[misc]
    """Enter and leave where the averages cross; the tag of an entry carries its ATR."""

    INTERFACE_VERSION = 3
    timeframe = "1h"
    can_short = True
    stoploss = -0.99
    use_custom_stoploss = True
    use_custom_roi = True
    use_exit_signal = True
    process_only_new_candles = True

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        rules = self.config["peer_rules"]
        close = dataframe["close"]
        before = close.shift()
        true_range = np.maximum(dataframe["high"], before) - np.minimum(dataframe["low"], before)
        above = smoothed(close, rules["fast"], 2 / (rules["fast"] + 1)) > smoothed(
            close, rules["slow"], 2 / (rules["slow"] + 1)
        )
        dataframe["above"] = above
        # The first row with both averages has no side to cross from.
        dataframe["crossed"] = (above != above.shift()) & (dataframe.index >= rules["slow"])
        dataframe["atr"] = smoothed(true_range, rules["atr"], 1 / rules["atr"])
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        for side, row in (("long", dataframe["above"]), ("short", ~dataframe["above"])):
            entries = dataframe["crossed"] & row
            dataframe.loc[entries, f"enter_{side}"] = 1
            dataframe.loc[entries, "enter_tag"] = dataframe.loc[entries, "atr"].map(repr)
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        dataframe.loc[dataframe["crossed"] & ~dataframe["above"], "exit_long"] = 1
        dataframe.loc[dataframe["crossed"] & dataframe["above"], "exit_short"] = 1
        return dataframe

    def custom_stoploss(
        self, pair: str, trade: Any, current_time: Any, current_rate: float, current_profit: float, **_: Any
    ) -> float:
        reach = self.config["peer_rules"]["stop_atr"] * float(trade.enter_tag)
        stop = trade.open_rate + (reach if trade.is_short else -reach)
        return stoploss_from_absolute(stop, current_rate, is_short=trade.is_short)  # type: ignore[no-any-return]

    def custom_roi(self, pair: str, trade: Any, **_: Any) -> float:
        """Return the profit at the target: freqtrade's includes both fees."""
        reach = self.config["peer_rules"]["target_atr"] * float(trade.enter_tag)
        target = trade.open_rate + (-reach if trade.is_short else reach)
        return trade.calc_profit_ratio(target)  # type: ignore[no-any-return]


def smoothed(values: Series, length: int, weight: float) -> Series:
    """Seed with the plain mean of the first `length` values, as TA-Lib and ours do."""
    first = values.first_valid_index()
    seeded = values.copy()
    seeded[: first + length - 1] = np.nan
    seeded[first + length - 1] = values[first : first + length].mean()
    return seeded.ewm(alpha=weight, adjust=False).mean()
