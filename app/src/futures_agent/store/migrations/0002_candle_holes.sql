-- Ranges of open times for which the exchange was asked and had no candles (an outage, a halt):
-- the sync does not ask again, and validation does not count them as gaps.
CREATE TABLE candle_holes (
    symbol       TEXT    NOT NULL,
    timeframe    TEXT    NOT NULL,
    first        INTEGER NOT NULL,
    last         INTEGER NOT NULL CHECK (last >= first),
    confirmed_at INTEGER NOT NULL,
    PRIMARY KEY (symbol, timeframe, first)
) STRICT, WITHOUT ROWID;
