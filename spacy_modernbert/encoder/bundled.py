"""The model that is part of the package: ``name = "bundled"`` in a config."""

from __future__ import annotations

from pathlib import Path

from ..errors import Errors

# The name in a config. It means the same on every machine, unlike a folder.
BUNDLED = "bundled"
FOLDER = Path(__file__).parent.parent / "models" / "gliner-minilm"
LICENSE = "MIT; encoders from all-MiniLM-L6-v2, Apache-2.0"


def bundled_folder() -> Path:
    """Return the folder of the bundled GLiNER, whose label encoder is the sentence encoder, too.

    Raises:
        FileNotFoundError: SM161 if the installation lacks it.
    """
    if not (FOLDER / "model.safetensors").is_file():
        raise FileNotFoundError(Errors.SM161.format(folder=FOLDER))
    return FOLDER
