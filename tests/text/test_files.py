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
