"""Wheels: of the library, and of pipelines that need it and nothing else."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec

import pytest
import spacy

from spacy_modernbert.encoder.checkpoint import save_encoder
from spacy_modernbert.gliner.checkpoint.serialization import save_gliner
from tests.gliner.tiny import TEXTS, tiny_model

pytestmark = pytest.mark.slow

SOURCES = ["pyproject.toml", "README.md", "LICENSE", "spacy_modernbert"]


def run(*command, cwd, **env):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def distributions(root, tmp_path_factory):
    """What `python -m build` makes of a copy of the sources: an sdist, and a wheel out of that."""
    if find_spec("build") is None or not (root / "spacy_modernbert").exists():
        pytest.skip("needs the sources, and `pip install build`")
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, folder / name)
    run("-m", "build", cwd=folder)
    return folder / "dist"


def test_library_has_all_its_files(root, distributions):
    (wheel,) = distributions.glob("*.whl")
    (sdist,) = distributions.glob("*.tar.gz")
    ours = {p.relative_to(root).as_posix() for p in (root / "spacy_modernbert").rglob("*.py")}
    models = root / "spacy_modernbert" / "models"
    ours |= {p.relative_to(root).as_posix() for p in models.rglob("*") if p.is_file()}
    assert "spacy_modernbert/models/gliner-minilm/model.safetensors" in ours
    assert wheel.stat().st_size < 95_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert ours | {"spacy_modernbert/py.typed"} <= names
    assert not {name for name in names if name.startswith(("tests", "scripts", "build"))}
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert ours | {"README.md", "LICENSE", "pyproject.toml"} <= inside


def test_library_passes_twine(distributions):
    pytest.importorskip("twine", reason="needs `pip install twine`")
    printed = run("-m", "twine", "check", "--strict", *distributions.iterdir(), cwd=distributions)
    assert printed.count("PASSED") == 2


def test_pipeline_wheel_needs_the_library_and_nothing_else(checkpoint, tmp_path):
    """Packaged from folders of checkpoints that are gone when the wheel is used."""
    from spacy_modernbert.encoder.checkpoint import load_encoder

    save_encoder(load_encoder(checkpoint), tmp_path / "encoder")
    save_gliner(tiny_model(), tmp_path / "gliner")
    nlp = spacy.blank("en")
    nlp.add_pipe("modernbert", config={"model": {"name": str(tmp_path / "encoder")}})
    config = {"labels": ["person"], "threshold": 0.3, "model": {"name": str(tmp_path / "gliner")}}
    nlp.add_pipe("gliner", config=config)
    nlp.initialize()
    doc = nlp(TEXTS[0])
    expected = [span.text for span in doc.spans["sc"]]
    assert expected
    nlp.to_disk(tmp_path / "pipeline")
    package = ["package", "pipeline", ".", "--name", "try", "--build", "wheel", "--force"]
    run("-m", "spacy", *package, cwd=tmp_path)
    (wheel,) = tmp_path.rglob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode()
    assert "Requires-Dist: spacy-modernbert" in metadata
    target = tmp_path / "installed"
    run("-m", "pip", "install", "--no-deps", "--target", target, wheel, cwd=tmp_path)
    for folder in ("encoder", "gliner", "pipeline", "en_try-0.0.0"):
        shutil.rmtree(tmp_path / folder)
    code = f"import en_try; doc = en_try.load()({TEXTS[0]!r}); "
    code += "print([span.text for span in doc.spans['sc']])"
    printed = run("-c", code, cwd=target, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "empty"))
    assert printed.strip() == str(expected)


def test_pipelines_of_the_bundled_model_load_by_name(tmp_path):
    """`spacy package` of what `pip install` and two lines make; no checkpoint has a path."""
    gliner = spacy.blank("en")
    gliner.add_pipe("gliner", config={"labels": ["person", "city"], "device": "cpu"})
    setfit = spacy.blank("en")
    textcat = setfit.add_pipe("setfit_textcat", config={"device": "cpu"})
    textcat.fit([("a loaf of bread", "food"), ("a late goal", "sport")], steps=0)
    text = "Anna Schmidt bakes bread in Vienna."
    target = tmp_path / "installed"
    for name, nlp in (("gliner", gliner), ("setfit", setfit)):
        nlp(text)
        nlp.to_disk(tmp_path / name)
        package = ["package", name, ".", "--name", f"{name}_try", "--build", "wheel", "--force"]
        run("-m", "spacy", *package, cwd=tmp_path)
    install = ["-m", "pip", "install", "--no-deps", "--target", target]
    run(*install, *tmp_path.rglob("*.whl"), cwd=tmp_path)
    code = (
        "import spacy; nlp = spacy.load({name!r}); doc = nlp({text!r}); print(*doc.ents, doc.cats)"
    )
    for name, nlp in (("en_gliner_try", gliner), ("en_setfit_try", setfit)):
        doc = nlp(text)
        printed = run("-c", code.format(name=name, text=text), cwd=target, HF_HUB_OFFLINE="1")
        assert printed.strip() == f"{' '.join(map(str, doc.ents))} {doc.cats}".strip()
