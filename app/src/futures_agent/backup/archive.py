"""The file of a backup: a compressed database that carries its own manifest.

A zstd stream whose first frame is one that decompressors skip and that holds the manifest: one file, so one
rename keeps both or neither, and `zstd -d db_backup_20261120.db.zst` gives the database without this program.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from futures_agent import __version__
from futures_agent.backup.contents import Contents
from futures_agent.backup.durable import create_file, sync_file
from futures_agent.errors import Corrupt, Refuse
from futures_agent.files import explain_os_error

_MAGIC = 0x184D2A5B  # one of the sixteen magic numbers of skippable frames (RFC 8878 §3.1.2)
_HEAD = struct.Struct("<II")  # magic, length of what follows
_CHECKSUM_BYTES = 32
_LONGEST_MANIFEST = 16 * 1024 * 1024
_CHUNK = 1024 * 1024


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is and holds."""

    format: int = 1
    taken_ms: int  # when its read transaction began, ms UTC
    app_version: str = __version__
    database_bytes: int
    sha256: str  # of the uncompressed database
    contents: Contents


def write_archive(copy: Path, manifest: Manifest, archive: Path, *, level: int) -> None:
    """Compress `copy` into the new file `archive` and wait until it is on the disk.

    Raises
    ------
    Retry
        The disk is full or failing.
    """
    text = msgspec.json.encode(manifest)
    compressor = zstandard.ZstdCompressor(
        level=level, write_checksum=True, threads=min(2, os.cpu_count() or 1)
    )
    try:
        with copy.open("rb") as source, create_file(archive) as target:
            target.write(_HEAD.pack(_MAGIC, _CHECKSUM_BYTES + len(text)))
            target.write(hashlib.sha256(text).digest() + text)
            compressor.copy_stream(source, target, size=manifest.database_bytes)
        sync_file(archive)
    except OSError as error:
        raise explain_os_error(error, archive) from None


def read_manifest(archive: Path) -> Manifest:
    """Return the manifest of a backup; says nothing yet about the database behind it.

    Raises
    ------
    Corrupt
        It is damaged.
    Refuse
        It is no backup of this product, or may not be read.
    """
    with _open(archive) as file:
        return _manifest(file, archive)


def unpack(archive: Path, target: Path | None) -> Manifest:
    """Decompress a backup into the new file `target`, or nowhere, and verify every byte.

    Raises
    ------
    Corrupt
        It is damaged: what was written so far is removed.
    Retry
        The disk is full or failing: likewise.
    Refuse
        It is no backup of this product, or may not be read.
    """
    with _open(archive) as file:
        manifest = _manifest(file, archive)
        if target is None:
            _decompress(file, None, manifest, archive)
            return manifest
        try:
            with create_file(target) as output:
                _decompress(file, output, manifest, archive)
            sync_file(target)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise explain_os_error(error, target) from None
        except Corrupt:
            target.unlink()
            raise
    return manifest


def _decompress(file: BinaryIO, output: BinaryIO | None, manifest: Manifest, archive: Path) -> None:
    found, size = hashlib.sha256(), 0
    try:
        with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as stream:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
                size += len(chunk)
                if output is not None:
                    output.write(chunk)
    except zstandard.ZstdError as error:
        raise damaged(archive, str(error)) from None
    if size != manifest.database_bytes or found.hexdigest() != manifest.sha256:
        raise damaged(archive, "it does not decompress to what was put in")


def _manifest(file: BinaryIO, archive: Path) -> Manifest:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or _HEAD.unpack(head)[0] != _MAGIC:
        raise Refuse(f"{archive}: not a backup of this agent; `agentctl backups` lists those there are")
    length = _HEAD.unpack(head)[1]
    body = file.read(length) if length <= _LONGEST_MANIFEST else b""
    checksum, text = body[:_CHECKSUM_BYTES], body[_CHECKSUM_BYTES:]
    if len(body) != length or hashlib.sha256(text).digest() != checksum:
        raise damaged(archive, "its manifest is torn")
    try:
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.ValidationError as error:
        raise Refuse(f"{archive}: written by another version of this agent: {error}") from None


def damaged(archive: Path, finding: str) -> Corrupt:
    """Return the fault for a backup that is damaged."""
    return Corrupt(f"{archive}: damaged ({finding}); use another backup, `agentctl backups` lists them")


def _open(archive: Path) -> BinaryIO:
    try:
        return archive.open("rb")
    except FileNotFoundError:
        raise Refuse(f"{archive}: no such backup; `agentctl backups` lists those there are") from None
    except OSError as error:
        raise Refuse(f"{archive}: cannot be read: {error.strerror}") from None
