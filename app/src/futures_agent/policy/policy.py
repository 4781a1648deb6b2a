"""What a policy is: numbers, and one kernel that accepts or declines a proposed entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.errors import Refuse


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Judges each entry that a strategy proposes, and nothing else: it cannot open, move or close anything.

    Parameters
    ----------
    name : str
    digest : str
        Of the weights and of what they mean; the result of a backtest carries it.
    observation : tuple of str
        Names of the numbers it was made for, in their order.
    weights : ndarray of float64, shape (n,)
        Whatever `accepts` needs, in one row.
    accepts : callable
        A kernel `accepts(weights, observation) -> bool`. In compiled and plain runs alike it gets both as
        arrays of float64; it keeps to plain loops and to + − × ÷ and comparisons, so that both give the
        same bits.
    """

    name: str
    digest: str
    observation: tuple[str, ...]
    weights: NDArray[np.float64]
    accepts: Callable[[Any, Any], bool]

    def require_fit(self, strategy: str, observation: Sequence[str]) -> None:
        """Refuse to judge by other numbers than those it was made for.

        Raises
        ------
        Refuse
            `observation`, what `strategy` observes, has other names or another order.
        """
        if tuple(observation) != self.observation:
            raise Refuse(
                f"policy {self.name}: made for {len(self.observation)} numbers "
                f"({_first(self.observation)}), strategy {strategy} observes {len(observation)} "
                f"({_first(observation)}); train it again or turn it off"
            )


def _first(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], "…"] if len(names) > 3 else names) or "none"
