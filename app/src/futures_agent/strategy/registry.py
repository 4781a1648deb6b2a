"""Finding a strategy by the name in the settings."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from futures_agent.errors import AgentError, Refuse
from futures_agent.strategy.strategy import Strategy

GROUP = "futures_agent.strategies"


def load_strategy(name: str) -> Strategy:
    """Return the strategy called `name`.

    Parameters
    ----------
    name : str
        An entry point of the group `futures_agent.strategies`, or a dotted path `package.module:NAME`.

    Raises
    ------
    Refuse
        No such name, its module cannot be imported, or what it names is no `Strategy`.
    """
    path = name if ":" in name else _entry_point(name)
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except AgentError:
        raise
    except (Exception, SystemExit) as error:  # a user's module may raise anything while it is imported
        reason = f"{type(error).__name__}: {error}"
        missing = isinstance(error, ModuleNotFoundError)
        hint = "; install it, or put its folder on PYTHONPATH" if missing else ""
        raise Refuse(f"strategy.name: {name!r}: cannot load {path}: {reason}{hint}") from None
    if not isinstance(found, Strategy):
        kind = type(found).__name__
        raise Refuse(f"strategy.name: {name!r}: {path} is a {kind}, expected a futures_agent Strategy")
    return found


def _entry_point(name: str) -> str:
    points = {point.name: point.value for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join(sorted(points)) or "none"
        raise Refuse(f"strategy.name: no strategy {name!r}; installed: {known}; or write package.module:NAME")
    return points[name]
