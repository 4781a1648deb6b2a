"""What a strategy is: typed parameters, a state record, and one step per closed bar."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.errors import Refuse
from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import narrow_fields

# What a step sees: one closed candle and its length (a strategy may follow several timeframes).
BAR = np.dtype([*CANDLE.descr, ("timeframe_ms", np.int64)])

# What a step may say, for the open of the next bar; all zero = nothing. A distance is measured from the
# price at which the entry fills, so that stop and target are known the moment it does; 0 = none.
SIGNAL = np.dtype(
    [
        ("entry", np.int64),  # +1 long, -1 short; closes an opposite position first, ignored if one is open
        ("exit_long", np.bool_),
        ("exit_short", np.bool_),
        ("stop_distance", np.float64),  # price units, ≥ 0
        ("target_distance", np.float64),  # price units, ≥ 0
        ("reasons", np.int64),  # bit n set: the strategy's `reasons[n]` spoke for the entry
    ]
)

_FIELD_TYPES: dict[type, type] = {bool: np.bool_, int: np.int64, float: np.float64}

_LARGEST = 2**63 - 1  # what an int64 holds; no length, price or multiple comes near it

_MOST_REASONS = 62  # bits of an int64 that never touch its sign

Step = Callable[[Any, Any, Any, Any], None]


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """A plug-in: everything the backtest and the live trader need to know about a strategy.

    Parameters
    ----------
    name : str
    params : type of msgspec.Struct
        Its fields are bool, int or float, annotated with their bounds, each with a default.
    state : numpy.dtype
        Record of one symbol's memory; all zero before the first bar. Its fields are float64, int64 or
        bool, one-dimensional arrays of these, or such records: what is narrower would not hold the same
        values compiled and plain.
    step : callable
        `step(state, bar, params, signal)` is called once per closed bar, oldest first. `state` is the
        symbol's record, `bar` a record of BAR, `params` a record with the fields of `params`, `signal`
        a zeroed record of SIGNAL to write the decision into. Marked `@kernel` it is compiled for the
        backtest; otherwise it simply runs slower.
    timeframes : tuple of Timeframe
        Higher timeframes wanted besides the one that decides. Where bars close together the higher
        comes first. What a step writes into `signal` on a higher bar is ignored.

    reasons : tuple of str
        What may speak for an entry, such as "H1 sweep"; the strategy sets bit n of `signal.reasons` for
        `reasons[n]`. At most 62.

    Raises
    ------
    Refuse
        `state` is no record, or has a field of another type; or there are too many reasons.
    """

    name: str
    params: type[msgspec.Struct]
    state: np.dtype[Any]
    step: Step
    timeframes: tuple[Timeframe, ...] = ()
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.state.names:
            raise Refuse(f"strategy {self.name}: state must be a record dtype, found {self.state}")
        if len(self.reasons) > _MOST_REASONS:
            raise Refuse(f"strategy {self.name}: {len(self.reasons)} reasons; at most {_MOST_REASONS} fit")
        for field in narrow_fields(self.state):
            raise Refuse(
                f"strategy {self.name}: state field {field}: must be float64, int64, bool, or an array of "
                "one dimension of these; others differ between live trading and the compiled backtest"
            )

    def read_params(self, values: Mapping[str, Any]) -> NDArray[np.void]:
        """Return `values` over the defaults as an array of one record, for `step`.

        Raises
        ------
        Refuse
            Unknown parameter, wrong type, or a value out of bounds or not finite.
        """
        try:
            chosen = msgspec.convert(dict(values), self.params)
        except msgspec.ValidationError as error:
            raise Refuse(_explain(self.name, error)) from None
        record = np.zeros(1, self.params_dtype)
        for field in record.dtype.names or ():
            value = getattr(chosen, field)
            if not -_LARGEST <= value <= _LARGEST:  # nor is a NaN
                raise Refuse(f"strategy.params.{field}: {value} is no possible value (strategy {self.name})")
            record[field] = value
        return record

    def reasons_of(self, bits: int) -> tuple[str, ...]:
        """Return the names of the bits that are set."""
        return tuple(name for place, name in enumerate(self.reasons) if bits >> place & 1)

    @property
    def params_dtype(self) -> np.dtype[Any]:
        """The record dtype of `params`."""
        hints = typing.get_type_hints(self.params)
        for name, hint in hints.items():
            if hint not in _FIELD_TYPES:
                raise Refuse(f"strategy {self.name}: parameter {name}: must be bool, int or float")
        return np.dtype([(name, _FIELD_TYPES[hint]) for name, hint in hints.items()])


def _explain(name: str, error: msgspec.ValidationError) -> str:
    sentence, _, place = str(error).partition(" - at `$")
    if sentence.startswith("Object contains unknown field"):
        unknown = sentence.split("`")[1]
        return f"strategy.params.{unknown}: strategy {name} has no such parameter; remove it"
    where = f"strategy.params{place.rstrip('`')}"
    return f"{where}: {sentence} (strategy {name})"
