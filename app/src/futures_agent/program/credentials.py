"""Secrets come as files that systemd hands to the one unit that needs them, never through the environment."""

from __future__ import annotations

import os
from pathlib import Path

from futures_agent.errors import Refuse

DIRECTORY_VARIABLE = "CREDENTIALS_DIRECTORY"
_LONGEST = 10_000


def read_credential(name: str, file: str, setting: str) -> str | None:
    """Return a secret; None where there is none.

    Parameters
    ----------
    name : str
        Its name in the unit's `LoadCredential=`.
    file : str
        Where it lies for programs that are started by hand; wins over `name` unless empty.
    setting : str
        The setting that holds `file`.

    Raises
    ------
    Refuse
        There is a file and it cannot be read.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE)
    path = Path(file) if file else Path(directory) / name if directory else None
    if path is None:
        return None
    try:
        with path.open("rb") as opened:
            secret = opened.read(_LONGEST).decode("ascii").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise Refuse(f"{path}: not the text of a secret; write it again") from None
    except OSError as error:
        raise Refuse(f"{path}: cannot read the secret: {error.strerror}; see {setting}") from None
    return secret or None
