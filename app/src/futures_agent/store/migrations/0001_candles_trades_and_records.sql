-- Times are ms UTC unless the name says otherwise; `timestamp` of a candle is its open time.

-- Candles. WITHOUT ROWID keeps each series in key order in one B-tree: a range read is one scan.
CREATE TABLE ohlcv_d1 (
    symbol                 TEXT    NOT NULL,
    timestamp              INTEGER NOT NULL CHECK (timestamp % 86400000 = 0),
    open                   REAL    NOT NULL,
    high                   REAL    NOT NULL CHECK (high >= open AND high >= close),
    low                    REAL    NOT NULL CHECK (low > 0 AND low <= open AND low <= close),
    close                  REAL    NOT NULL,
    volume                 REAL    NOT NULL CHECK (volume >= 0),
    quote_volume           REAL    NOT NULL,
    trades                 INTEGER NOT NULL,
    taker_buy_volume       REAL    NOT NULL,
    taker_buy_quote_volume REAL    NOT NULL,
    PRIMARY KEY (symbol, timestamp)
) STRICT, WITHOUT ROWID;

CREATE TABLE ohlcv_h4 (
    symbol                 TEXT    NOT NULL,
    timestamp              INTEGER NOT NULL CHECK (timestamp % 14400000 = 0),
    open                   REAL    NOT NULL,
    high                   REAL    NOT NULL CHECK (high >= open AND high >= close),
    low                    REAL    NOT NULL CHECK (low > 0 AND low <= open AND low <= close),
    close                  REAL    NOT NULL,
    volume                 REAL    NOT NULL CHECK (volume >= 0),
    quote_volume           REAL    NOT NULL,
    trades                 INTEGER NOT NULL,
    taker_buy_volume       REAL    NOT NULL,
    taker_buy_quote_volume REAL    NOT NULL,
    PRIMARY KEY (symbol, timestamp)
) STRICT, WITHOUT ROWID;

CREATE TABLE ohlcv_h1 (
    symbol                 TEXT    NOT NULL,
    timestamp              INTEGER NOT NULL CHECK (timestamp % 3600000 = 0),
    open                   REAL    NOT NULL,
    high                   REAL    NOT NULL CHECK (high >= open AND high >= close),
    low                    REAL    NOT NULL CHECK (low > 0 AND low <= open AND low <= close),
    close                  REAL    NOT NULL,
    volume                 REAL    NOT NULL CHECK (volume >= 0),
    quote_volume           REAL    NOT NULL,
    trades                 INTEGER NOT NULL,
    taker_buy_volume       REAL    NOT NULL,
    taker_buy_quote_volume REAL    NOT NULL,
    PRIMARY KEY (symbol, timestamp)
) STRICT, WITHOUT ROWID;

CREATE TABLE ohlcv_m15 (
    symbol                 TEXT    NOT NULL,
    timestamp              INTEGER NOT NULL CHECK (timestamp % 900000 = 0),
    open                   REAL    NOT NULL,
    high                   REAL    NOT NULL CHECK (high >= open AND high >= close),
    low                    REAL    NOT NULL CHECK (low > 0 AND low <= open AND low <= close),
    close                  REAL    NOT NULL,
    volume                 REAL    NOT NULL CHECK (volume >= 0),
    quote_volume           REAL    NOT NULL,
    trades                 INTEGER NOT NULL,
    taker_buy_volume       REAL    NOT NULL,
    taker_buy_quote_volume REAL    NOT NULL,
    PRIMARY KEY (symbol, timestamp)
) STRICT, WITHOUT ROWID;

-- Contracts and the exchange's filters; `updated_at` is when a row last changed.
CREATE TABLE instruments (
    symbol             TEXT    NOT NULL PRIMARY KEY,
    status             TEXT    NOT NULL,
    tick_size          REAL    NOT NULL,
    step_size          REAL    NOT NULL,
    min_quantity       REAL    NOT NULL,
    max_quantity       REAL    NOT NULL,
    min_notional       REAL    NOT NULL,
    price_precision    INTEGER NOT NULL,
    quantity_precision INTEGER NOT NULL,
    liquidation_fee    REAL    NOT NULL,
    onboard_ms         INTEGER NOT NULL,
    tradable           INTEGER NOT NULL CHECK (tradable IN (0, 1)),
    updated_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Indicators of a candle, known at its close; NULL while an indicator warms up.
CREATE TABLE indicadores_tecnico (
    symbol       TEXT    NOT NULL,
    timeframe    TEXT    NOT NULL,
    timestamp    INTEGER NOT NULL,
    ema20        REAL,
    ema50        REAL,
    rsi14        REAL,
    atr14        REAL,
    macd         REAL,
    macd_signal  REAL,
    adx14        REAL,
    bb_upper     REAL,
    bb_lower     REAL,
    volume_sma20 REAL,
    PRIMARY KEY (symbol, timeframe, timestamp)
) STRICT, WITHOUT ROWID;

-- One row per symbol and moment; each source fills its own columns.
CREATE TABLE sentimento_mercado (
    symbol                        TEXT    NOT NULL,
    timestamp                     INTEGER NOT NULL,
    funding_rate                  REAL,
    mark_price                    REAL,
    open_interest                 REAL,
    open_interest_value           REAL,
    long_short_ratio              REAL,
    top_long_short_account_ratio  REAL,
    top_long_short_position_ratio REAL,
    taker_buy_sell_ratio          REAL,
    fetched_at                    INTEGER,
    PRIMARY KEY (symbol, timestamp)
) STRICT, WITHOUT ROWID;

-- `available_at` is part of the key: a revised value is a new row, and a backtest sees only what was known.
CREATE TABLE macro_data (
    series       TEXT    NOT NULL,
    date         TEXT    NOT NULL, -- YYYY-MM-DD
    value        REAL    NOT NULL,
    available_at INTEGER NOT NULL,
    fetched_at   INTEGER NOT NULL,
    PRIMARY KEY (series, date, available_at)
) STRICT, WITHOUT ROWID;

-- From here on: projections of append-only files, which are the truth and can rebuild them.

CREATE TABLE trades (
    trade_id     TEXT    NOT NULL PRIMARY KEY,
    symbol       TEXT    NOT NULL,
    timestamp    INTEGER NOT NULL, -- entry
    mode         TEXT    NOT NULL CHECK (mode IN ('paper', 'testnet', 'live')),
    strategy     TEXT    NOT NULL,
    side         TEXT    NOT NULL CHECK (side IN ('LONG', 'SHORT')),
    quantity     REAL    NOT NULL CHECK (quantity > 0),
    entry_price  REAL    NOT NULL CHECK (entry_price > 0),
    stop_price   REAL,
    target_price REAL,
    exit_time    INTEGER, -- NULL while the position is open
    exit_price   REAL,
    exit_reason  TEXT,
    gross_pnl    REAL,
    fees         REAL    NOT NULL DEFAULT 0,
    funding      REAL    NOT NULL DEFAULT 0, -- received (+) or paid (-)
    net_pnl      REAL
) STRICT;

CREATE INDEX trades_symbol_timestamp ON trades (symbol, timestamp DESC);
CREATE INDEX trades_timestamp ON trades (timestamp DESC);

CREATE TABLE orders (
    client_order_id   TEXT    NOT NULL PRIMARY KEY,
    exchange_order_id INTEGER,
    trade_id          TEXT    REFERENCES trades (trade_id),
    symbol            TEXT    NOT NULL,
    timestamp         INTEGER NOT NULL, -- sent
    side              TEXT    NOT NULL CHECK (side IN ('BUY', 'SELL')),
    type              TEXT    NOT NULL,
    status            TEXT    NOT NULL,
    reduce_only       INTEGER NOT NULL DEFAULT 0 CHECK (reduce_only IN (0, 1)),
    quantity          REAL    NOT NULL,
    price             REAL,
    stop_price        REAL,
    filled_quantity   REAL    NOT NULL DEFAULT 0,
    average_price     REAL,
    fees              REAL    NOT NULL DEFAULT 0,
    updated_at        INTEGER NOT NULL
) STRICT;

CREATE INDEX orders_symbol_timestamp ON orders (symbol, timestamp DESC);
CREATE INDEX orders_trade_id ON orders (trade_id);

CREATE TABLE incidents (
    incident_id  TEXT    NOT NULL PRIMARY KEY,
    type         TEXT    NOT NULL,
    detected_by  TEXT    NOT NULL,
    detected_at  INTEGER NOT NULL,
    action       TEXT,
    recovered_at INTEGER,
    data_lost    TEXT,
    evidence     TEXT
) STRICT;

CREATE INDEX incidents_detected_at ON incidents (detected_at DESC);

CREATE TABLE job_runs (
    run_id     TEXT    NOT NULL PRIMARY KEY,
    job        TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT,
    counts     TEXT, -- JSON object
    error      TEXT
) STRICT;

CREATE INDEX job_runs_job_started_at ON job_runs (job, started_at DESC);
