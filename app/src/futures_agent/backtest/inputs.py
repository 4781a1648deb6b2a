"""How a strategy's inputs are read for a backtest: with their history of publication, from the database."""

from __future__ import annotations

import apsw
import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.panel import ReadInput
from futures_agent.errors import Refuse
from futures_agent.store.macro import read_published_macro
from futures_agent.store.sentiment import VALUE_COLUMNS, read_published_sentiment
from futures_agent.strategy.inputs import Input
from futures_agent.strategy.strategy import Strategy


def input_readers(
    db: apsw.Connection, strategy: Strategy, params: NDArray[np.void], period: tuple[int, int]
) -> dict[str, ReadInput]:
    """Return how to read each input that `strategy` uses, by its name.

    Parameters
    ----------
    params : ndarray of one record
        From `strategy.read_params`.
    period : (start, end)
        What the bars cover, ms UTC; what is still young enough at its start is read too.

    Raises
    ------
    Refuse
        An input names a column that the sentiment table does not have.
    """
    return {wanted.name: _reader(db, strategy, wanted, period) for wanted in strategy.inputs_used(params)}


def _reader(db: apsw.Connection, strategy: Strategy, wanted: Input, period: tuple[int, int]) -> ReadInput:
    start_ms, end_ms = period[0] - wanted.max_age_ms, period[1] + 1  # known at the last close counts
    if wanted.table == "macro":
        published = read_published_macro(db, wanted.column, start_ms, end_ms)
        return lambda symbol: published
    if wanted.column not in VALUE_COLUMNS:
        raise Refuse(
            f"strategy {strategy.name}: input {wanted.name}: sentimento_mercado has no column "
            f"{wanted.column!r}; it has {', '.join(VALUE_COLUMNS)}"
        )
    return lambda symbol: read_published_sentiment(db, symbol, wanted.column, start_ms, end_ms)
