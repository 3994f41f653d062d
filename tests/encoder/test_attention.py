"""The kernel for packed rows runs on GPUs only; here a stand-in records how it is called."""

import pytest
import torch

from spacy_modernbert.encoder import attention
from spacy_modernbert.encoder.attention import SequenceLayout, attend, attend_
from spacy_modernbert.encoder.packing import PackedBatch

LENGTHS = (5, 40, 40, 1)


def plain_varlen(query, key, value, cu_q, cu_k, max_q, max_k, *, window_size):
    """What torch documents for `varlen_attn`, written without care for speed."""
    assert cu_q.dtype == torch.int32
    assert (max_q, max_k) == (max(LENGTHS), max(LENGTHS))
    parts = []
    for start, end in zip(cu_q[:-1].tolist(), cu_q[1:].tolist(), strict=True):
        q, k, v = (x[start:end].transpose(0, 1) for x in (query, key, value))
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        if window_size != (-1, -1):
            left, right = window_size
            offset = torch.arange(end - start) - torch.arange(end - start)[:, None]
            scores = scores.masked_fill((offset < -left) | (offset > right), float("-inf"))
        parts.append((scores.softmax(-1) @ v).transpose(0, 1))
    return torch.cat(parts)


@pytest.fixture
def layout():
    return SequenceLayout.from_batch(
        PackedBatch.from_sequences([range(n) for n in LENGTHS]), half_window=8, dtype=torch.float32
    )


@pytest.fixture
def qkv():
    return torch.randn(sum(LENGTHS), 3, 4, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("call", [attend, attend_])
def test_gpu_kernel_is_called_as_documented(monkeypatch, layout, qkv, call, sliding):
    expected = attend(qkv, layout, sliding=sliding)
    monkeypatch.setattr(attention, "varlen_attn", plain_varlen)
    monkeypatch.setattr(attention, "_has_varlen", lambda qkv: True)
    found = call(qkv.clone(), layout, sliding=sliding)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_gpu_kernel_is_not_for_cpus_or_float32(monkeypatch, qkv):
    assert not attention._has_varlen(qkv)
    assert not attention._has_varlen(qkv.bfloat16())
    monkeypatch.setattr(attention, "varlen_attn", None)
    assert not attention._has_varlen(qkv.bfloat16())


def test_signature_of_torch_is_the_one_we_call():
    """`varlen_attn` is young; a torch without it, or its windows, is served by the other code."""
    if attention.varlen_attn is None:
        pytest.skip("this torch has none")
    import inspect

    names = list(inspect.signature(attention.varlen_attn).parameters)
    assert names[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]
    assert "window_size" in names
