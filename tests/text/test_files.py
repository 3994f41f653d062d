import os

import pytest

from spacy_modernbert.text.files import atomic_path


def test_atomic_path_leaves_the_old_file_when_interrupted(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_path_makes_an_ordinary_file(tmp_path):
    umask = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "new" / "file") as temporary:
            temporary.write_text("text")
    finally:
        os.umask(umask)
    assert (tmp_path / "new" / "file").stat().st_mode & 0o777 == 0o644


def test_full_disk_is_reported(tmp_path):
    with pytest.raises(OSError, match=r"SM047.*No space"), atomic_path(tmp_path / "file"):
        raise OSError(28, "No space left on device")


def test_mode_is_that_of_a_plain_file_and_the_umask_is_never_touched(tmp_path, monkeypatch):
    def never(mask):
        raise AssertionError("the umask belongs to the process")

    monkeypatch.setattr(os, "umask", never)
    with atomic_path(tmp_path / "ours") as temporary:
        temporary.write_text("text")
    with (tmp_path / "plain").open("w") as file:
        file.write("text")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "plain"]


def test_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("old")
    with (
        pytest.raises(OSError, match="SM047"),
        atomic_path(tmp_path / "file" / "below") as temporary,
    ):
        temporary.write_text("text")
