"""What goes into and out of the database by hand: candle files, backups, schema, damage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from futures_agent.cli.frame import (
    SymbolsOption,
    TimeframesOption,
    app,
    database_app,
    end,
    print_json,
    settings_logged,
    symbols_of,
    timeframes_of,
)
from futures_agent.errors import Refuse
from futures_agent.program.slices import in_own_slice


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

    in_own_slice("data-sync", same_directory=True)  # its user owns the database
    frames = timeframes_of(timeframe)
    if frames and len(frames) > 1:
        raise Refuse("--timeframe: name one; files that tell theirs need none")
    request = importing.ImportRequest(
        paths=tuple(files),
        symbol=symbol,
        timeframe=frames[0] if frames else None,
        accept_repairs=accept_repairs,
        overwrite=overwrite,
    )
    end((importing.dry_run if dry_run else importing.run)(settings_logged(), request))


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

    settings = settings_logged()
    request = ExportRequest(
        output=output,
        format=file_format,
        symbols=tuple(symbols_of(symbols) or settings.data.symbols),
        timeframes=tuple(timeframes_of(timeframes) or settings.data.frames),
        first_ms=parse_utc(since) if since else 0,
        end_ms=parse_utc(until) if until else 2**62,
    )
    for one in export_candles(settings, request):
        print(f"{one.path}: {one.candles} candles")


@app.command()
def backups(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the backups there are, and what each was last proven to restore."""
    from futures_agent.backup.listing import list_backups, print_backups

    rows = list_backups(settings_logged())
    if as_json:
        print_json(rows)
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

    if to is not None:
        unpacked = restore_to(settings_logged(), source, to)
        print(f"{source} restored into {unpacked}; the database was not touched")
        return
    in_own_slice("backup")  # its user owns the database
    done = restore_database(settings_logged(), source, progress=lambda doing: print(doing, file=sys.stderr))
    print(done.line)


@database_app.command("migrate")
def migrate_database() -> None:
    """Create the database, or bring its schema up to date."""
    from contextlib import closing

    from futures_agent.files import make_directory
    from futures_agent.store.database import database_errors, open_writer
    from futures_agent.store.migrate import schema_version

    settings = settings_logged()
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

    path = settings_logged().paths.database
    if not path.exists() or path.stat().st_size == 0:  # creating it was interrupted
        print(f"{path}: no database yet; the first data-sync creates it")
        return
    seconds = integrity_check(path) if full else quick_check(path)
    print(f"{path}: {'integrity_check' if full else 'quick_check'} ok, {seconds:.2f} s")
