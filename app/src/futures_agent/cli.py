"""agentctl: one subcommand per job and per runbook action.

Every command ends with a documented exit code (`futures_agent.errors.ExitCode`), and an expected fault is
one line on stderr. Imports happen inside the commands: none pays for what another needs.
"""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from futures_agent import __version__
from futures_agent.errors import AgentError, ExitCode, Refuse, exit_code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    _choice.overrides = dict(_split_setting(text) for text in setting or [])


def _split_setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise Refuse(f"--set {text!r}: write section.key=value, such as backtest.days=90")
    return key, value


def _effective() -> Effective:
    from futures_agent.settings import load

    return load(_choice.config, overrides=_choice.overrides)


def _logged() -> Effective:
    from futures_agent.program.log import start_logging

    effective = _effective()
    start_logging(effective.settings.log.level)
    return effective


def _settings() -> Settings:
    return _logged().settings


def _symbols(text: str | None) -> Sequence[str] | None:
    if text is None:
        return None
    symbols = [part.strip().upper() for part in text.split(",") if part.strip()]
    if not symbols:
        raise Refuse("--symbols: no symbol given; write BTCUSDT,ETHUSDT")
    return symbols


def _timeframes(text: str | None) -> Sequence[Timeframe] | None:
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


def _end(code: ExitCode) -> None:
    raise typer.Exit(int(code))


@app.command("data-sync")
def data_sync(
    symbols: SymbolsOption = None,
    timeframes: TimeframesOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare the newest stored candles of every series as well.")
    ] = False,
    repair_days: Annotated[
        float, typer.Option("--repair-days", min=0, max=3650, help="Fetch the last days again.")
    ] = 0.0,
) -> None:
    """Fetch what candles have newly closed, back-fill what is missing."""
    from futures_agent.jobs import data_sync as job
    from futures_agent.jobs.candle_plan import SyncScope
    from futures_agent.program.slices import in_own_slice

    in_own_slice(job.NAME)
    scope = SyncScope(
        symbols=_symbols(symbols), timeframes=_timeframes(timeframes), full=full, repair_days=repair_days
    )
    _end(job.run(_settings(), scope))


@app.command("data-validation")
def data_validation(
    symbols: SymbolsOption = None,
    timeframes: TimeframesOption = None,
    repair: Annotated[
        bool, typer.Option("--repair/--no-repair", help="Fetch again what is bad, before the verdict.")
    ] = True,
) -> None:
    """Judge the stored candles; while they are bad, the backtest is blocked."""
    from futures_agent.jobs import data_validation as job
    from futures_agent.program.slices import in_own_slice

    in_own_slice(job.NAME)
    _end(job.run(_settings(), _symbols(symbols), _timeframes(timeframes), repair=repair))


@app.command("sentiment-macro")
def sentiment_macro(symbols: SymbolsOption = None) -> None:
    """Collect funding, the exchange's statistics and macro series."""
    from futures_agent.jobs import sentiment_macro as job
    from futures_agent.program.slices import in_own_slice

    in_own_slice(job.NAME)
    _end(job.run(_settings(), _symbols(symbols)))


@app.command()
def backtest(symbols: SymbolsOption = None) -> None:
    """Backtest the strategy on the stored candles; leaves a JSON result and an HTML report."""
    from futures_agent.jobs import backtest as job
    from futures_agent.program.slices import in_own_slice

    in_own_slice(job.NAME)
    _end(job.run(_logged(), _symbols(symbols)))


@app.command("import")
def import_candles(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Files of candles (Parquet, CSV, CSV.GZ, the exchange's ZIP) or folders of them."
        ),
    ],
    symbol: Annotated[
        str | None, typer.Option(help="Of files that do not tell; of others only this one.")
    ] = None,
    timeframe: Annotated[str | None, typer.Option(help="Likewise: D1, H4, H1 or M15.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the verdict and touch nothing.")] = False,
    accept_repairs: Annotated[
        bool, typer.Option("--accept-repairs", help="Leave bad rows out instead of refusing their series.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Where a stored candle differs, take the file's.")
    ] = False,
) -> None:
    """Store candles from files, after judging every row."""
    from futures_agent.interchange import importing
    from futures_agent.program.slices import in_own_slice

    in_own_slice("data-sync", same_directory=True)  # its user owns the database
    frames = _timeframes(timeframe)
    if frames and len(frames) > 1:
        raise Refuse("--timeframe: name one; files that tell theirs need none")
    request = importing.ImportRequest(
        paths=tuple(files),
        symbol=symbol,
        timeframe=frames[0] if frames else None,
        accept_repairs=accept_repairs,
        overwrite=overwrite,
    )
    _end((importing.dry_run if dry_run else importing.run)(_settings(), request))


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="Folder for one file per timeframe, or one file.")],
    file_format: Annotated[
        Literal["csv", "parquet"], typer.Option("--format", help="Of the files.")
    ] = "parquet",
    symbols: SymbolsOption = None,
    timeframes: TimeframesOption = None,
    since: Annotated[str | None, typer.Option("--from", help="First open time: 2025-01-01.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Open times before this: 2026-01-01.")] = None,
) -> None:
    """Write stored candles into files that import and the simulator read."""
    from futures_agent.clock import parse_utc
    from futures_agent.interchange.exporting import ExportRequest, export_candles

    settings = _settings()
    request = ExportRequest(
        output=output,
        format=file_format,
        symbols=tuple(_symbols(symbols) or settings.data.symbols),
        timeframes=tuple(_timeframes(timeframes) or settings.data.frames),
        first_ms=parse_utc(since) if since else 0,
        end_ms=parse_utc(until) if until else 2**62,
    )
    for one in export_candles(settings, request):
        print(f"{one.path}: {one.candles} candles")


@app.command()
def backup(
    accept_history: Annotated[
        bool, typer.Option("--accept-history", help="Keep old candles that changed without a record.")
    ] = False,
) -> None:
    """Take a verified copy of the database and of the files beside it."""
    from futures_agent.jobs import backup as job
    from futures_agent.program.slices import in_own_slice

    in_own_slice(job.NAME)
    _end(job.run(_settings(), accept_history=accept_history))


@app.command("restore-test")
def restore_test() -> None:
    """Prove that the newest backup restores."""
    from futures_agent.jobs import restore_test as job
    from futures_agent.program.slices import in_own_slice

    in_own_slice(job.NAME)
    _end(job.run(_settings()))


@app.command()
def compact() -> None:
    """Give unused space of the database back; refuses without a fresh backup."""
    from futures_agent.jobs import compact as job
    from futures_agent.program.slices import in_own_slice

    in_own_slice(job.NAME)
    _end(job.run(_settings()))


@app.command()
def backups(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the backups there are, and what each was last proven to restore."""
    from futures_agent.backup.listing import list_backups, print_backups

    rows = list_backups(_settings())
    if as_json:
        _print_json(rows)
    else:
        print_backups(rows)


@app.command()
def restore(
    source: Annotated[str, typer.Option("--from", help="A name of `agentctl backups`, or a path.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="Only unpack it, verified, into this directory.")
    ] = None,
) -> None:
    """Verify a backup and put it in the database's place; what was there is kept as evidence."""
    from futures_agent.backup.restore import restore_database, restore_to
    from futures_agent.program.slices import in_own_slice

    if to is not None:
        print(f"{source} restored into {restore_to(_settings(), source, to)}; the database was not touched")
        return
    in_own_slice("backup")  # its user owns the database
    done = restore_database(_settings(), source, progress=lambda doing: print(doing, file=sys.stderr))
    print(done.line)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show freshness, coverage, last runs and the last backtest on one screen."""
    from futures_agent.health.screen import print_status
    from futures_agent.health.status import gather

    gathered = gather(_settings())
    if as_json:
        _print_json(gathered)
    else:
        print_status(gathered)


@app.command()
def settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the effective settings and where each came from; secrets are masked."""
    rows = _effective().rows()
    if as_json:
        _print_json({key: {"value": value, "origin": origin} for key, value, origin in rows})
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
    unit: Annotated[str, typer.Argument(help="A job: backtest, data-sync, backup, …")],
    why: Annotated[str, typer.Option("--why", help="The reason; the journal shows it.")],
) -> None:
    """Keep a unit from starting, by timer or by hand, until it is released."""
    from futures_agent.program.holds import set_hold

    held = set_hold(_settings().paths.holds, unit, why)
    print(f"{unit} held since {held.since}: {held.why}; `agentctl release {unit}` ends it")


@app.command()
def release(unit: Annotated[str, typer.Argument(help="The held unit.")]) -> None:
    """End a hold."""
    from futures_agent.program.holds import release as end_hold

    was_held = end_hold(_settings().paths.holds, unit)
    print(f"{unit} released" if was_held else f"{unit} was not held")


@database_app.command("migrate")
def migrate_database() -> None:
    """Create the database, or bring its schema up to date."""
    from contextlib import closing

    from futures_agent.files import make_directory
    from futures_agent.store.database import database_errors, open_writer
    from futures_agent.store.migrate import schema_version

    settings = _settings()
    path = settings.paths.database
    make_directory(path.parent)
    with database_errors(path), closing(open_writer(path, settings.database)) as db:
        print(f"{path}: schema {schema_version(db)}")


@database_app.command("check")
def check_database(
    full: Annotated[bool, typer.Option("--full", help="integrity_check instead of quick_check.")] = False,
) -> None:
    """Look for damage in the database; exit 14 when there is any."""
    from futures_agent.store.integrity import integrity_check, quick_check

    path = _settings().paths.database
    if not path.exists():
        print(f"{path}: no database yet; the first data-sync creates it")
        return
    seconds = integrity_check(path) if full else quick_check(path)
    print(f"{path}: {'integrity_check' if full else 'quick_check'} ok, {seconds:.2f} s")


@app.command("warm-up")
def compile_kernels() -> None:
    """Compile what the nightly backtest needs, so that the first night is not slower."""
    from futures_agent.backtest.run import warm_up as compile_all

    print(f"compiled into {compile_all(_settings())}")


@app.command()
def simulator(
    data: Annotated[Path | None, typer.Option(help="Folder or file of candles (Parquet, CSV).")] = None,
    symbols: SymbolsOption = None,
    start: Annotated[str | None, typer.Option(help="Where its clock starts: 2025-06-30T23:30Z.")] = None,
    scale: Annotated[float, typer.Option(help="How much faster than real time its clock runs.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the generated candles.")] = 1,
    latency_ms: Annotated[float, typer.Option(help="Added to every answer.")] = 0.0,
    port: Annotated[int, typer.Option(help="0 chooses a free one.")] = 8099,
    url_file: Annotated[Path | None, typer.Option(help="Write the URL here once it answers.")] = None,
) -> None:
    """Run an exchange on this machine: the real protocol, generated or recorded candles, its own clock."""
    from futures_agent.simulator.command import run_simulator

    run_simulator(
        data=data,
        symbols=_symbols(symbols),
        start=start,
        scale=scale,
        seed=seed,
        latency_ms=latency_ms,
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


def _print_json(value: Any) -> None:
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


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


if __name__ == "__main__":
    main()
