"""Backups of the database: taken consistently, verified before they are kept, proven by restoring them."""
