"""Everything from a bare Python: `python run.py demo`, `python run.py test`.

All make a virtual environment in `.venv` from `constraints.txt`, once; then

    demo    runs the project's main job: `python -m spacy project run demo`
    package makes wheels of pipelines, and tries them in a fresh environment
    test    runs the test-suite: `python -m pytest`, with all further arguments handed on
    lint    runs ruff and mypy

An interrupted installation is taken up again by the next call. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
INSTALLED = VENV / "installed"  # written last: what the environment was made from
INPUTS = [ROOT / "pyproject.toml", ROOT / "constraints.txt"]

COMMANDS = {
    "demo": [["-m", "spacy", "project", "run", "demo"]],
    "package": [["-m", "spacy", "project", "run", "package"]],
    "test": [["-m", "pytest"]],
    "lint": [["-m", "ruff", "check"], ["-m", "ruff", "format", "--check"], ["-m", "mypy"]],
}
# Nothing is downloaded from the Hugging Face hub, and torch does not fight itself for the cores.
DEFAULTS = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}


class Stop(Exception):  # noqa: N818 - not an error of ours but the end of the run
    """The run cannot go on. The message is for the user."""


def main(arguments: list[str]) -> int:
    """Run one command. Returns the exit status: 0, that of the failing step, or 2 for misuse."""
    try:
        name, rest = read_arguments(arguments)
        check_python(sys.version_info[:2])
        for variable, value in DEFAULTS.items():
            os.environ.setdefault(variable, value)
        install()
        for command in COMMANDS[name]:
            status = call([PYTHON, *command, *rest])
            if status:
                again = "python run.py " + " ".join(arguments)
                print(f"\n[R4] {name} failed, see above. When it is mended: {again}")
                return status
    except Stop as stop:
        print(f"\n{stop}")
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.")
        return 130
    return 0


def read_arguments(arguments: list[str]) -> tuple[str, list[str]]:
    """Split the arguments into the command's name and what is handed on to it."""
    name, rest = (arguments or [""])[0], arguments[1:]
    if name not in COMMANDS:
        raise Stop(f"[R1] Usage: python run.py {{{'|'.join(COMMANDS)}}}\n\n{__doc__}")
    if rest and name != "test":
        raise Stop(f"[R1] {name} takes no further arguments, got: {' '.join(rest)}")
    return name, rest


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python that the dependencies have no builds for."""
    if not (3, 10) <= version < (3, 14):
        found = ".".join(map(str, version))
        raise Stop(f"[R2] This is Python {found}. Use 3.10 to 3.13, such as: python3.11 run.py ...")


def install() -> None:
    """Make `.venv` what `pyproject.toml` and `constraints.txt` ask for, unless it is already."""
    if PYTHON.exists() and INSTALLED.exists() and INSTALLED.read_text() == fingerprint():
        print(f"Using the environment in {VENV.name}")
        return
    INSTALLED.unlink(missing_ok=True)
    if not environment_works():
        print(f"Making an environment in {VENV.name}")
        must(["-m", "venv", "--clear", VENV], python=Path(sys.executable))
    print("Installing the tested versions of everything; this takes a few minutes the first time")
    # torch alone and by its exact version: a free choice may be a far bigger build.
    must(["-m", "pip", "install", torch_pin()])
    must(["-m", "pip", "install", "-c", "constraints.txt", "-e", ".[dev]"])
    INSTALLED.write_text(fingerprint())


def fingerprint() -> str:
    """Tell environments apart by what they are made from: two files, and the version of Python."""
    content = b"".join(path.read_bytes() for path in INPUTS)
    return f"{sys.version_info[0]}.{sys.version_info[1]} {sha256(content).hexdigest()}\n"


def environment_works() -> bool:
    """Say whether `.venv` holds this version of Python and a pip, also after an interruption."""
    if not PYTHON.exists():
        return False
    code = "import sys, pip; print(*sys.version_info[:2])"
    done = subprocess.run([str(PYTHON), "-c", code], stdout=subprocess.PIPE, text=True)
    return done.returncode == 0 and done.stdout.split() == [str(n) for n in sys.version_info[:2]]


def torch_pin() -> str:
    """Read the exact requirement of torch from the constraints."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf8").splitlines()
    return next(line for line in lines if line.startswith("torch=="))


def must(command: list[str | Path], python: Path = PYTHON) -> None:
    """Run a step of the installation, or stop with what to do about it."""
    if call([python, *command]):
        raise Stop(
            "[R3] The installation did not get through, see above. Is there a network that pip "
            "can use, and 4 GB of disk?\nThe same command takes it up where it ended; if that "
            f"does not help, remove {VENV.name} and try again."
        )


def call(command: list[str | Path]) -> int:
    """Echo a command, run it in the root of the repository, and return its exit status."""
    print("\n$ " + " ".join(map(str, command)).replace(f"{ROOT}{os.sep}", ""), flush=True)
    return subprocess.run([str(part) for part in command], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
