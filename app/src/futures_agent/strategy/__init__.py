"""Deciding: what to do with a closed bar. Pure, no I/O."""
