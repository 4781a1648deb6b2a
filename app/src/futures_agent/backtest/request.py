"""What a person asks of a run on the command line, over what the settings say."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from futures_agent.backtest.loading import Period
from futures_agent.clock import DAY_MS, utc_text
from futures_agent.errors import Refuse
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Effective, Settings

_PARAMS = "strategy.params."  # what a parameter is called where settings are listed


class Request(Struct, frozen=True, kw_only=True):
    """A run as it was typed; the nightly one asks for nothing.

    Parameters
    ----------
    start_ms, end_ms : int, optional
        `--from` and `--to`, ms UTC. Without an end the run ends now; without a start it is
        `backtest.days` long.
    symbols : sequence of str, optional
        `--symbols`: what to trade, in this order.
    strategy : str, optional
        `--strategy`: its name. Parameters that the settings have for another strategy do not count.
    params : dict
        `--set key=value`: parameters over those of the settings.
    """

    start_ms: int | None = None
    end_ms: int | None = None
    symbols: Sequence[str] | None = None
    strategy: str | None = None
    params: dict[str, Any] = {}

    @property
    def past(self) -> bool:
        """Whether the run ends in the past, so that its candles need not be fresh."""
        return self.end_ms is not None

    def applied_to(self, effective: Effective) -> Effective:
        """Return `effective` with what was asked for, and where it came from."""
        settings, origins = effective.settings, dict(effective.origins)
        if self.symbols is not None:
            symbols = tuple(dict.fromkeys(self.symbols))
            settings = replace(settings, data=replace(settings.data, symbols=symbols))
            origins["data.symbols"] = "--symbols"
        chosen = settings.strategy
        if self.strategy is not None and self.strategy != chosen.name:
            chosen = replace(chosen, name=self.strategy, params={})
            origins["strategy.name"] = origins["strategy.params"] = "--strategy"
        if self.params:
            chosen = replace(chosen, params={**chosen.params, **self.params})
            origins["strategy.params"] = "--set"
        return Effective(replace(settings, strategy=chosen), origins)

    def is_typed(self, effective: Effective) -> bool:
        """Whether the command line changed the run, so that it is not what the host is judged by.

        `effective` is what `applied_to` returned.
        """
        changed = any(origin.startswith("--") for origin in effective.origins.values())
        return changed or self.start_ms is not None or self.end_ms is not None

    def period(self, settings: Settings, now_ms: int) -> Period:
        """Return when the run takes place, on the grid of the deciding timeframe.

        Parameters
        ----------
        now_ms : int
            Exchange time, ms UTC.

        Raises
        ------
        Refuse
            The period is empty or lies ahead.
        """
        timeframe = Timeframe[settings.strategy.timeframe]
        if self.end_ms is not None and self.end_ms > now_ms:
            raise Refuse(
                f"--to {utc_text(self.end_ms)}: lies ahead, at the exchange it is {utc_text(now_ms)}; "
                "leave --to out to run until now"
            )
        end_ms = timeframe.open_of(now_ms if self.end_ms is None else self.end_ms)
        start_ms = end_ms - settings.backtest.days * DAY_MS if self.start_ms is None else self.start_ms
        if self.end_ms is not None and start_ms >= self.end_ms:
            raise Refuse(f"--from {utc_text(start_ms)} is not before --to {utc_text(self.end_ms)}")
        if start_ms > end_ms - timeframe.ms:
            raise Refuse(
                f"--from {utc_text(start_ms)}: no {timeframe.name} candle opens and closes between it and "
                f"{utc_text(end_ms)}; choose an earlier --from or a later --to"
            )
        return Period(start_ms, end_ms, None if self.past else now_ms)


def is_param(text: str) -> bool:
    """Return whether `key=value` sets a parameter of the strategy, not a setting: those have a section."""
    key = text.partition("=")[0].strip()
    return "." not in key or key.startswith(_PARAMS)


def parse_param(text: str) -> tuple[str, Any]:
    """Return (name, value) for `--set fast=10`, its value as TOML has it.

    Raises
    ------
    Refuse
        It is no assignment, or its value no number and neither true nor false.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    name = name.removeprefix(_PARAMS)
    if not equals or not name:
        raise Refuse(f"--set {text!r}: write a parameter of the strategy, fast=10, or section.key=value")
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        found = None
    if not isinstance(found, bool | int | float):
        raise Refuse(f"--set {name}: expected a number, true or false, found {value!r}")
    return name, found
