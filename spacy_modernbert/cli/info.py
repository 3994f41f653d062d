"""Installed versions, devices, the bundled model, and checkpoints in the local cache."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from .. import __version__
from ..encoder.bundled import BUNDLED, FOLDER, LICENSE
from ..encoder.kinds import find_kind
from ..errors import Errors

_PACKAGES = (
    "spacy",
    "spacy-transformers",
    "thinc",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "scikit-learn",
    "numpy",
    "cupy",
)


def info(
    gpu_id: Annotated[
        int | None, typer.Option("--gpu-id", "-g", help="Only check that this GPU can be used")
    ] = None,
) -> None:
    """Print versions, devices, the bundled model and the checkpoints in the local cache.

    Include the output in a bug report.
    """
    from wasabi import msg

    if gpu_id is not None:
        _check_gpu(gpu_id)
        return

    msg.divider("Versions")
    own = [("spacy_modernbert", __version__), ("python", platform.python_version())]
    msg.table(own + [(name, _version(name)) for name in _PACKAGES])
    msg.divider("Devices")
    msg.table(list(_devices()))
    msg.divider("Bundled model")
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    row = (BUNDLED, FOLDER.name, "gliner, setfit_textcat", f"{size / 2**20:,.0f}", LICENSE)
    header = ("name", "model", "used as", "MiB", "license")
    msg.table([row], header=header, divider=True, aligns=("l", "l", "l", "r", "l"))
    msg.divider("Checkpoints in the local cache")
    found = list(_cached())
    if found:
        msg.table(found, header=("name", "used as", "MiB"), divider=True, aligns=("l", "l", "r"))
    else:
        msg.info("None. A name in a config is looked up on the Hugging Face hub at first use")


def _check_gpu(gpu_id: int) -> None:
    """Exit with SM063 if `spacy train` could not use a GPU; -1 is the CPU, which always works."""
    from thinc.api import require_gpu
    from wasabi import msg

    if gpu_id < 0:
        return
    try:
        require_gpu(gpu_id)
    except Exception as error:  # thinc, CuPy and CUDA have no common type
        msg.fail("No GPU", Errors.SM063.format(gpu_id=gpu_id, reason=error), exits=1)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    from ..encoder.precision import bfloat16_gain

    cores = f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}"
    yield "processor", f"{platform.machine()}, {cores}"
    yield "instructions", torch.backends.cpu.get_cpu_capability()
    gain = bfloat16_gain()
    yield "bfloat16", "no instructions" if gain is None else f"{gain:.1f} x the speed of float32"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    yield "GPU", ", ".join(names) or "none that torch can use"


def _cached() -> Iterator[tuple[str, str, str]]:
    """Name, kind and size of every cached repository that this package can use."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repository in sorted(repositories, key=_repo_id):
        kinds = [find_kind(revision.snapshot_path) for revision in repository.revisions]
        if kind := next(filter(None, kinds), None):
            yield repository.repo_id, kind, f"{repository.size_on_disk / 2**20:,.0f}"


def _repo_id(repository: object) -> str:
    name: str = getattr(repository, "repo_id", "")
    return name
