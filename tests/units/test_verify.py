"""systemd understands every line, and the sandboxes stay tight."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = sorted(path.name for pattern in ("*.service", "*.timer", "*.slice") for path in SYSTEMD.glob(pattern))


def instance(name: str) -> str:
    return name.replace("@.", "@backtest.")


@pytest.mark.parametrize("name", UNITS)
def test_verify_prints_nothing(analyze, name):
    said = analyze("verify", "--man=no", instance(name))
    assert (said.stdout, said.stderr) == ("", "")


@pytest.mark.parametrize(
    "wrong", ["Restrat=on-failure", "WatchdogSec=two minutes", "SystemCallFilter=@nonsense"]
)
def test_a_typo_would_be_seen(analyze, systemd_root, tmp_path, wrong):
    shutil.copytree(systemd_root, tmp_path / "root", symlinks=True)
    service = tmp_path / "root/etc/systemd/system/backtest.service"
    service.write_text(service.read_text().replace("[Service]\n", f"[Service]\n{wrong}\n"))
    assert analyze("verify", "--man=no", "backtest.service", root=tmp_path / "root").stderr


def test_the_drop_in_for_older_systemd_is_understood(analyze, systemd_root, tmp_path):
    shutil.copytree(systemd_root, tmp_path / "root", symlinks=True)
    directory = tmp_path / "root/etc/systemd/system/backtest.service.d"
    directory.mkdir()
    shutil.copy(SYSTEMD / "backtest.service.d/20-restart-before-254.conf", directory)
    said = analyze("verify", "--man=no", "backtest.service", root=tmp_path / "root")
    assert (said.stdout, said.stderr) == ("", "")


# Score × 10; the kernels of the backtest need writable code, live trading and some jobs need the network, and
# what stops the backtest has to find systemd.
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("live-trading.service", 20),
        ("backtest.service", 10),
        ("data-sync.service", 20),
        ("data-validation.service", 20),
        ("sentiment-macro.service", 20),
        ("backup.service", 10),
        ("restore-test.service", 10),
        ("compact.service", 10),
        ("hold-notice@backtest.service", 10),
        ("live-down.service", 20),
    ],
)
def test_exposure(analyze, name, most):
    judged = analyze("security", "--offline=true", f"--threshold={most}", name)
    assert judged.returncode == 0, judged.stdout


def test_an_open_unit_would_exceed_the_threshold(analyze, systemd_root, tmp_path):
    shutil.copytree(systemd_root, tmp_path / "root", symlinks=True)
    service = tmp_path / "root/etc/systemd/system/backtest.service"
    service.write_text(
        "".join(line for line in service.open() if not line.startswith(("Protect", "Private")))
    )
    judged = analyze(
        "security", "--offline=true", "--threshold=10", "backtest.service", root=tmp_path / "root"
    )
    assert judged.returncode != 0
