import pytest
import torch

from spacy_modernbert.encoder.storage import (
    bytes_to_tensors,
    read_tensors,
    tensors_to_bytes,
    write_tensors,
)

TENSORS = {
    "f": torch.randn(3, 5),
    "h": torch.randn(7).to(torch.bfloat16),
    "i": torch.arange(6).reshape(2, 3),
    "none": torch.zeros(0, 4),
    "one": torch.tensor(2.5),
    "turned": torch.randn(4, 3).T,
}


def assert_same(found):
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_file_and_bytes_are_one_format(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {"name": "value"})
    data = tensors_to_bytes(TENSORS, {"name": "value"})
    assert path.read_bytes() == data
    for tensors, metadata in (read_tensors(path), bytes_to_tensors(data)):
        assert_same(tensors)
        assert metadata == {"name": "value"}


def test_bytes_are_not_copied():
    data = tensors_to_bytes(TENSORS, {})
    first, second = (bytes_to_tensors(data)[0] for _ in range(2))
    assert first["f"].data_ptr() == second["f"].data_ptr()


def test_writing_to_a_mapped_tensor_does_not_reach_the_file(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {})
    before = path.read_bytes()
    read_tensors(path)[0]["f"].fill_(9.0)
    assert path.read_bytes() == before


@pytest.mark.parametrize("size", [0, 4, 8, 40, -1, -200])
def test_damaged_data_are_reported(tmp_path, size):
    data = tensors_to_bytes(TENSORS, {})[:size]
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="SM042"):
        bytes_to_tensors(data)
    with pytest.raises(ValueError, match="SM042"):
        read_tensors(path)
