"""A crypto futures agent that runs unattended on one small host."""

__version__ = "0.1.0"
