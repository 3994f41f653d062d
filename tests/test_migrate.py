"""`python -m spacy_modernbert migrate`: configs of spacy-transformers."""

import subprocess
import sys

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.util import load_config, load_model_from_config
from thinc.api import Config
from typer.testing import CliRunner

from spacy_modernbert.cli import app
from spacy_modernbert.cli.migrate import migrate_config

from .pipeline.conftest import examples

STRIDED = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 128, "stride": 96}
DOCS = {"@span_getters": "spacy-transformers.doc_spans.v1"}
SENTS = {"@span_getters": "spacy-transformers.sent_spans.v1"}


def config_of(version=3, get_spans=STRIDED, **settings):
    model = {
        "@architectures": f"spacy-transformers.TransformerModel.v{version}",
        "name": "roberta-base",
        "get_spans": get_spans,
        **settings,
    }
    return {"components": {"transformer": {"factory": "transformer", "model": model}}}


def migrated(config, **options):
    """The model's block, and all that was said of it."""
    changes = migrate_config(config, **options)
    return config["components"]["transformer"]["model"], "\n".join(text for _, text in changes)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_becomes_our_component(version):
    config = config_of(version)
    model, _ = migrated(config)
    assert config["components"]["transformer"]["factory"] == "modernbert"
    assert model == {
        "@architectures": "spacy_modernbert.ModernBertModel.v1",
        "name": "roberta-base",
        "max_length": 192,
        "overlap": 48,
        "precision": "float32",
        "mode": "text",
    }


@pytest.mark.parametrize(
    ("get_spans", "expected", "said"),
    [
        (STRIDED, (192, 48), "the step from one window to the next"),
        ({**STRIDED, "window": 400, "stride": 300}, (512, 150), "share 100"),
        ({**STRIDED, "stride": 128}, (192, 0), "share 0"),
        ({**STRIDED, "stride": 500}, (192, 0), "share 0"),
        ({**STRIDED, "window": 5, "stride": 1}, (8, 4), "share 4"),
        ({**STRIDED, "window": "${vars.window}"}, (None, None), "dropped"),
        (DOCS, (None, None), "which was cut off"),
        (SENTS, (None, None), "no sentence borders"),
        ({"@span_getters": "my_spans.v1"}, (None, None), "my_spans.v1"),
    ],
)
def test_windows(get_spans, expected, said):
    model, text = migrated(config_of(get_spans=get_spans))
    assert (model["max_length"], model["overlap"]) == expected
    assert said in text


def test_every_dropped_setting_is_named():
    model, text = migrated(
        config_of(
            tokenizer_config={"use_fast": True, "model_max_length": 99},
            transformer_config={"output_attentions": True},
            grad_scaler_config={"init_scale": 32},
            mixed_precision=True,
            other=3,
        )
    )
    assert model["precision"] == "bfloat16"
    for part in ("model_max_length", "output_attentions", "init_scale", "mixed_precision", "other"):
        assert part in text
    assert "other" not in model


def test_revision_is_kept():
    model, text = migrated(config_of(transformer_config={"revision": "v2"}))
    assert model["name"] == "roberta-base@v2"
    assert "roberta-base@v2" in text


def test_other_checkpoint():
    model, text = migrated(config_of(), name="answerdotai/ModernBERT-base")
    assert model["name"] == "answerdotai/ModernBERT-base"
    assert "in place of roberta-base" in text


def test_partial_config_gets_what_spacy_would_have_filled_in():
    for given in ({}, {"model": {"name": "bert-base-cased"}}):
        config = {"components": {"transformer": {"factory": "transformer", **given}}}
        model, _ = migrated(config)
        assert model["name"] == given.get("model", {}).get("name", "roberta-base")
        assert model["max_length"] == 192


@pytest.mark.parametrize("version", [1, 2, 3])
def test_encoder_inside_a_component(version):
    tok2vec = {
        "@architectures": f"spacy-transformers.Tok2VecTransformer.v{version}",
        "name": "bert-base-cased",
        "get_spans": DOCS,
        "tokenizer_config": {},
        "grad_factor": 0.5,
        "pooling": {"@layers": "reduce_first.v1"},
    }
    config = {"components": {"tagger": {"factory": "tagger", "model": {"tok2vec": tok2vec}}}}
    changes = dict(migrate_config(config))
    assert set(changes) == {"components.tagger.model.tok2vec"}
    assert tok2vec == {
        "@architectures": "spacy_modernbert.ModernBertTok2Vec.v1",
        "name": "bert-base-cased",
        "max_length": None,
        "overlap": None,
        "precision": "float32",
        "mode": "text",
        "grad_factor": 0.5,
        "pooling": {"@layers": "spacy_modernbert.reduce_pieces.v1", "mode": "first"},
    }


def test_sourced_component_is_left_and_said_so():
    config = {"components": {"transformer": {"source": "en_core_web_trf"}}}
    assert migrate_config(config) == [
        ("components.transformer", "left as it is: trained weights are not converted")
    ]
    assert config == {"components": {"transformer": {"source": "en_core_web_trf"}}}


def test_command_prints_or_saves(tmp_path):
    path, out = tmp_path / "old.cfg", tmp_path / "new.cfg"
    Config({"vars": {"w": 128}, **config_of()}).to_disk(path)
    printed = CliRunner().invoke(app, ["migrate", str(path)])
    assert printed.exit_code == 0
    assert "[components.transformer.model] get_spans" in printed.stderr
    saved = CliRunner().invoke(app, ["migrate", str(path), str(out), "--name", "some/name"])
    assert saved.exit_code == 0, saved.output
    assert Config().from_disk(out)["components"]["transformer"]["model"]["name"] == "some/name"
    assert Config().from_str(printed.stdout)["components"]["transformer"]["factory"] == "modernbert"
    # A second time there is nothing to do, and a file that is no config is refused.
    assert CliRunner().invoke(app, ["migrate", str(out)]).exit_code == 1
    path.write_text("no config")
    assert CliRunner().invoke(app, ["migrate", str(path)]).exit_code == 1
    assert CliRunner().invoke(app, ["migrate", str(tmp_path / "none.cfg")]).exit_code == 1


def run(work, *command):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_config_for_a_gpu_from_spacy_init_config_trains(checkpoint, tmp_path):
    """Interpolation stays, and every block that spaCy writes is accepted."""
    run(tmp_path, "spacy", "init", "config", "--gpu", "-p", "tagger,ner,textcat", "old.cfg")
    run(tmp_path, "spacy_modernbert", "migrate", "old.cfg", "new.cfg", "-n", str(checkpoint))
    run(tmp_path, "spacy", "init", "fill-config", "new.cfg", "config.cfg")
    assert "path = ${paths.train}" in (tmp_path / "config.cfg").read_text()
    corpus, nlp = DocBin(), spacy.blank("en")
    for example in examples(nlp) * 3:
        doc = example.reference
        doc.cats = {"apple": float("Apple" in doc.text), "other": float("Apple" not in doc.text)}
        corpus.add(doc)
    corpus.to_disk(tmp_path / "corpus.spacy")
    options = ["--paths.train", "corpus.spacy", "--paths.dev", "corpus.spacy"]
    options += ["--training.max_steps", "4", "--training.eval_frequency", "2"]
    run(tmp_path, "spacy", "train", "config.cfg", "--output", "out", *options)
    doc = spacy.load(tmp_path / "out" / "model-last")("Maria works at Apple .")
    assert doc.has_annotation("TAG")
    assert set(doc.cats) == {"apple", "other"}


def test_migrated_config_makes_a_pipeline(checkpoint, tmp_path):
    text = """
    [nlp]
    lang = "en"
    pipeline = ["transformer","tagger"]

    [components.transformer]
    factory = "transformer"

    [components.tagger]
    factory = "tagger"

    [components.tagger.model]
    @architectures = "spacy.Tagger.v2"

    [components.tagger.model.tok2vec]
    @architectures = "spacy-transformers.TransformerListener.v1"
    pooling = {"@layers":"reduce_last.v1"}
    """
    config = Config().from_str("[components]\n" + text.replace("\n    ", "\n"))
    migrate_config(config, name=str(checkpoint))
    config.to_disk(tmp_path / "config.cfg")
    nlp = load_model_from_config(load_config(tmp_path / "config.cfg"), auto_fill=True)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    assert nlp.update(data)["tagger"] > 0
