"""Macro series as their publishers have them: values, when each was published, and later revisions.

Made up from the seed, or recorded: macro_fred.csv.gz (series, date, value; blank for a holiday) and
fear_greed.csv.gz (date, value) in a data set's folder. Recorded ones have no revisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from futures_agent.errors import Refuse
from futures_agent.simulator.noise import smooth, uniform
from futures_agent.simulator.tables import Kind, read_rows

_FRED_COLUMNS: dict[str, Kind] = {"series": "string", "date": "string", "value": "float64"}
_INDEX_COLUMNS: dict[str, Kind] = {"date": "string", "value": "float64"}
WITHOUT_HISTORY = frozenset({"SP500"})  # in FRED, not in ALFRED
_FIRST_DAY = date(2015, 1, 1)
_EPOCH = date(1970, 1, 1)


class Vintage(NamedTuple):
    """The value of a day from the day of its publication on; None where there is none (a holiday)."""

    day: date
    published: date
    value: float | None


@dataclass(frozen=True)
class _Kind:
    """How a series is published."""

    every: str  # day, working day, week, month
    typical: float
    lag_days: int  # from a value's day to its publication
    revised: bool = False


_KINDS = {
    "DFF": _Kind("day", 4.3, 1),
    "DGS10": _Kind("working day", 4.2, 1),
    "DGS2": _Kind("working day", 4.0, 1),
    "T10Y2Y": _Kind("working day", 0.3, 1),
    "DTWEXBGS": _Kind("working day", 120.0, 7),
    "VIXCLS": _Kind("working day", 18.0, 1),
    "SP500": _Kind("working day", 5_800.0, 1),
    "CPIAUCSL": _Kind("month", 320.0, 42, revised=True),
    "M2SL": _Kind("month", 21_800.0, 56, revised=True),
    "WALCL": _Kind("week", 6_700_000.0, 1, revised=True),
}
_UNKNOWN_KIND = _Kind("day", 1.0, 1)


class Macro:
    """The series of one world.

    Parameters
    ----------
    seed : int
    recorded : mapping of str to (date → value), optional
        Series of a data set; others are then unknown.
    index : mapping of date → value, optional
        The recorded Fear & Greed Index.
    """

    def __init__(
        self,
        seed: int,
        recorded: dict[str, dict[date, float | None]] | None = None,
        index: dict[date, float] | None = None,
    ) -> None:
        self._seed = seed
        self._recorded = recorded or {}
        self._index = index or {}

    def vintages(self, series: str, first: date, today: date) -> list[Vintage] | None:
        """Return every value of the days from `first` on that was published by `today`, None if unknown.

        Of each day in the order of publication.
        """
        kind = _KINDS.get(series, _UNKNOWN_KIND)
        if self._recorded:
            values = self._recorded.get(series)
            if values is None:
                return None
            found = [
                Vintage(day, day + timedelta(kind.lag_days), value)
                for day, value in values.items()
                if day >= first
            ]
        elif series in _KINDS:
            found = self._made_up(series, kind, max(first, _FIRST_DAY), today)
        else:
            return None
        return [vintage for vintage in found if vintage.published <= today]

    def fear_greed(self, today: date, days: int) -> list[tuple[date, int]]:
        """Return the newest `days` values of the index, newest first; 0 for all."""
        if self._index:
            known = sorted((day for day in self._index if day <= today), reverse=True)
            return [(day, int(self._index[day])) for day in known[: days or None]]
        first = max(_FIRST_DAY, today - timedelta(days - 1)) if days else _FIRST_DAY
        numbers = np.arange((first - _EPOCH).days, (today - _EPOCH).days + 1)
        mood = (
            10 + 75 * smooth(self._key("index"), numbers / 7) + 10 * uniform(self._key("index") + 1, numbers)
        )
        days_and_values = zip(numbers[::-1], mood[::-1], strict=True)
        return [(_EPOCH + timedelta(int(number)), int(value)) for number, value in days_and_values]

    def _made_up(self, series: str, kind: _Kind, first: date, today: date) -> list[Vintage]:
        days = [day for day in _days(first, today) if _belongs(day, kind.every)]
        numbers = np.array([(day - _EPOCH).days for day in days], dtype=np.int64)
        key = self._key(series)
        values = kind.typical * (0.95 + 0.1 * smooth(key, numbers / 60) + 0.01 * uniform(key + 1, numbers))
        holidays = (uniform(key + 2, numbers) < 0.03) & (kind.every == "working day")
        changes = 1 + 0.002 * (uniform(key + 3, numbers) - 0.5)
        found = []
        for day, value, holiday, change in zip(days, values, holidays, changes, strict=True):
            published = day + timedelta(kind.lag_days)
            found.append(Vintage(day, published, None if holiday else round(float(value), 3)))
            if kind.revised:
                found.append(Vintage(day, published + timedelta(30), round(float(value * change), 3)))
        return found

    def _key(self, series: str) -> int:
        return crc32(f"{self._seed}/macro/{series}".encode())


def load_macro(dataset: Path | None, seed: int) -> Macro:
    """Return the series of a data set's folder as far as it has some, made-up ones otherwise.

    Raises
    ------
    Refuse
        A file cannot be read, or lacks a column.
    """
    if dataset is None:
        return Macro(seed)
    recorded: dict[str, dict[date, float | None]] = {}
    index: dict[date, float] = {}
    try:
        for series, day, value in read_rows(dataset, "macro_fred", _FRED_COLUMNS):
            recorded.setdefault(series, {})[date.fromisoformat(day)] = value
        for day, value in read_rows(dataset, "fear_greed", _INDEX_COLUMNS):
            index[date.fromisoformat(day)] = float(value)
    except (ValueError, TypeError) as error:
        raise Refuse(f"{dataset}: macro_fred or fear_greed: a row is no day with a value: {error}") from None
    return Macro(seed, recorded, index)


def today_of(now_ms: int) -> date:
    """Return the day in St. Louis at a time in ms UTC (standard time all year)."""
    return datetime.fromtimestamp(now_ms / 1000 - 6 * 3600, tz=UTC).date()


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(count) for count in range((last - first).days + 1)]


def _belongs(day: date, every: str) -> bool:
    return {
        "day": True,
        "working day": day.weekday() < 5,
        "week": day.weekday() == 2,
        "month": day.day == 1,
    }[every]
