"""Write the pictures of the docs, from `app/`: `python -m pictures [FOLDER]`, by default `docs/images`."""

from __future__ import annotations

import sys
from pathlib import Path

from pictures import fills, smc, zones

PICTURES = {**smc.PICTURES, **zones.PICTURES, **fills.PICTURES}
IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main(folder: Path) -> None:
    """Write every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
