import torch

from spacy_modernbert.encoder.packing import PackedBatch

SEQUENCES = [[7, 8], [], [1, 2, 3, 4], [9]]


def test_sequences_lie_end_to_end():
    batch = PackedBatch.from_sequences(SEQUENCES)
    assert batch.ids.tolist() == [7, 8, 1, 2, 3, 4, 9]
    assert batch.positions.tolist() == [0, 1, 0, 1, 2, 3, 0]
    assert batch.cu_seqlens.tolist() == [0, 2, 2, 6, 7]
    assert (batch.total, batch.n_sequences, batch.max_length) == (7, 4, 4)
    assert [part.tolist() for part in batch.split(batch.ids)] == SEQUENCES


def test_padding_and_back():
    batch = PackedBatch.from_sequences(SEQUENCES)
    hidden = torch.randn(7, 3, requires_grad=True)
    padded = batch.pad(hidden, value=-1.0)
    assert padded.shape == (4, 4, 3)
    assert batch.mask().sum(dim=1).tolist() == [2, 0, 4, 1]
    assert (padded[~batch.mask()] == -1.0).all()
    assert torch.equal(batch.unpad(padded), hidden)
    batch.unpad(padded).sum().backward()
    assert torch.equal(hidden.grad, torch.ones(7, 3))


def test_no_sequences():
    batch = PackedBatch.from_sequences([])
    assert (batch.total, batch.n_sequences, batch.max_length) == (0, 0, 0)
    assert batch.split(batch.ids) == []


def test_selected_sequences_are_a_batch_of_their_own():
    sequences = [[5, 6], [], [7, 8, 9, 10], [11]]
    selected = PackedBatch.from_sequences(sequences).select([2, 0, 1])
    expected = PackedBatch.from_sequences([sequences[2], sequences[0], sequences[1]])
    assert selected.lengths == expected.lengths
    for name in ("ids", "positions", "cu_seqlens"):
        assert torch.equal(getattr(selected, name), getattr(expected, name))
