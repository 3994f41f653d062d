"""Oracles: tiny random checkpoints that upstream gliner builds and runs, where it is installed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from spacy_modernbert.gliner.checkpoint.serialization import load_gliner
from spacy_modernbert.gliner.inference.model import GlinerModel


@dataclass(frozen=True)
class Case:
    """One checkpoint, as upstream and as we load it."""

    folder: Path
    theirs: Any
    ours: GlinerModel


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def oracle():
    """The module that builds tiny checkpoints."""
    pytest.importorskip("gliner")
    from tests.gliner import oracle

    return oracle


@pytest.fixture(scope="session")
def case(oracle, tmp_path_factory):
    """Build a checkpoint of an architecture and a backbone, each once a session."""
    root = tmp_path_factory.mktemp("oracles")

    @cache
    def build(arch: str, backbone: str, **overrides) -> Case:
        options = "-".join(f"{key}={value}" for key, value in overrides.items())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folder = oracle.build_checkpoint(
                arch, backbone, root / f"{arch}-{backbone}{options}", **overrides
            )
            return Case(folder, oracle.load(folder), load_gliner(folder))

    return build
