"""Install packaged pipelines in an empty environment, and use them.

Makes an empty virtual environment in a temporary folder, installs torch, this library (built as a
wheel) and the pipelines' wheels with their dependencies, and runs `annotate.py` there: offline,
outside of the project's folder and without access to it. The folder is removed afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from wasabi import msg

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"


def main(text: Path, output: Path, folders: list[Path]) -> None:
    """Install the wheels in FOLDERS, run each on TEXT, save what they print as OUTPUT."""
    wheels = [find_wheel(folder) for folder in folders]
    with TemporaryDirectory(prefix="try-wheels-") as name:
        folder = Path(name)
        python = fresh_environment(folder / "env")
        library = build_library(folder / "wheels")
        step("torch", [python, *pip_install(), torch_pin()])
        step("the wheels", [python, *pip_install(), library, *wheels])
        for file in (ROOT / "scripts" / "annotate.py", text):
            shutil.copy(file, folder)
        printed = []
        for package in (wheel.name.split("-")[0] for wheel in wheels):
            # -I: no PYTHONPATH, no user site, no script folder. Only what was installed is found.
            annotate = [python, "-I", "annotate.py", package, text.name]
            printed.append(step(f"{package} on {text.name}", annotate, cwd=folder))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(printed), encoding="utf8")
    print("\n".join(printed))
    msg.good(f"The installed packages work; what they found is in {output}")


def find_wheel(folder: Path) -> Path:
    """Find the wheel in a folder, and check that it asks for this library."""
    found = sorted(folder.resolve().rglob("*.whl"))
    if len(found) != 1:
        msg.fail(f"Expected one wheel in {folder}, found {len(found)}", exits=1)
    with zipfile.ZipFile(found[0]) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode("utf8")
    if "Requires-Dist: spacy-modernbert" not in metadata:
        msg.fail(f"{found[0].name} does not require spacy-modernbert", exits=1)
    return found[0]


def fresh_environment(folder: Path) -> Path:
    """Make an environment that shares nothing with ours. Returns its Python."""
    step("a fresh environment", [sys.executable, "-m", "venv", folder])
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build_library(folder: Path) -> Path:
    """Build the wheel of this library. Returns its path."""
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
    step("the library's wheel", [*pip_wheel, "--wheel-dir", folder, ROOT])
    return next(folder.glob("*.whl"))


def pip_install() -> list[str | Path]:
    """Start a pip command that keeps to the tested versions, and sees nothing of ours either."""
    return ["-I", "-m", "pip", "install", "-q", "-c", CONSTRAINTS]


def torch_pin() -> str:
    """Read the exact torch requirement: it comes first and alone, as in `run.py`."""
    lines = CONSTRAINTS.read_text(encoding="utf8").splitlines()
    return next(line for line in lines if line.startswith("torch=="))


def step(what: str, command: list[str | Path], cwd: Path | None = None) -> str:
    """Run a command and say how long it took. Exits with its output if it fails."""
    started = time.perf_counter()
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    # Progress and warnings go to the terminal as they come; only the result is kept.
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        print(done.stdout)
        msg.fail(f"Failed: {what}", " ".join(map(str, command)), exits=1)
    msg.info(f"{what}: {time.perf_counter() - started:.0f} s")
    return done.stdout


if __name__ == "__main__":
    typer.run(main)
