"""live-trading: the one long-running program, which trades.

Its watchdog is fed by real progress only. Told to stop it lets orders under way come to rest, leaves stops
and targets at the venue, and ends with 0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from futures_agent.errors import AgentError, ExitCode
from futures_agent.live.assembly import Assembly
from futures_agent.program import holds
from futures_agent.program.job import StopEvent, stop_signals
from futures_agent.program.progress import Reporter
from futures_agent.settings import Effective, Settings

NAME = "live-trading"
_log = logging.getLogger(__name__)


def run(effective: Effective, reload: Callable[[], Settings]) -> ExitCode:
    """Trade until told to stop; `reload` returns the settings as they are written now."""
    stopping = StopEvent()
    with Reporter(NAME) as reporter, stop_signals(stopping):
        holds.refuse_if_held(effective.settings.paths.holds, NAME)
        assembly = Assembly(effective.settings, reporter, reload)
        try:
            reporter.ready()
            assembly.projection.start()
            assembly.trader.run(stopping.is_set)
        except AgentError as error:
            _log.critical("live trading ends: %s", error)
            raise
        finally:
            assembly.close()
        reporter.status("stopped: positions keep their stops at the exchange")
    return ExitCode.OK
