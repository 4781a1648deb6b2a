#!/usr/bin/env python3
"""Gather, on the controller, every wheel that a host needs to install one release without a network.

The libraries are downloaded for the host's Python and processor at the pinned versions, the package itself is
built from its source, and all go into one archive named after the release: its version and the hash of what
went in. What is cached is used again; the cache may be deleted at any time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

# Published without a wheel; pure Python, so one that is built here serves every host.
SOURCE_ONLY = ("sdnotify",)
# glibc 2.36 is Debian 12's: what was built for it or an older one runs on both releases.
GLIBC_MINORS = range(36, 16, -1)


def content_hash(parts: Iterable[str], files: Iterable[Path], root: Path) -> str:
    """Return 12 hexadecimal digits that change with any part, file name or file content."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    for path in sorted(files):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def sources(app: Path) -> list[Path]:
    """Return the files that make a release: the package, its metadata and the pinned versions."""
    package = [
        path for path in (app / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    return [*package, app / "pyproject.toml", app / "README.md", app / "constraints.txt"]


def requirements(app: Path, extras: Iterable[str]) -> list[str]:
    """Return what the package asks for, with these extras."""
    project = tomllib.loads((app / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in extras for line in optional[extra])]


def pip(*arguments: str) -> None:
    """Run pip, which takes its index from `PIP_INDEX_URL` or its own settings.

    Raises
    ------
    SystemExit
        pip failed; the message carries its own last words.
    """
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        last_words = "\n".join(ended.stderr.splitlines()[-5:])
        sys.exit(f"wheel house: pip {arguments[0]} failed; is the package index reachable?\n{last_words}")


def fill_libraries(folder: Path, app: Path, extras: list[str], python: str, machine: str) -> None:
    """Download into `folder` every library at its pinned version, for the host's Python and processor."""
    constraints = ["--constraint", str(app / "constraints.txt")]
    wanted = requirements(app, extras)
    if built_here := [line for line in wanted if line.startswith(SOURCE_ONLY)]:
        pip("wheel", *constraints, "--no-deps", "--wheel-dir", str(folder), *built_here)
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS]
    pip(
        "download",
        *constraints,
        "--dest",
        str(folder),
        "--find-links",
        str(folder),
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={python}",
        *platforms,
        f"--platform=manylinux2014_{machine}",
        *wanted,
    )


def cached_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `fill(path)` unless it exists; a fill that fails leaves nothing."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
        try:
            fill(scratch)
            os.replace(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def pack(archive: Path, wheels: Iterable[Path]) -> None:
    """Write the wheels as one archive; it appears under its name when it is complete."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    scratch = archive.with_suffix(f".{os.getpid()}.new")
    with tarfile.open(scratch, "w") as packed:  # wheels are compressed already
        for wheel in sorted(wheels):
            packed.add(wheel, arcname=wheel.name)
    os.replace(scratch, archive)


def main() -> None:
    """Print the release's name and its archive as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--app", type=Path, required=True, help="folder of the package's pyproject.toml")
    parser.add_argument("--python", required=True, help="the host's Python, such as 3.13")
    parser.add_argument("--machine", required=True, help="the host's processor, such as x86_64")
    parser.add_argument("--extras", default="", help="comma-separated extras of the package")
    parser.add_argument("--cache", type=Path, required=True, help="folder for what was gathered")
    chosen = parser.parse_args()

    app, cache = chosen.app.resolve(), chosen.cache.expanduser()
    extras = [extra for extra in chosen.extras.split(",") if extra]
    target = [chosen.python, chosen.machine, *extras]
    version = tomllib.loads((app / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    release = f"{version}-{content_hash(target, sources(app), app)}"
    archive = cache / "releases" / f"{release}.tar"
    built = not archive.exists()
    if built:
        pins = content_hash(target, [app / "pyproject.toml", app / "constraints.txt"], app)
        libraries = cached_folder(
            cache / "libraries" / f"{chosen.python}-{chosen.machine}-{pins}",
            lambda folder: fill_libraries(folder, app, extras, chosen.python, chosen.machine),
        )
        package = cached_folder(
            cache / "package" / release,
            lambda folder: pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(app)),
        )
        pack(archive, [*libraries.glob("*.whl"), *package.glob("*.whl")])
    print(json.dumps({"release": release, "version": version, "archive": str(archive), "built": built}))


if __name__ == "__main__":
    main()
