import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from spacy_modernbert.encoder import hub


def test_folder_is_itself(tmp_path):
    assert hub.resolve(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "~/nothing/here", "a/b/c", ""])
def test_missing_folder_is_not_looked_for_on_the_hub(name, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(hub, "snapshot_download", never)
    with pytest.raises(FileNotFoundError, match="SM040") as error:
        hub.resolve(name)
    assert "no such folder" in str(error.value)
    assert "download" not in str(error.value)


def test_name_that_is_no_hub_name():
    with pytest.raises(FileNotFoundError, match="SM040"):
        hub.resolve("not a name!")


def fake_cache(monkeypatch, folder):
    calls = []

    def snapshot(name, *, local_files_only=False, **kwargs):
        calls.append("cache" if local_files_only else "network")
        if local_files_only and folder is None:
            raise LocalEntryNotFoundError("not cached")
        if not local_files_only:
            raise OSError("no route to host")
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    return calls


def test_cache_is_asked_before_the_network(monkeypatch, checkpoint):
    calls = fake_cache(monkeypatch, checkpoint)
    assert hub.resolve("owner/name") == checkpoint
    assert calls == ["cache"]


def test_cache_without_a_file_that_is_needed_does_not_count(monkeypatch, checkpoint):
    calls = fake_cache(monkeypatch, checkpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(FileNotFoundError, match="SM040"):
        hub.resolve("owner/name", extra=["model_head.pkl"])
    assert hub.resolve("owner/name", extra=["tokenizer.json"]) == checkpoint
    assert calls == ["cache", "network", "cache"]


def test_half_a_cached_repository_does_not_count(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    calls = fake_cache(monkeypatch, tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(FileNotFoundError, match=r"SM040.*owner/name.*no route to host"):
        hub.resolve("owner/name")
    assert calls == ["cache", "network"]


def test_offline_and_not_cached(monkeypatch):
    calls = fake_cache(monkeypatch, None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=r"SM040.*HF_HUB_OFFLINE.*download owner/name"):
        hub.resolve("owner/name")
    assert calls == ["cache"]


def never_the_network(monkeypatch):
    def snapshot(name, *, local_files_only=False, **kwargs):
        if not local_files_only:
            raise AssertionError("the hub was asked")
        raise LocalEntryNotFoundError("not cached")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)


@pytest.mark.parametrize("name", ["models/encodr", "./models/encodr", "models/deep/encodr"])
def test_mistyped_folder_is_no_hub_name(name, tmp_path, monkeypatch):
    """Where the parent is a folder here, nothing is downloaded, and similar names are shown."""
    never_the_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True)
    ((tmp_path / name).parent / "encoder").mkdir()
    with pytest.raises(FileNotFoundError, match=r"SM040.*no such folder.*but there is .*encoder"):
        hub.resolve(name)


def test_mistyped_folder_of_one_word(tmp_path, monkeypatch):
    fake_cache(monkeypatch, None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "enc").mkdir()
    with pytest.raises(FileNotFoundError, match=r"SM040.*'encc'.*but there is enc\)"):
        hub.resolve("encc")


def test_owner_that_is_a_folder_too_is_found_in_the_cache(checkpoint, tmp_path, monkeypatch):
    calls = fake_cache(monkeypatch, checkpoint)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    assert hub.resolve("owner/name") == checkpoint
    assert calls == ["cache"]


@pytest.mark.parametrize("revision", ["v1.0", "0" * 40, "refs/pr/7"])
def test_revision_is_passed_on(revision, checkpoint, monkeypatch):
    asked = []

    def snapshot(name, *, revision=None, **kwargs):
        asked.append((name, revision))
        return str(checkpoint)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert hub.resolve(f"owner/name@{revision}") == checkpoint
    assert asked == [("owner/name", revision)]
    hub.resolve("owner/name")
    assert asked[-1] == ("owner/name", None)


def test_missing_revision_is_named(monkeypatch):
    fake_cache(monkeypatch, None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match=r"owner/name@v2'.*download owner/name --revision v2"
    ):
        hub.resolve("owner/name@v2")
    with pytest.raises(FileNotFoundError, match=r"SM040.*owner/name@'"):
        hub.resolve("owner/name@")


def test_folder_whose_name_has_an_at_sign(tmp_path):
    (tmp_path / "a@b").mkdir()
    assert hub.resolve(str(tmp_path / "a@b")) == tmp_path / "a@b"


def test_revision_in_a_real_cache(checkpoint, tmp_path, monkeypatch):
    """With the files as the hub's client stores them."""
    from tests.test_readme import add_to_cache

    add_to_cache(tmp_path, "owner/name", checkpoint)
    (tmp_path / "models--owner--name" / "refs" / "v1").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = hub.resolve("owner/name@v1")
    assert found.name == "0" * 40
    assert found == hub.resolve("owner/name") == hub.resolve(f"owner/name@{'0' * 40}")
    with pytest.raises(FileNotFoundError, match="SM040"):
        hub.resolve("owner/name@v9")
