-- How often stored candles of a week were changed or deleted through SQL; `week` is its first moment, ms UTC,
-- weeks beginning on Thursdays as 1970-01-01 did. Damage to the file changes candles without a trace here:
-- that is how a backup tells the two apart. New candles are not counted: they fill, they rewrite nothing.
CREATE TABLE candle_rewrites (
    candles  TEXT    NOT NULL, -- the candle table
    week     INTEGER NOT NULL,
    rewrites INTEGER NOT NULL,
    PRIMARY KEY (candles, week)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ohlcv_d1_update AFTER UPDATE ON ohlcv_d1 BEGIN
    INSERT INTO candle_rewrites VALUES ('ohlcv_d1', OLD.timestamp - OLD.timestamp % 604800000, 1)
    ON CONFLICT (candles, week) DO UPDATE SET rewrites = rewrites + 1;
END;

CREATE TRIGGER ohlcv_d1_delete AFTER DELETE ON ohlcv_d1 BEGIN
    INSERT INTO candle_rewrites VALUES ('ohlcv_d1', OLD.timestamp - OLD.timestamp % 604800000, 1)
    ON CONFLICT (candles, week) DO UPDATE SET rewrites = rewrites + 1;
END;

CREATE TRIGGER ohlcv_h4_update AFTER UPDATE ON ohlcv_h4 BEGIN
    INSERT INTO candle_rewrites VALUES ('ohlcv_h4', OLD.timestamp - OLD.timestamp % 604800000, 1)
    ON CONFLICT (candles, week) DO UPDATE SET rewrites = rewrites + 1;
END;

CREATE TRIGGER ohlcv_h4_delete AFTER DELETE ON ohlcv_h4 BEGIN
    INSERT INTO candle_rewrites VALUES ('ohlcv_h4', OLD.timestamp - OLD.timestamp % 604800000, 1)
    ON CONFLICT (candles, week) DO UPDATE SET rewrites = rewrites + 1;
END;

CREATE TRIGGER ohlcv_h1_update AFTER UPDATE ON ohlcv_h1 BEGIN
    INSERT INTO candle_rewrites VALUES ('ohlcv_h1', OLD.timestamp - OLD.timestamp % 604800000, 1)
    ON CONFLICT (candles, week) DO UPDATE SET rewrites = rewrites + 1;
END;

CREATE TRIGGER ohlcv_h1_delete AFTER DELETE ON ohlcv_h1 BEGIN
    INSERT INTO candle_rewrites VALUES ('ohlcv_h1', OLD.timestamp - OLD.timestamp % 604800000, 1)
    ON CONFLICT (candles, week) DO UPDATE SET rewrites = rewrites + 1;
END;

CREATE TRIGGER ohlcv_m15_update AFTER UPDATE ON ohlcv_m15 BEGIN
    INSERT INTO candle_rewrites VALUES ('ohlcv_m15', OLD.timestamp - OLD.timestamp % 604800000, 1)
    ON CONFLICT (candles, week) DO UPDATE SET rewrites = rewrites + 1;
END;

CREATE TRIGGER ohlcv_m15_delete AFTER DELETE ON ohlcv_m15 BEGIN
    INSERT INTO candle_rewrites VALUES ('ohlcv_m15', OLD.timestamp - OLD.timestamp % 604800000, 1)
    ON CONFLICT (candles, week) DO UPDATE SET rewrites = rewrites + 1;
END;
