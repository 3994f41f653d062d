"""What is loaded stays: files may change, and the pipeline does not."""

import numpy as np
import pytest
import spacy
from thinc.api import to_numpy

from tests.pipeline.conftest import add_listeners, examples, make_nlp

TEXT = "Maria Lopez works at Apple in Lisbon."


def transformer(checkpoint, folders):
    nlp = add_listeners(make_nlp(checkpoint, factory="modernbert"))
    data = examples(nlp)
    nlp.initialize(lambda: data)
    return nlp


def gliner(checkpoint, folders):
    nlp = spacy.blank("en")
    settings = {"labels": ["person", "city"], "model": {"name": str(folders["bi_span"])}}
    nlp.add_pipe("gliner", config={**settings, "threshold": 0.0, "device": "cpu"})
    return nlp


def setfit(checkpoint, folders):
    nlp = spacy.blank("en")
    textcat = nlp.add_pipe("setfit_textcat", config={"model": {"name": str(checkpoint)}})
    textcat.fit([("bread and butter", "food"), ("they lost", "sport")], steps=0)
    return nlp


def answer(doc):
    """All numbers that a pipeline writes to a Doc."""
    spans = doc.spans.get("sc")
    found = [np.array(sorted(doc.cats.items(), key=str)).tolist(), [t.tag for t in doc]]
    if spans is not None:
        found.append([float(score) for score in spans.attrs["scores"]])
    if doc.has_extension("trf_data") and doc._.trf_data is not None:
        found.append(to_numpy(doc._.trf_data.model_output.last_hidden_state).tolist())
    return found


@pytest.mark.parametrize("make", [transformer, gliner, setfit])
def test_overwritten_and_truncated_files_change_nothing(make, checkpoint, tmp_path, request):
    root = request.getfixturevalue("folders")
    made = make(checkpoint, {kind: root / kind for kind in ("uni_span", "bi_span")})
    made(TEXT)
    made.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    expected = answer(nlp(TEXT))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in files:  # in place, as `cp` does
        with path.open("r+b") as stream:
            stream.write(b"\0" * path.stat().st_size)
    assert answer(nlp(TEXT)) == expected
    for path in files:
        with path.open("r+b") as stream:
            stream.truncate(0)
    assert answer(nlp(TEXT)) == expected


@pytest.mark.parametrize("name", ["gliner", "setfit_textcat", "modernbert"])
def test_tokenizer_larger_than_the_embeddings_is_refused(name, checkpoint, tmp_path, request):
    """At load, by every component; not by an IndexError in use."""
    import shutil

    from tests.encoder.test_checkpoint import grown_tokenizer

    folders = request.getfixturevalue("folders")
    source = folders / "uni_span" if name == "gliner" else checkpoint
    folder = shutil.copytree(source, tmp_path / "copy")
    grown_tokenizer(folder, "longword")
    nlp = spacy.blank("en")
    nlp.add_pipe(name, config={"model": {"name": str(folder)}})
    with pytest.raises(ValueError, match="SM049"):
        nlp.get_pipe(name).model.initialize()
