"""The journal's files, read: numbered segments of numbered, checksummed lines.

    journal/MODE/00000001.journal     the oldest segment
    journal/MODE/00000002.journal     …
    journal/MODE/writer               locked by the one that appends

A line is `CHECKSUM NUMBER JSON`; numbers go on across segments, so a line that is lost is missed. The
first line of a segment says which number the segment has and the checksum of the line before it, in the
segment before. What a later segment begins anew was never acknowledged in the earlier one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from futures_agent.errors import Retry
from futures_agent.live.records import Checkpoint, Record

_SUFFIX = ".journal"
_DIGEST_CHARS = 16
BEGINNING = "0" * _DIGEST_CHARS  # the checksum before the first line of all


class Segment(Struct, frozen=True, kw_only=True, tag=True):
    """The first line of a segment."""

    segment: int
    previous: str  # checksum of the line before
    checkpoint: bool  # begins with a checkpoint: reading may begin here
    version: int = 1


class Line(Struct, frozen=True):
    """One line that reads well."""

    checksum: str
    number: int
    content: Segment | Record


class Replay(Struct, frozen=True, kw_only=True):
    """What a journal holds, from its newest checkpoint on.

    Attributes
    ----------
    records : tuple of Record
        In order; those that could not be read are missing.
    faults : tuple of str
        One line each on what is damaged or missing. With any, the records are no proof of anything.
    torn : int
        Bytes at the end of the newest segment that belong to no whole line: an append that was cut off,
        and was never acknowledged.
    """

    records: tuple[Record, ...]
    faults: tuple[str, ...]
    torn: int


class End(Struct, frozen=True, kw_only=True):
    """Where a journal goes on."""

    segment: int  # the newest; 0: there is none
    size: int  # of its whole lines, bytes
    number: int  # of the last line
    checksum: str  # of the last line
    clean: bool  # the newest segment may be appended to


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Segment | Record] = msgspec.json.Decoder(Segment | Record)


def encode_line(number: int, content: Segment | Record) -> bytes:
    """Return a line with its end."""
    text = b"%d %b" % (number, _encoder.encode(content))
    return b"%b %b\n" % (checksum_of(text).encode(), text)


def checksum_of(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=_DIGEST_CHARS // 2).hexdigest()


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:08d}{_SUFFIX}"


def segment_numbers(directory: Path) -> list[int]:
    """Return the numbers of the segments that are there, ascending."""
    return sorted(int(path.stem) for path in directory.glob(f"*{_SUFFIX}") if path.stem.isdecimal())


def read_journal(directory: Path, *, whole: bool = False) -> Replay:
    """Return what the journal in `directory` holds; safe while another process appends.

    With `whole` from its first segment on rather than from the newest checkpoint.

    Raises
    ------
    Retry
        A file cannot be read.
    """
    return scan_journal(directory, whole=whole)[0]


def scan_journal(directory: Path, *, whole: bool = False) -> tuple[Replay, End]:
    """Return what a journal holds, and where it goes on (Retry: a file cannot be read)."""
    every = segment_numbers(directory)
    numbers = every if whole else _from_checkpoint(directory, every)
    scan = _Scan()
    for position, number in enumerate(numbers):
        scan.read_segment(segment_path(directory, number), number, newest=position == len(numbers) - 1)
    return scan.replay(), scan.end()


class _Scan:
    """Reads segments one after another, and keeps what it finds wrong."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._faults: list[str] = []
        self._segment = 0
        self._size = 0
        self._torn = 0
        self._clean = True

    def read_segment(self, path: Path, number: int, *, newest: bool) -> None:
        content = _read(path)
        whole = content.rfind(b"\n") + 1
        lines = []
        faults = [] if whole or newest else [f"{path.name}: holds no line"]
        if whole < len(content):
            if newest:
                self._torn = len(content) - whole
            else:
                faults.append(f"{path.name}: {len(content) - whole} bytes at its end are no line")
        for row, text in enumerate(content[:whole].split(b"\n")[:-1], start=1):
            line = _decode_line(text)
            if isinstance(line, str):
                faults.append(f"{path.name}: line {row} {line}")
            else:
                lines.append(line)
        if whole:
            self._chain(path, number, lines, faults)
        self._faults += faults
        self._segment, self._size = number, whole
        self._clean = not faults

    def _chain(self, path: Path, number: int, lines: list[Line], faults: list[str]) -> None:
        """Join the lines of one segment to those before; whatever is missing between them is a fault."""
        if self._segment and number != self._segment + 1:
            faults.append(f"{path.name}: segment {self._segment + 1} before it is missing")
        for line in lines:
            if isinstance(line.content, Segment):
                self._join(path, number, line, line.content, faults)
            elif self._lines and line.number <= self._lines[-1].number:
                faults.append(f"{path.name}: line number {line.number} is there twice")
            else:
                self._miss(path, line.number, faults)
                self._lines.append(line)

    def _join(self, path: Path, number: int, line: Line, header: Segment, faults: list[str]) -> None:
        if header.segment != number:
            faults.append(f"{path.name}: says that it is segment {header.segment}")
        if not self._lines and header.previous != BEGINNING and not header.checkpoint:
            faults.append(f"{path.name}: the segments before it are missing")
        while self._lines and self._lines[-1].number >= line.number:
            self._lines.pop()  # never acknowledged: its writer went on here instead
        self._miss(path, line.number, faults)
        if self._lines and self._lines[-1].checksum != header.previous:
            faults.append(f"{path.name}: does not follow the segment before it")
        self._lines.append(line)

    def _miss(self, path: Path, number: int, faults: list[str]) -> None:
        if not self._lines:
            return
        missing = number - self._lines[-1].number - 1
        if missing > 0:
            faults.append(f"{path.name}: {missing} lines before line number {number} are missing")

    def replay(self) -> Replay:
        records = tuple(line.content for line in self._lines if not isinstance(line.content, Segment))
        return Replay(records=records, faults=tuple(self._faults), torn=self._torn)

    def end(self) -> End:
        last = self._lines[-1] if self._lines else Line(BEGINNING, 0, _NONE)
        return End(
            segment=self._segment,
            size=self._size,
            number=last.number,
            checksum=last.checksum,
            clean=self._clean and self._size > 0,
        )


_NONE = Segment(segment=0, previous=BEGINNING, checkpoint=False)


def _from_checkpoint(directory: Path, numbers: list[int]) -> list[int]:
    """Return those of `numbers` from the newest segment on that begins with a checkpoint."""
    for position in range(len(numbers) - 1, -1, -1):
        first, second = _first_lines(segment_path(directory, numbers[position]))
        header = first.content if isinstance(first, Line) else None
        if not isinstance(header, Segment) or not header.checkpoint or not isinstance(second, Line):
            continue
        if isinstance(second.content, Checkpoint):
            return numbers[position:]
    return numbers


def _decode_line(text: bytes) -> Line | str:
    """Return the line, or what is wrong with it."""
    checksum, space, content = text.partition(b" ")
    if not space or checksum.decode("ascii", "replace") != checksum_of(content):
        return "is damaged"
    number, _, document = content.partition(b" ")
    try:
        return Line(checksum.decode(), int(number), _decoder.decode(document))
    except (msgspec.DecodeError, ValueError) as error:
        return f"is whole, but of another version: {error}"


def _decode_whole(text: bytes) -> Line | str:
    return _decode_line(text[:-1]) if text.endswith(b"\n") else "is torn"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Retry(f"{path}: cannot read: {error.strerror}; mend the disk, then start again") from None


def _first_lines(path: Path) -> tuple[Line | str, Line | str]:
    try:
        with path.open("rb") as file:
            lines = file.readline(), file.readline()
            return _decode_whole(lines[0]), _decode_whole(lines[1])
    except OSError as error:
        raise Retry(f"{path}: cannot read: {error.strerror}; mend the disk, then start again") from None
