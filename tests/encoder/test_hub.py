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
