-- Tells this database from every other one of this schema; a copy or a restored backup keeps the row. A backup
-- thus sees that it was made of another database than the one before, in which candles are missing by right.
CREATE TABLE database_identity (
    id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT INTO database_identity VALUES (lower(hex(randomblob(16))));
