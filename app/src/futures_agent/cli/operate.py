"""Seeing and steering the host, and trying the product out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from futures_agent import __version__
from futures_agent.cli.frame import (
    SymbolsOption,
    app,
    effective_settings,
    print_json,
    settings_logged,
    symbols_of,
)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show freshness, coverage, last runs and the last backtest on one screen."""
    from futures_agent.health.screen import print_status
    from futures_agent.health.status import gather

    gathered = gather(settings_logged())
    if as_json:
        print_json(gathered)
    else:
        print_status(gathered)


@app.command()
def settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the effective settings and where each came from; secrets are masked."""
    rows = effective_settings().rows()
    if as_json:
        print_json({key: {"value": value, "origin": origin} for key, value, origin in rows})
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for key, value, origin in rows:
        many = isinstance(value, list | tuple)
        shown = f"{len(value)}: {', '.join(map(str, value))}" if many else str(value)
        table.add_row(key, Text(shown), Text(origin), style=None if origin == "default" else "bold")
    Console(highlight=False).print(table)


@app.command()
def hold(
    unit: Annotated[str, typer.Argument(help="A unit: backtest, live-trading, data-sync, …")],
    why: Annotated[str, typer.Option("--why", help="The reason; the journal shows it.")],
) -> None:
    """Keep a unit from starting, by timer or by hand, until it is released."""
    from futures_agent.program.holds import set_hold

    held = set_hold(settings_logged().paths.holds, unit, why)
    print(f"{unit} held since {held.since}: {held.why}; `agentctl release {unit}` ends it")


@app.command()
def release(unit: Annotated[str, typer.Argument(help="The held unit.")]) -> None:
    """End a hold."""
    from futures_agent.program.holds import release as end_hold

    was_held = end_hold(settings_logged().paths.holds, unit)
    print(f"{unit} released" if was_held else f"{unit} was not held")


@app.command("warm-up")
def compile_kernels() -> None:
    """Compile what the nightly backtest needs, so that the first night is not slower."""
    from futures_agent.backtest.run import warm_up as compile_all

    print(f"compiled into {compile_all(settings_logged())}")


@app.command()
def simulator(
    data: Annotated[Path | None, typer.Option(help="Folder or file of candles (Parquet, CSV).")] = None,
    symbols: SymbolsOption = None,
    start: Annotated[str | None, typer.Option(help="Where its clock starts: 2025-06-30T23:30Z.")] = None,
    scale: Annotated[float, typer.Option(help="How much faster than real time its clock runs.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the generated candles.")] = 1,
    latency_ms: Annotated[float, typer.Option(help="Added to every answer.")] = 0.0,
    accounts: Annotated[
        Path | None, typer.Option(help="JSON list of accounts; without it demo, demo-secret, 5000 USDT.")
    ] = None,
    fills: Annotated[
        str, typer.Option(help="ticks: along each candle's path; bar: by finished candles, as the backtest.")
    ] = "ticks",
    script: Annotated[
        Path | None, typer.Option(help="JSON lines of faults, with the times at which they begin.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="A new file: every order, fill and payment, as JSON lines.")
    ] = None,
    port: Annotated[int, typer.Option(help="0 chooses a free one.")] = 8099,
    url_file: Annotated[Path | None, typer.Option(help="Write the URL here once it answers.")] = None,
) -> None:
    """Run an exchange on this machine: the real protocol, generated or recorded candles, its own clock."""
    from futures_agent.simulator.command import run_simulator

    run_simulator(
        data=data,
        symbols=symbols_of(symbols),
        start=start,
        scale=scale,
        seed=seed,
        latency_ms=latency_ms,
        accounts=accounts,
        fills=fills,
        script=script,
        ledger=ledger,
        port=port,
        url_file=url_file,
    )


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="Folder of real candles instead of generated ones.")
    ] = None,
    directory: Annotated[Path, typer.Option(help="Scratch directory; emptied first.")] = Path(".demo"),
) -> None:
    """From candles to a backtest report and the status screen, against the simulator. No keys, no root."""
    from futures_agent.demo import run_demo

    run_demo(directory, data)


@app.command()
def version() -> None:
    """Print the version."""
    print(f"crypto-futures-agent {__version__}")
