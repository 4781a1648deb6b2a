-- What the indicators of a series remember after its newest bar, so that the next bar is one step and not
-- a year of them. The seal proves that the code, the candles and these bytes are still the same.
CREATE TABLE indicator_states (
    symbol    TEXT    NOT NULL,
    timeframe TEXT    NOT NULL,
    anchor    INTEGER NOT NULL, -- open time of the first candle stepped over
    through   INTEGER NOT NULL CHECK (through >= anchor), -- and of the last
    state     BLOB    NOT NULL,
    seal      BLOB    NOT NULL,
    PRIMARY KEY (symbol, timeframe)
) STRICT, WITHOUT ROWID;
