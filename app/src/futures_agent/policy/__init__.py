"""Accepting or declining the entries that a strategy proposes. Pure, no I/O."""
