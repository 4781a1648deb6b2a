"""What sentiment-macro asks FRED and alternative.me for."""

from __future__ import annotations

import apsw

from futures_agent.clock import DAY_MS
from futures_agent.errors import Refuse
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.jobs.rounds import Store, Task
from futures_agent.macro import fear_greed as index
from futures_agent.macro import fred
from futures_agent.macro.web import WebSource
from futures_agent.market.observation import Observation, day_ms, day_text
from futures_agent.program.credentials import read_credential
from futures_agent.settings import Settings
from futures_agent.settings.tree import MacroSettings
from futures_agent.store.macro import series_state, store_observations

FRED_CREDENTIAL = "fred_api_key"
# A monthly value is about three months old when the next one comes: the first day of a backtest needs one.
_BEFORE_HISTORY_MS = 100 * DAY_MS
# FRED answers at most 2,000 days of publication at once; a series may have one every working day.
_PUBLISHED_SINCE_MS = 1_900 * DAY_MS
_ASKED_AGAIN_MS = 7 * DAY_MS


def macro_tasks(
    db: apsw.Connection, web: WebSource, index_web: WebSource, settings: Settings, clock: ExchangeClock
) -> list[Task]:
    """Return one task per series that the settings name.

    Parameters
    ----------
    web, index_web : WebSource
        FRED and alternative.me.
    clock : ExchangeClock
    """
    tasks = []
    if settings.macro.fear_greed:
        tasks.append(_fear_greed_task(index_web, settings, series_state(db, index.SERIES), clock))
    if settings.macro.fred_series:
        try:
            source = fred.Fred(web, _fred_key(settings.macro))
        except Refuse as error:
            tasks.append(_refused_task(error))
        else:
            tasks += [
                _fred_task(source, settings, series, series_state(db, series), clock)
                for series in dict.fromkeys(settings.macro.fred_series)
            ]
    return tasks


def _fred_key(settings: MacroSettings) -> str:
    key = read_credential(FRED_CREDENTIAL, settings.fred_key_file, "macro.fred_key_file")
    if key is None:
        raise Refuse(
            f"no key; give the unit the credential {FRED_CREDENTIAL}, set macro.fred_key_file, "
            "or empty macro.fred_series"
        )
    return key


def _refused_task(error: Refuse) -> Task:
    def fetch() -> Store:
        raise error

    return Task(source=fred.SOURCE, item="key", fetch=fetch)


def _fred_task(
    source: fred.Fred, settings: Settings, series: str, stored: tuple[str, int] | None, clock: ExchangeClock
) -> Task:
    now_ms = clock.now_ms()
    history_ms = now_ms - settings.data.history_days * DAY_MS - _BEFORE_HISTORY_MS
    changed_ms = _changed_ms(stored, history_ms)
    since_ms = history_ms if changed_ms is None else max(history_ms, changed_ms - _ASKED_AGAIN_MS)

    def fetch() -> Store:
        observations = source.observations(
            series,
            observed_since=day_text(history_ms),
            known_since=day_text(max(since_ms, now_ms - _PUBLISHED_SINCE_MS)),
        )
        return _store(settings.macro, series, observations, clock.now_ms())

    return Task(source=fred.SOURCE, item=series, fetch=fetch)


def _fear_greed_task(
    web: WebSource, settings: Settings, stored: tuple[str, int] | None, clock: ExchangeClock
) -> Task:
    now_ms, days = clock.now_ms(), settings.data.history_days
    changed_ms = _changed_ms(stored, now_ms - days * DAY_MS)
    if changed_ms is not None:
        days = min(days, (now_ms - changed_ms + _ASKED_AGAIN_MS) // DAY_MS)

    def fetch() -> Store:
        observations = index.fear_greed(web, days)
        return _store(settings.macro, index.SERIES, observations, clock.now_ms())

    return Task(source=index.SOURCE, item=index.SERIES, fetch=fetch)


def _changed_ms(stored: tuple[str, int] | None, history_ms: int) -> int | None:
    """Return when the series last changed; None where much of the history that is wanted is not stored."""
    if stored is None or day_ms(stored[0]) - history_ms > _BEFORE_HISTORY_MS:
        return None
    return stored[1]


def _store(
    settings: MacroSettings, series: str, observations: list[Observation], fetched_at_ms: int
) -> Store:
    lag_d = settings.publication_lag_d.get(series, settings.publication_lag_other_d)

    def store(db: apsw.Connection) -> int:
        return store_observations(
            db, series, observations, lag_ms=int(lag_d * DAY_MS), fetched_at_ms=fetched_at_ms
        )

    return store
