"""Sentiment and macro values for the live trader: read from the database, remembered when it cannot be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.inputs import input_readers
from futures_agent.errors import AgentError
from futures_agent.live.tracker import Published
from futures_agent.settings.tree import DatabaseSettings
from futures_agent.store.database import database_errors, open_reader
from futures_agent.strategy.strategy import Strategy

_log = logging.getLogger(__name__)


class StoredInputs:
    """What was published of each input that the strategy uses; call it with a symbol.

    Parameters
    ----------
    database : Path
        Opened read-only, for each `refresh` alone.
    params : ndarray of one record
        From `strategy.read_params`.
    """

    def __init__(
        self, database: Path, settings: DatabaseSettings, strategy: Strategy, params: NDArray[np.void]
    ) -> None:
        self._database = database
        self._settings = settings
        self._strategy = strategy
        self._params = params
        self._known: dict[str, Published] = {}

    def __call__(self, symbol: str) -> Published:
        return self._known.get(symbol, {})

    def refresh(self, symbols: Sequence[str], start_ms: int, end_ms: int) -> bool:
        """Read what is known of bars that close in [start_ms, end_ms], ms UTC; say whether that succeeded.

        A database that cannot be read leaves what was known: values age out of use by themselves.
        """
        if not self._strategy.inputs_used(self._params):
            return True
        try:
            with (
                database_errors(self._database),
                closing(open_reader(self._database, self._settings)) as db,
            ):
                readers = input_readers(db, self._strategy, self._params, (start_ms, end_ms))
                known = {symbol: {name: read(symbol) for name, read in readers.items()} for symbol in symbols}
        except AgentError as error:
            _log.warning("inputs of strategy %s: %s; decided by what was known", self._strategy.name, error)
            return False
        self._known = dict(known)
        return True
