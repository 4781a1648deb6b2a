"""agentctl: one subcommand per job and per runbook action.

Every command ends with a documented exit code (`futures_agent.errors.ExitCode`), and an expected fault is
one line on stderr. Imports happen inside the commands: none pays for what another needs.
"""

from __future__ import annotations

import faulthandler
import sys

from futures_agent.cli import jobs, live, operate, results, stored
from futures_agent.cli.frame import app
from futures_agent.errors import AgentError, ExitCode, exit_code_of

__all__ = ["app", "jobs", "live", "main", "operate", "results", "stored"]


def main() -> None:
    """Run agentctl; every expected fault ends in one line and its exit code."""
    faulthandler.enable()  # the watchdog's SIGABRT then leaves every thread's stack in the journal
    try:
        app()
    except AgentError as error:
        print(f"agentctl: {error}", file=sys.stderr)
        sys.exit(exit_code_of(error))
    except BrokenPipeError:
        sys.exit(ExitCode.OK)
