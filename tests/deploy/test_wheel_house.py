"""The wheel house: named by its content, cached, and never half there."""

from __future__ import annotations

import importlib.util
import json
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "ansible/wheel_house.py"


@pytest.fixture
def wheel_house():
    spec = importlib.util.spec_from_file_location("wheel_house", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    (folder / "src/agent").mkdir(parents=True)
    (folder / "src/agent/__init__.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "agent"\nversion = "1.2.3"\ndependencies = ["numpy>=2"]\n'
        '[project.optional-dependencies]\nbacktest = ["numba"]\n'
    )
    (folder / "README.md").write_text("an agent")
    (folder / "constraints.txt").write_text("numpy==2.4.6\n")
    return folder


@pytest.fixture
def gather(wheel_house, app, tmp_path, monkeypatch, capsys):
    """Return `gather(*options) -> (what it printed, pip's commands)`, with a pip that writes empty wheels."""

    def run(*options, fails=False):
        commands = []

        def pip(*arguments):
            commands.append(arguments)
            folder = next(
                Path(arguments[i + 1]) for i, one in enumerate(arguments) if one in ("--dest", "--wheel-dir")
            )
            (folder / f"{arguments[0]}.whl").write_bytes(b"wheel")
            if fails:
                sys.exit("pip failed")

        monkeypatch.setattr(wheel_house, "pip", pip)
        arguments = [
            f"--app={app}",
            "--python=3.13",
            "--machine=x86_64",
            f"--cache={tmp_path / 'cache'}",
            *options,
        ]
        monkeypatch.setattr(sys, "argv", ["wheel_house.py", *arguments])
        wheel_house.main()
        return json.loads(capsys.readouterr().out), commands

    return run


def test_packs_libraries_and_package_for_the_hosts_python(gather, app):
    house, commands = gather("--extras=backtest")
    assert house["release"].startswith("1.2.3-")
    with tarfile.open(house["archive"]) as archive:
        assert archive.getnames() == ["download.whl", "wheel.whl"]
    download, build = commands
    assert {"numpy>=2", "numba", "--python-version=3.13", "--platform=manylinux_2_28_x86_64"} <= set(download)
    assert "--only-binary=:all:" in download
    assert build[-1] == str(app)


def test_builds_a_wheel_of_what_is_published_without_one(gather, app):
    metadata = app / "pyproject.toml"
    metadata.write_text(metadata.read_text().replace('"numpy>=2"', '"numpy>=2", "sdnotify>=0.3"'))
    _, commands = gather()
    assert commands[0][0] == "wheel"
    assert commands[0][-1] == "sdnotify>=0.3"
    assert "download" in commands[1]


def test_the_same_content_is_not_gathered_twice(gather):
    first, _ = gather()
    second, commands = gather()
    assert (first["built"], second["built"], commands) == (True, False, [])
    assert first["release"] == second["release"]


@pytest.mark.parametrize("change", ["src/agent/__init__.py", "README.md", "constraints.txt"])
def test_other_content_is_another_release(gather, app, change):
    before, _ = gather()
    (app / change).write_text("numpy==2.4.7\n")
    after, commands = gather()
    assert before["release"] != after["release"]
    # Only new pins need new libraries.
    assert ("download" in {command[0] for command in commands}) == (change == "constraints.txt")


def test_bytecode_does_not_make_a_release(gather, app):
    before, _ = gather()
    (app / "src/agent/__pycache__").mkdir()
    (app / "src/agent/__pycache__/agent.pyc").write_bytes(b"\0")
    assert gather()[0]["release"] == before["release"]


@pytest.mark.parametrize("options", [["--python=3.11"], ["--machine=aarch64"], ["--extras=backtest"]])
def test_another_host_gets_another_release(gather, options):
    assert gather()[0]["release"] != gather(*options)[0]["release"]


def test_a_failed_download_leaves_nothing(gather, tmp_path):
    with pytest.raises(SystemExit, match="pip failed"):
        gather(fails=True)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    assert gather()[0]["built"]


def test_pips_own_words_reach_the_person(wheel_house, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SystemExit, match=r"pip download failed(.|\n)*no-such-package"):
        wheel_house.pip("download", "--dest", str(tmp_path), "no-such-package==1.0")
