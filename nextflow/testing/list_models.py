"""Write assets/embedded_models.txt: the models inside the package and the checksums of their cards.

Run it when a model inside the package is added or changed: python nextflow/testing/list_models.py
"""

from __future__ import annotations

import hashlib
from pathlib import Path

PIPELINE = Path(__file__).resolve().parents[1]
MODELS = PIPELINE.parent / "segnt_tools" / "data" / "models"
LIST = PIPELINE / "assets" / "embedded_models.txt"
HEADER = """\
# Models inside the package and the SHA-256 of their cards (which hold that of the weights), as in the containers of
# this version. Written by testing/list_models.py; a test holds it against the package.
"""


def listed() -> str:
    """What the file must hold."""
    cards = sorted(MODELS.glob("*/card.json"))
    return HEADER + "".join(f"{card.parent.name} {hashlib.sha256(card.read_bytes()).hexdigest()}\n" for card in cards)


if __name__ == "__main__":
    LIST.write_text(listed(), encoding="utf-8")
