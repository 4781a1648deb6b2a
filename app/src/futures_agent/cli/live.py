"""The live trader: running it, seeing it, steering it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from futures_agent.cli.frame import app, effective_logged, effective_settings, end, print_json
from futures_agent.errors import ExitCode, Refuse, Retry

if TYPE_CHECKING:
    from futures_agent.live.control import Control, Verb
    from futures_agent.live.status import LiveStatus

live_app = typer.Typer(help="See and steer the live trader.", no_args_is_help=True)
app.add_typer(live_app, name="live")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="Only this one.")]


@app.command("live-trading")
def live_trading() -> None:
    """Trade, until told to stop: on paper, on the testnet or live, as `live.mode` says."""
    from futures_agent.jobs import live_trading as job
    from futures_agent.program.slices import in_own_slice

    in_own_slice(job.NAME)
    end(job.run(effective_logged(), lambda: effective_settings().settings))


@live_app.command()
def status(as_json: JsonOption = False) -> None:
    """Show mode, heartbeat, equity, positions and orders; exit 1 where the trader does not run."""
    from futures_agent.live.screen import print_live
    from futures_agent.live.status import is_running

    found = _status()
    if as_json:
        print_json(found)
    else:
        print_live(found)
    if not is_running(found):
        end(ExitCode.FAILED)


@live_app.command()
def positions(as_json: JsonOption = False) -> None:
    """List the open positions with their stops."""
    from futures_agent.live.screen import print_positions

    found = _status()
    if as_json:
        print_json(found.positions)
    else:
        print_positions(found)


@live_app.command()
def orders(as_json: JsonOption = False) -> None:
    """List our orders that are open or unknown."""
    from futures_agent.live.screen import print_orders

    found = _status()
    if as_json:
        print_json(found.orders)
    else:
        print_orders(found)


@live_app.command()
def pause(why: Annotated[str, typer.Option("--why", help="The reason; the status shows it.")]) -> None:
    """Open no positions until `resume`; what is open keeps its stops, its target and its exits."""
    set_by = _control().pause(why)
    print(f"live trading is paused since {set_by.since}: {set_by.why}; `agentctl live resume` ends it")


@live_app.command()
def resume() -> None:
    """End a pause."""
    print("live trading goes on" if _control().resume() else "live trading was not paused")


@live_app.command()
def flatten(
    why: Annotated[str, typer.Option("--why", help="The reason; the trades carry it.")],
    symbol: SymbolOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Close positions at market now, and pause; `--symbol` closes one and does not pause."""
    what = symbol.upper() if symbol else "every position"
    if not yes:
        if not sys.stdin.isatty():
            raise Refuse("live flatten: nobody is there to ask; add --yes")
        typer.confirm(f"close {what} at market now?", abort=True)
    if symbol is None:
        _control().pause(f"flatten: {why}")
    _ask("flatten", symbol=(symbol or "").upper(), why=why)


@live_app.command()
def rearm(why: Annotated[str, typer.Option("--why", help="Why it may trade again.")]) -> None:
    """Re-arm the drawdown kill switch: the drawdown counts from now on."""
    _ask("rearm", why=why)


@live_app.command()
def reconcile() -> None:
    """Compare orders, fills and positions with the exchange now."""
    _ask("reconcile")


@live_app.command()
def reload() -> None:
    """Take over the risk limits of agent.toml; other settings need a restart."""
    _ask("reload")


def _ask(verb: Verb, *, symbol: str = "", why: str = "") -> None:
    from futures_agent.live.status import is_running

    if not is_running(_status()):
        raise Retry(f"{verb}: the live trader does not run; see `systemctl status live-trading`")
    reply = _control().ask(verb, symbol=symbol, why=why)
    print(reply.line, file=sys.stdout if reply.done else sys.stderr)
    if not reply.done:
        end(ExitCode.FAILED)


def _control() -> Control:
    from futures_agent.live.control import Control

    return Control(effective_settings().settings.paths.live)


def _status() -> LiveStatus:
    from futures_agent.live.status import FILE, read_status

    directory = effective_settings().settings.paths.live
    found = read_status(directory)
    if found is None:
        raise Retry(
            f"{directory / FILE}: no status yet: the live trader has not run here, or you may not read it "
            "(try with sudo); see `systemctl status live-trading`"
        )
    return found
