-- What each followed symbol is to the agent (market/universe.py), and since when it was seen to be so.
CREATE TABLE universe (
    symbol   TEXT    NOT NULL PRIMARY KEY,
    standing TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    since    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
