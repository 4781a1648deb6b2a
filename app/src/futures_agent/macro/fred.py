"""FRED, the Federal Reserve Bank of St. Louis's economic data, with the history of what was published when.

Source: https://fred.stlouisfed.org/docs/api/fred/series_observations.html. Asked for a range of
"real-time" days, it answers every value a series had in that range with the day it was published
(ALFRED); a few series have no such history and are asked for as they are today.
"""

from __future__ import annotations

import math
import re

import msgspec

from futures_agent.errors import Refuse, Retry
from futures_agent.macro.web import WebSource
from futures_agent.market.observation import Observation, day_ms, published_by

SOURCE = "FRED"
_PATH = "/fred/series/observations"
_KEY = re.compile(r"[a-z0-9]{32}")
_FOR_EVER = "9999-12-31"
_MISSING = "."
_NO_HISTORY = "does not exist in ALFRED"
_ROWS = 100_000


class _Row(msgspec.Struct):
    date: str
    value: str
    realtime_start: str


class _Observations(msgspec.Struct):
    observations: list[_Row]
    count: int


class _Error(msgspec.Struct):
    error_message: str


class Fred:
    """The series of FRED.

    Parameters
    ----------
    web : WebSource
    key : str
        The API key. It travels in the URL, so no URL is ever shown with its parameters.

    Raises
    ------
    Refuse
        `key` cannot be one.
    """

    def __init__(self, web: WebSource, key: str) -> None:
        if not _KEY.fullmatch(key):
            raise Refuse("the FRED key is not one (32 lower-case letters and digits); correct the credential")
        self._web = web
        self._key = key

    def observations(self, series: str, *, observed_since: str, known_since: str) -> list[Observation]:
        """Return every value published since a day, and what was known on it, in order of publication.

        Parameters
        ----------
        series : str
            Such as DGS10.
        observed_since, known_since : str
            First day spoken of, and first day of publication (YYYY-MM-DD). What was published before
            `known_since` counts as published on it. At most five years back: an answer has a limit.

        Raises
        ------
        Refuse
            FRED does not know the series, or the key.
        Retry
            No answer, a limit, or an answer that is not right in every row.
        """
        params = {
            "series_id": series,
            "api_key": self._key,
            "file_type": "json",
            "observation_start": observed_since,
            "limit": str(_ROWS),
        }
        answer = self._web.get(_PATH, {**params, "realtime_start": known_since, "realtime_end": _FOR_EVER})
        with_history = not (answer.status == 400 and _NO_HISTORY in self._reason(answer.body))
        if not with_history:
            answer = self._web.get(_PATH, params)
        if answer.status != 200:
            raise Refuse(f"FRED refuses {series}: {self._reason(answer.body)}")
        return _decoded(answer.body, series, with_history=with_history)

    def _reason(self, body: bytes) -> str:
        try:
            text = msgspec.json.decode(body, type=_Error).error_message
        except msgspec.DecodeError:
            text = "no reason given"
        return " ".join(text.split()).replace(self._key, "********")


def _decoded(body: bytes, series: str, *, with_history: bool) -> list[Observation]:
    try:
        answer = msgspec.json.decode(body, type=_Observations)
        found = [
            _observation(row, with_history=with_history)
            for row in answer.observations
            if row.value != _MISSING
        ]
    except (msgspec.DecodeError, ValueError) as error:
        raise Retry(f"FRED {series}: the answer is no list of observations: {error}; not used") from None
    if answer.count > len(answer.observations):
        raise Refuse(f"FRED {series}: {answer.count} values, more than one answer; lower data.history_days")
    return sorted(found, key=lambda one: (one.day, one.published_ms or 0))


def _observation(row: _Row, *, with_history: bool) -> Observation:
    day_ms(row.date)  # raises where it is no day
    value = float(row.value)
    if not math.isfinite(value):
        raise ValueError(f"{row.value} is no number")
    return Observation(row.date, value, published_by(row.realtime_start) if with_history else None)
