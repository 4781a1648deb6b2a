"""Sizing and limits. Pure, no I/O."""
