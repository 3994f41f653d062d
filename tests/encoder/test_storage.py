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


def test_tensors_of_bytes_may_be_written_to():
    data = tensors_to_bytes(TENSORS, {})
    before = bytes(bytearray(data))
    bytes_to_tensors(data)[0]["f"].fill_(9.0)
    assert data == before


def test_a_file_that_is_overwritten_later_changes_no_tensor(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {})
    before = path.read_bytes()
    tensors, _ = read_tensors(path)
    expected = tensors["f"].clone()
    path.write_bytes(b"\0" * len(before))
    assert tensors["f"].equal(expected)
    with path.open("r+b") as file:
        file.truncate(8)
    assert tensors["f"].equal(expected)


@pytest.mark.parametrize("size", [0, 4, 8, 40, -1, -200])
def test_damaged_data_are_reported(tmp_path, size):
    data = tensors_to_bytes(TENSORS, {})[:size]
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="SM042"):
        bytes_to_tensors(data)
    with pytest.raises(ValueError, match="SM042"):
        read_tensors(path)
