"""What a database holds, as row counts and digests: two databases with equal ones hold the same rows.

Candles are digested week by week, so that a later backup can tell which of the settled ones changed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import apsw
import apsw.sqlite_extra
import msgspec

from futures_agent.clock import DAY_MS
from futures_agent.errors import Corrupt, Refuse
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.migrate import schema_version

WEEK_MS = 7 * DAY_MS  # weeks begin on Thursdays, as 1970-01-01 did; the table candle_rewrites agrees

_OURS = "name NOT GLOB 'sqlite_*'"  # SQLite adds tables of its own, such as statistics for the planner


class Damage(Corrupt):
    """A finding alone: whoever knows which file it is about, and what to do, says so."""


class TableDigest(msgspec.Struct, frozen=True):
    """The rows of one table."""

    rows: int
    digest: str  # hex


class WeekDigest(msgspec.Struct, frozen=True):
    """The candles of all symbols in one week."""

    rows: int
    digest: str  # hex
    rewrites: int = 0  # how often SQL changed or deleted candles of this week, ever


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a database holds at one moment."""

    schema_version: int
    schema: str  # digest of every table, index and trigger as it was created, hex
    tables: dict[str, TableDigest]
    weeks: dict[str, dict[int, WeekDigest]]  # candle table -> first ms of the week -> its candles
    identity: str = ""  # which database it is; empty where that is not known

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


def read_contents(db: apsw.Connection) -> Contents:
    """Count and digest every row of every table, within the transaction that `db` may have open.

    Raises
    ------
    Damage
        Met in reading, or rows are out of the order of their key.
    Refuse
        The SQLite extension for digests is missing.
    """
    with damage_found():
        _load_digest_function(db)
        tables: dict[str, TableDigest] = {}
        weeks: dict[str, dict[int, WeekDigest]] = {}
        candle_tables = {timeframe.table for timeframe in Timeframe}
        rewrites = _rewrites(db)
        for name in _table_names(db):
            if name in candle_tables:
                weeks[name] = _digest_weeks(db, name, rewrites.get(name, {}))
                tables[name] = _sum_of(weeks[name])
                _require_all_seen(db, name, tables[name].rows)
            else:
                tables[name] = _digest_table(db, name)
        return Contents(
            schema_version=schema_version(db),
            schema=_digest_schema(db),
            tables=tables,
            weeks=weeks,
            identity=_identity(db),
        )


@contextlib.contextmanager
def damage_found() -> Iterator[None]:
    """Turn what reading a damaged database may end in into `Damage`."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:  # SQLError: a table lost a column
        raise Damage(str(error)) from None
    except UnicodeDecodeError:
        raise Damage("text that is no text") from None


def differences(expected: Contents, found: Contents) -> str:
    """Return the names of the tables whose rows differ, or `its schema`; empty when nothing does."""
    tables = sorted(expected.tables.keys() | found.tables.keys())
    different = [name for name in tables if expected.tables.get(name) != found.tables.get(name)]
    return ", ".join(different) or ("its schema" if expected != found else "")


def _load_digest_function(db: apsw.Connection) -> None:
    # SHA-1 of a query's rows, in C: it must tell damage, not forgery, and is faster than the SHA-3 there is.
    try:
        apsw.sqlite_extra.load(db, "sha1")
    except (apsw.sqlite_extra.NotAvailable, apsw.ExtensionLoadingError) as error:
        raise Refuse(f"SQLite's extension sha1 is missing ({error}); install the apsw wheel") from None


def _table_names(db: apsw.Connection) -> list[str]:
    sql = f"SELECT name FROM sqlite_schema WHERE type = 'table' AND {_OURS} ORDER BY name"
    return [name for (name,) in db.execute(sql)]


def _digest_schema(db: apsw.Connection) -> str:
    query = f"SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE {_OURS} ORDER BY name"
    digest: str = db.execute("SELECT sha1_query(?)", (query,)).get
    return digest


def _rewrites(db: apsw.Connection) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    if db.table_exists("main", "candle_rewrites"):
        for table, week, rewrites in db.execute("SELECT candles, week, rewrites FROM candle_rewrites"):
            found.setdefault(table, {})[week] = rewrites
    return found


def _identity(db: apsw.Connection) -> str:
    if not db.table_exists("main", "database_identity"):
        return ""  # a schema from before there was one
    return str(db.execute("SELECT id FROM database_identity").get or "")


def _digest_table(db: apsw.Connection, table: str) -> TableDigest:
    key = [
        name for (name,) in db.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,))
    ]
    order = ", ".join(f'"{name}"' for name in key) or "rowid"
    query = f'SELECT * FROM "{table}" ORDER BY {order}'
    return TableDigest(*db.execute(f'SELECT count(*), sha1_query(?) FROM "{table}"', (query,)).get)


def _digest_weeks(db: apsw.Connection, table: str, rewrites: dict[int, int]) -> dict[int, WeekDigest]:
    """Digest each week: over all symbols in order, the name and the digest of its candles."""
    rows: dict[int, int] = {}
    hashes: dict[int, hashlib._Hash] = {}
    chosen = f'FROM "{table}" WHERE symbol = {{}} AND timestamp >= {{}} AND timestamp < {{}}'
    for symbol in _symbols(db, table):
        for week in _weeks_of(db, table, symbol):
            where = chosen.format(apsw.format_sql_value(symbol), week, week + WEEK_MS)
            # The symbol too: a range scan trusts the order of keys, and returns a row whose key is damaged.
            query = f"SELECT * {where} ORDER BY timestamp"
            count, digest = db.execute(f"SELECT count(*), sha1_query(?) {where}", (query,)).get
            rows[week] = rows.get(week, 0) + count
            hashes.setdefault(week, hashlib.sha256()).update(f"{symbol} {digest}\n".encode())
    emptied = {week: WeekDigest(0, "", count) for week, count in rewrites.items()}
    filled = {week: WeekDigest(rows[week], hashes[week].hexdigest(), rewrites.get(week, 0)) for week in rows}
    return dict(sorted({**emptied, **filled}.items()))


def _symbols(db: apsw.Connection, table: str) -> Iterator[str]:
    """Yield the symbols along the key, without reading their candles."""
    symbol = db.execute(f'SELECT min(symbol) FROM "{table}"').get
    while symbol is not None:
        yield symbol
        following = db.execute(f'SELECT min(symbol) FROM "{table}" WHERE symbol > ?', (symbol,)).get
        if following is not None and not (isinstance(following, str) and following > symbol):
            raise Damage(f"{table}: symbols out of order")
        symbol = following


def _weeks_of(db: apsw.Connection, table: str, symbol: str) -> Iterator[int]:
    """Yield the weeks in which `symbol` has candles, in order."""
    sql = f'SELECT min(timestamp) FROM "{table}" WHERE symbol = ? AND timestamp >= ?'
    bound = -(2**63)
    while (timestamp := db.execute(sql, (symbol, bound)).get) is not None:
        if not isinstance(timestamp, int) or timestamp < bound:
            raise Damage(f"{table}: candles of {symbol} out of order")
        week = timestamp - timestamp % WEEK_MS
        yield week
        bound = week + WEEK_MS
        if bound >= 2**63:
            raise Damage(f"{table}: impossible time of a candle of {symbol}")


def _sum_of(weeks: dict[int, WeekDigest]) -> TableDigest:
    whole = hashlib.sha256()
    for week, digest in weeks.items():
        if digest.rows:
            whole.update(f"{week} {digest.rows} {digest.digest}\n".encode())
    return TableDigest(sum(week.rows for week in weeks.values()), whole.hexdigest())


def _require_all_seen(db: apsw.Connection, table: str, seen: int) -> None:
    stored = db.execute(f'SELECT count(*) FROM "{table}"').get
    if stored != seen:
        raise Damage(f"{table}: {stored} rows, {seen} of them reachable by their key")
