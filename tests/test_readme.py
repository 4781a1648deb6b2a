"""README and docs say the truth about what lies where."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = page.read_text()
    assert "@@" not in text
    broken = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert broken == []


def test_every_job_has_its_one_name_everywhere():
    jobs = {path.stem.replace("-", "_") for path in (ROOT / "systemd").glob("*.timer")}
    assert jobs
    for job in jobs:
        name = job.replace("_", "-")
        assert (ROOT / "app/src/futures_agent/jobs" / f"{job}.py").exists()
        assert (ROOT / "systemd" / f"{name}.service").exists()
        assert (ROOT / "docs/jobs" / f"{name}.md").exists()
