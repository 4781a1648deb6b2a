"""The database: one SQLite file, opened and changed only through here."""
