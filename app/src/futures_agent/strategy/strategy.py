"""What a strategy is: typed parameters, a state record, and one step per closed bar."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.compiled import is_kernel
from futures_agent.errors import Refuse
from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import narrow_fields
from futures_agent.strategy.inputs import Input

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
        ("declined", np.bool_),  # set after the step, by a policy: the entry is not to be opened
    ]
)

# What a strategy shows on a chart: a zone between two prices, or a line where they are equal.
ZONE = np.dtype(
    [
        ("kind", np.int64),  # index into the strategy's `zone_kinds`
        ("timeframe_ms", np.int64),
        ("start", np.int64),  # open time of the bar from which it is drawn, ms UTC
        ("end", np.int64),  # open time of the bar that ended it; 0 = nothing has
        ("top", np.float64),
        ("bottom", np.float64),
    ]
)

_FIELD_TYPES: dict[type, type] = {bool: np.bool_, int: np.int64, float: np.float64}

_LARGEST = 2**63 - 1  # what an int64 holds; no length, price or multiple comes near it

_MOST_REASONS = 62  # bits of an int64 that never touch its sign

Step = Callable[[Any, Any, Any, Any], None]
Draw = Callable[[Any, Any, Any, Any, int], int]


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """A plug-in: everything the backtest and the live trader need to know about a strategy.

    Parameters
    ----------
    name : str
    params : type of msgspec.Struct
        Its fields are bool, int or float, annotated with their bounds, each with a default.
    state : numpy.dtype
        Record of one symbol's memory; all zero before the first bar. Its fields are float64, int64 or
        bool, one-dimensional arrays of float64 or int64, or such records: what is narrower would not hold
        the same values compiled and plain.
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
    inputs : tuple of Input
        Sentiment and macro values that every bar carries besides its prices.
    observation : tuple of str
        Names of the numbers that a policy judges an entry by.
    observe : callable, optional
        `observe(state, bar, params, observation)` fills a float64 array with one finite number per name of
        `observation`; it is called after the step that wants to enter. A kernel where the step is one.
    zone_kinds : tuple of str
        What there is to draw on a chart, such as "H4 order block".
    draw : callable, optional
        `draw(state, bar, params, zones, drawn) -> drawn` is called after each step, where charts are made.
        The first `drawn` of the records of ZONE in `zones` are there already: it may append to them, while
        `drawn < len(zones)`, and change them. A kernel where the step is one.

    Raises
    ------
    Refuse
        `step` cannot be called; `state` is no record, or has a field of another type; there are too many
        reasons; an input has a name that a bar cannot carry; an observation or zones are named and nothing
        fills them; or of step, observe and draw only some are kernels.
    """

    name: str
    params: type[msgspec.Struct]
    state: np.dtype[Any]
    step: Step
    timeframes: tuple[Timeframe, ...] = ()
    reasons: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    observation: tuple[str, ...] = ()
    observe: Step | None = None
    zone_kinds: tuple[str, ...] = ()
    draw: Draw | None = None

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise Refuse(f"strategy {self.name}: step must be callable, found a {type(self.step).__name__}")
        if not self.state.names:
            raise Refuse(f"strategy {self.name}: state must be a record dtype, found {self.state}")
        if len(self.reasons) > _MOST_REASONS:
            raise Refuse(f"strategy {self.name}: {len(self.reasons)} reasons; at most {_MOST_REASONS} fit")
        for field in narrow_fields(self.state):
            raise Refuse(
                f"strategy {self.name}: state field {field}: must be float64, int64, bool, or an array of "
                "one dimension of the first two; others differ between live trading and the compiled backtest"
            )
        for name, function in (("observe", self.observe), ("draw", self.draw)):
            if function is not None and is_kernel(function) != is_kernel(self.step):
                raise Refuse(f"strategy {self.name}: mark both step and {name} with @kernel, or neither")
        self._require_named_inputs()
        if bool(self.observation) != (self.observe is not None):
            raise Refuse(f"strategy {self.name}: observation and observe belong together; give both or none")
        if bool(self.zone_kinds) != (self.draw is not None):
            raise Refuse(f"strategy {self.name}: zone_kinds and draw belong together; give both or none")

    def _require_named_inputs(self) -> None:
        taken = set(BAR.names or ())
        for wanted in self.inputs:
            if not wanted.name.isidentifier() or {wanted.name, f"{wanted.name}_known"} & taken:
                raise Refuse(
                    f"strategy {self.name}: input {wanted.name!r}: must be an identifier that no other field "
                    "of a bar has"
                )
            if wanted.switch and wanted.switch not in self.params.__struct_fields__:
                raise Refuse(
                    f"strategy {self.name}: input {wanted.name}: switch {wanted.switch} is no parameter"
                )
            taken |= {wanted.name, f"{wanted.name}_known"}

    @property
    def bar(self) -> np.dtype[Any]:
        """The record dtype of the bars that a step sees: BAR, and the inputs."""
        fields: list[tuple[str, Any]] = [(name, BAR[name]) for name in BAR.names or ()]
        for wanted in self.inputs:
            fields += [(wanted.name, np.float64), (f"{wanted.name}_known", np.bool_)]
        return np.dtype(fields)

    def inputs_used(self, params: NDArray[np.void]) -> tuple[Input, ...]:
        """Return the inputs that `params`, as `read_params` returns them, do not switch off."""
        return tuple(wanted for wanted in self.inputs if not wanted.switch or params[wanted.switch][0])

    def read_params(self, values: Mapping[str, Any]) -> NDArray[np.void]:
        """Return `values` over the defaults as an array of one record, for `step`.

        Raises
        ------
        Refuse
            Unknown parameter, wrong type, or a value out of bounds or not finite.
        """
        known = [field.name for field in msgspec.structs.fields(self.params)]
        for name in values:  # told even where the struct would pass over it
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise Refuse(f"strategy.params.{name}: strategy {self.name} has no such parameter; {has}")
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
    return f"strategy.params{place.rstrip('`')}: {sentence} (strategy {name})"
