"""The engine, its results and its report."""
