"""What every command shares: the global options, the settings they lead to, lists on the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from futures_agent.errors import ExitCode, Refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from futures_agent.market.timeframe import Timeframe
    from futures_agent.settings import Effective, Settings

app = typer.Typer(
    name="agentctl",
    help="Operate the crypto futures agent: run a job now, see its state, hold what should wait.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
database_app = typer.Typer(help="Look after the database.", no_args_is_help=True)
app.add_typer(database_app, name="db")

SymbolsOption = Annotated[
    str | None, typer.Option("--symbols", help="Only these, comma-separated: BTCUSDT,ETHUSDT.")
]
TimeframesOption = Annotated[
    str | None, typer.Option("--timeframes", help="Only these, comma-separated: D1,H4,H1,M15.")
]


class _Choice:
    """What the global options chose; settings are read when a command asks for them."""

    def __init__(self) -> None:
        self.config: Path | None = None
        self.overrides: dict[str, str] = {}


_choice = _Choice()


@app.callback()
def choose(
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings file; default /etc/crypto-futures-agent/agent.toml."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one setting; may be repeated."),
    ] = None,
) -> None:
    """Read the global options."""
    _choice.config = config
    _choice.overrides = dict(split_setting(text) for text in setting or [])


def split_setting(text: str) -> tuple[str, str]:
    """Return (key, text) of `section.key=value`."""
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise Refuse(f"--set {text!r}: write section.key=value, such as backtest.days=90")
    return key, value


def effective_settings(overrides: Mapping[str, str] | None = None) -> Effective:
    """Return the settings, with where each came from; `overrides` are a command's own and win."""
    from futures_agent.settings import load

    return load(_choice.config, overrides={**_choice.overrides, **(overrides or {})})


def effective_logged(overrides: Mapping[str, str] | None = None) -> Effective:
    """Return the settings with their origins, and start the log as they say."""
    from futures_agent.program.log import start_logging

    effective = effective_settings(overrides)
    start_logging(effective.settings.log.level)
    _require_access(effective.settings.paths.state)
    return effective


def _require_access(state: Path) -> None:
    """Refuse once, clearly, what every file below would be refused for."""
    if os.path.isdir(state) and not os.access(state, os.X_OK):
        raise Refuse(f"{state}: only its owner and its group may look in; use sudo, or join the group")


def settings_logged() -> Settings:
    """Return the settings, and start the log as they say."""
    return effective_logged().settings


def symbols_of(text: str | None) -> Sequence[str] | None:
    """Return the symbols of a comma-separated list, each once; None where none was given."""
    if text is None:
        return None
    symbols = list(dict.fromkeys(part.strip().upper() for part in text.split(",") if part.strip()))
    if not symbols:
        raise Refuse("--symbols: no symbol given; write BTCUSDT,ETHUSDT")
    return symbols


def timeframes_of(text: str | None) -> Sequence[Timeframe] | None:
    """Return the timeframes of a comma-separated list; None where none was given."""
    from futures_agent.market.timeframe import Timeframe

    if text is None:
        return None
    names = [part.strip().upper() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in Timeframe.__members__]
    if unknown or not names:
        raise Refuse(f"--timeframes: {', '.join(unknown) or 'none given'}; possible: {_listed(Timeframe)}")
    return [Timeframe[name] for name in names]


def _listed(names: Any) -> str:
    return ", ".join(one.name for one in names)


def end(code: ExitCode) -> None:
    """End the program with `code`."""
    raise typer.Exit(int(code))


def print_json(value: Any) -> None:
    """Print `value` as indented JSON."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
