"""What every program of the agent shares: run records, locks, holds, progress, the log."""
