"""Who typed a command, for records that a person reads."""

from __future__ import annotations

import getpass
import os


def who() -> str:
    """Return the user's name, or the number of a user that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid that no passwd entry knows
        return f"uid {os.getuid()}"
