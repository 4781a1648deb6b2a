"""Large files: made new, with the right mode from the first byte, and waited for until they are on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from futures_agent.files import sync_directory
from futures_agent.store.database import FILE_MODE


def create_file(path: Path) -> BinaryIO:
    """Open the new file `path` for writing; an OSError where there is one already."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "wb")


def sync_file(path: Path) -> None:
    """Wait until the file and its name are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)
