"""Looking into what backtests left."""

from __future__ import annotations

from typing import Annotated

import typer

from futures_agent.cli.frame import app, end, print_json, settings_logged
from futures_agent.errors import ExitCode


@app.command()
def compare(
    a: Annotated[
        str, typer.Argument(metavar="[A]", help="A result: its path, its run id, latest, previous.")
    ] = "previous",
    b: Annotated[str, typer.Argument(metavar="[B]", help="Likewise.")] = "latest",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, every differing trade in it.")] = False,
) -> None:
    """Show how backtest B differs from A; exit 0 when both traded alike, 15 when not."""
    from futures_agent.backtest.compare import compare as compare_runs
    from futures_agent.backtest.compare_screen import print_comparison
    from futures_agent.backtest.result_files import find_result, read_run

    results = settings_logged().paths.results
    first, second = (read_run(find_result(results, name)) for name in (a, b))
    found = compare_runs(first, second)
    if as_json:
        print_json(found)
    else:
        print_comparison(found)
    end(ExitCode.OK if found.traded_alike else ExitCode.DIFFERENT)
