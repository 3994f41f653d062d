"""Encoders that are built in several threads at once, as web servers do at their first request."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import threading

import torch

from spacy_modernbert.encoder.checkpoint import build_encoder
from spacy_modernbert.encoder.packing import PackedBatch

SIZES = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "pad_token_id": 0, "max_position_embeddings": 64,
}
KINDS = {
    "bert": {"torch_dtype": "float16"},
    "roberta": {"pad_token_id": 1},
    "mpnet": {"pad_token_id": 1},
    "albert": {"embedding_size": 8},
    "modernbert": {"global_attn_every_n_layers": 2},
}
batch = PackedBatch.from_sequences([[3, 4, 5], [6], [7, 8, 9, 10]])
states = {}


def build(kind):
    config = {"model_type": kind, **SIZES, **KINDS[kind]}
    return build_encoder(config, states[kind])


def shapes(kind):
    import transformers

    config = transformers.AutoConfig.for_model(kind, **{**SIZES, **KINDS[kind]})
    torch.manual_seed(len(kind))
    return transformers.AutoModel.from_config(config, torch_dtype=torch.float32).state_dict()


if SEQUENTIAL:
    states.update({kind: shapes(kind) for kind in KINDS})
    torch.save(states, PATH)
    outputs = [build(kind)(batch).detach() for kind in list(KINDS) * 2]
    torch.save(outputs, PATH + ".outputs")
else:
    states.update(torch.load(PATH))
    names = list(KINDS) * 2
    outputs = [None] * len(names)
    barrier = threading.Barrier(len(names))

    def run(index):
        barrier.wait()
        outputs[index] = build(names[index])(batch).detach()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = torch.load(PATH + ".outputs")
    for found, one in zip(outputs, expected, strict=True):
        assert torch.equal(found, one)
    layer = torch.nn.Linear(2, 2)
    assert layer.weight.device.type == "cpu"
    assert layer.weight.isfinite().all() and layer.weight.unique().numel() == 4
    assert torch.get_default_dtype() == torch.float32
    assert torch.nn.init.normal_.__module__ == "torch.nn.init"
    assert torch.utils._device.CURRENT_DEVICE is None
"""


def run(path, *, sequential):
    head = f"SEQUENTIAL = {sequential}\nPATH = {str(path)!r}\n"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", head + PROGRAM], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("threads") / "weights.pt"
    run(path, sequential=True)
    return path


@pytest.mark.parametrize("repetition", range(3))
def test_cold_threads_build_what_one_thread_builds(weights, repetition):
    run(weights, sequential=False)
