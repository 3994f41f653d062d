"""Remove what the project has made. Works on every system, unlike `rm -rf`."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer


def main(paths: list[Path]) -> None:
    """Remove PATHS, files or folders inside the current folder, where they exist."""
    here = Path.cwd()
    for path in paths:
        if here not in path.resolve().parents:
            raise typer.BadParameter(f"{path} is not inside {here}")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    typer.run(main)
