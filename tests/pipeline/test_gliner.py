"""The `gliner` pipe under spaCy's contract, on tiny random checkpoints."""

import copy
import itertools
import json
import pickle
import subprocess
import sys

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_modernbert.cli import app
from spacy_modernbert.gliner.checkpoint.serialization import load_gliner

from .gliner_tiny import LABELS, TEXT, TEXTS, make, spans

LOW = 0.05


@pytest.fixture
def nlp(folders):
    return make(folders)


def test_spans_have_scores_and_characters(nlp):
    doc = nlp(TEXT)
    group = doc.spans["sc"]
    assert len(group) > 0
    assert len(group.attrs["scores"]) == len(group.attrs["chars"]) == len(group)
    for span, (start, end) in zip(group, group.attrs["chars"], strict=True):
        assert (span.start_char, span.end_char) == (start, end)
        assert span.label_ in LABELS
    assert [(e.start, e.end, e.label) for e in doc.ents] == [
        (s.start, s.end, s.label) for s in group
    ]
    assert min(group.attrs["scores"]) > 0.3


def test_attrs_survive_bytes(nlp):
    doc = nlp(TEXT)
    again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert spans(again) == spans(doc)


@pytest.mark.parametrize("kind", ["uni_span", "bi_span"])
@pytest.mark.parametrize("words", ["spacy", "gliner"])
def test_pipe_is_one_by_one_in_order(folders, kind, words):
    nlp = make(folders, kind, words=words)
    docs = list(nlp.pipe(TEXTS, batch_size=4))
    assert [doc.text for doc in docs] == TEXTS
    assert [spans(doc) for doc in docs] == [spans(nlp(text)) for text in TEXTS]
    assert [len(docs[i].spans["sc"]) for i in (1, 2)] == [0, 0]


def test_predict_changes_nothing_and_takes_nothing(nlp):
    pipe, doc = nlp.get_pipe("gliner"), nlp.make_doc(TEXT)
    assert len(pipe.predict([doc])[0].labels) > 0
    assert len(doc.spans) == len(doc.ents) == 0
    assert pipe.predict([]) == []
    assert pipe.predict([nlp.make_doc("")])[0].labels == []


def test_regex_words_are_expanded_to_tokens(folders):
    """spaCy leaves e-mail addresses and dates in one token, which upstream cuts in several."""
    nlp = make(folders, words="gliner", threshold=LOW)
    doc = nlp("Write to maria.lopez@example.com, or call Dr. O'Neill; 12/03/2021 can't do")
    group = doc.spans["sc"]
    inside = 0
    for span, (start, end) in zip(group, group.attrs["chars"], strict=True):
        expanded = doc.char_span(start, end, alignment_mode="expand")
        assert (span.start, span.end) == (expanded.start, expanded.end)
        inside += (span.start_char, span.end_char) != (start, end)
    assert inside
    assert all(a.end <= b.start for a, b in itertools.pairwise(doc.ents))


@pytest.mark.parametrize("words", ["spacy", "gliner"])
def test_long_doc_with_sentences(folders, words):
    nlp = make(folders, words=words, window=16, overlap=4)
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp((TEXT + " ") * 8)
    thirds = {span.start * 3 // len(doc) for span in doc.spans["sc"]}
    assert thirds == {0, 1, 2}


def test_labels_with_words_of_their_own(folders):
    plain = make(folders)(TEXT)
    nlp = make(folders, labels={"PER": "person", "LOC": "location"})
    names = {"PER": "person", "LOC": "location"}
    doc = nlp(TEXT)
    assert [(s[0], s[1], names[s[2]], s[3]) for s in spans(doc)] == [s[:4] for s in spans(plain)]
    assert nlp.get_pipe("gliner").labels == ("PER", "LOC")
    assert nlp.get_pipe("gliner").label_data == names


def test_labels_change_at_any_time(nlp):
    pipe = nlp.get_pipe("gliner")
    assert (pipe.add_label("award"), pipe.add_label("award")) == (1, 0)
    assert pipe.labels == (*LABELS, "award")
    assert pipe.add_label("DOB", "date of birth") == 1
    assert pipe.label_data["DOB"] == "date of birth"
    pipe.set_labels(["person"])
    assert "DOB" in nlp.vocab.strings
    cfg = {"gliner": {"threshold": LOW}}
    assert {span[2] for span in spans(nlp(TEXT, component_cfg=cfg))} == {"person"}
    with pytest.raises(ValueError, match="E187"):
        pipe.add_label(3)


def test_labels_and_threshold_of_a_call(folders, nlp):
    expected = spans(make(folders, labels=["award"], threshold=LOW)(TEXT))
    cfg = {"gliner": {"labels": ["award"], "threshold": LOW}}
    assert expected
    assert spans(nlp(TEXT, component_cfg=cfg)) == expected
    assert [spans(doc) for doc in nlp.pipe([TEXT, TEXT], component_cfg=cfg)] == [expected] * 2
    assert spans(nlp(TEXT)) != expected


def test_labels_of_a_doc(folders, nlp):
    docs = [nlp.make_doc(TEXT) for _ in range(3)]
    docs[0]._.gliner_labels = {"PRIZE": "award"}
    docs[1]._.gliner_labels = []
    found = list(nlp.pipe(docs))
    alone = spans(make(folders, labels={"PRIZE": "award"})(TEXT))
    assert [spans(doc) for doc in found] == [alone, [], spans(nlp(TEXT))]


def test_threshold_of_a_label(folders):
    nlp = make(folders, threshold=1.0, label_thresholds={"location": LOW})
    assert {span[2] for span in spans(nlp(TEXT))} == {"location"}


@pytest.mark.parametrize("kind", ["uni_span", "bi_span"])
def test_decoding(folders, kind):
    flat = make(folders, kind, threshold=LOW)(TEXT)
    nested = make(folders, kind, threshold=LOW, decoding="nested")(TEXT)
    several = spans(make(folders, kind, threshold=LOW, multi_label=True)(TEXT))
    assert len(nested.spans["sc"]) > len(flat.spans["sc"])
    assert len({span[:2] for span in several}) < len(several)
    assert not flat.spans["sc"].has_overlap
    assert nested.spans["sc"].has_overlap
    assert len(nested.ents)


FILTERS = ["first_longest_spans_filter", "prioritize_new_ents_filter"]


@pytest.mark.parametrize("name", [*FILTERS, "prioritize_existing_ents_filter"])
def test_filters_of_spacy(folders, name):
    config = {"ents_filter": {"@misc": f"spacy.{name}.v1"}, "decoding": "nested"}
    nlp = make(folders, threshold=LOW, **config)
    assert len(nlp(TEXT).ents)


def test_ents_that_are_there_stay_unless_overwritten(folders):
    for overwrite in (False, True):
        nlp = make(folders, "bi_span", overwrite=overwrite)
        doc = nlp.make_doc(TEXT)
        doc.ents = [Span(doc, 0, 4, label="OLD")]
        doc = nlp.get_pipe("gliner")(doc)
        assert ("OLD" in {ent.label_ for ent in doc.ents}) is not overwrite
        assert len(doc.ents) > 1


def test_best_span_becomes_the_entity(folders):
    doc = make(folders, threshold=LOW, decoding="nested", multi_label=True)(TEXT)
    ranked = sorted(spans(doc), key=lambda span: -span[3])
    assert ranked[0][:3] in [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def test_no_entities_if_not_wanted(folders):
    doc = make(folders, annotate_ents=False, spans_key="mine")(TEXT)
    assert not doc.ents
    assert len(doc.spans["mine"])


def test_overlapping_entities_of_a_filter_are_reported(folders):
    nlp = make(folders, threshold=LOW, decoding="nested")
    nlp.get_pipe("gliner").ents_filter = lambda entities, spans: [*entities, *spans]
    with pytest.raises(ValueError, match="E854"):
        nlp(TEXT)


@pytest.mark.parametrize("words", ["spacy", "gliner"])
def test_only_candidates_are_classified(folders, words):
    def given(doc):
        doc.spans["given"] = [doc[0:2], doc[5:7], doc[1:8]]
        return doc

    nlp = make(folders, words=words, candidates="given", threshold=LOW, decoding="nested")
    pipe = nlp.get_pipe("gliner")
    doc = pipe(given(nlp.make_doc(TEXT)))
    wanted = {(span.start, span.end) for span in doc.spans["given"]}
    found = {(span.start, span.end) for span in doc.spans["sc"]}
    assert found
    assert found <= wanted
    with pytest.raises(ValueError, match=r"SM134.*given"):
        nlp(TEXT)
    assert nlp("").text == ""


def test_candidates_of_a_suggester_and_of_ents(folders):
    suggester = {"@misc": "spacy.ngram_suggester.v1", "sizes": [2]}
    nlp = make(folders, candidates=suggester, threshold=LOW)
    docs = list(nlp.pipe([TEXT, "", TEXT[:30]]))
    assert {len(span) for doc in docs for span in doc.spans["sc"]} == {2}
    nlp = make(folders, candidates="ents", threshold=LOW)
    assert len(nlp(TEXT).spans["sc"]) == 0
    nlp = spacy.blank("en").from_config(nlp.config)
    assert nlp.get_pipe("gliner").candidates == "ents"


def test_no_labels(folders):
    nlp = make(folders, labels=[])
    with pytest.raises(ValueError, match="E143"):
        nlp(TEXT)
    assert len(nlp(TEXT, component_cfg={"gliner": {"labels": LABELS}}).spans["sc"])


@pytest.mark.parametrize(
    ("config", "number"),
    [
        ({"labels": ["person", "person"]}, "SM130"),
        ({"labels": {"A": "person", "B": "person"}}, "SM130"),
        ({"labels": ["person", " "]}, "SM108"),
        ({"threshold": 1.5}, "SM065"),
        ({"label_thresholds": {"person": -0.1}}, "SM065"),
        ({"window": 0}, "SM065"),
        ({"overlap": -1}, "SM065"),
    ],
)
def test_bad_settings_are_refused(folders, config, number):
    with pytest.raises(ValueError, match=number):
        make(folders, **config)


def test_bad_settings_of_a_call_are_refused(folders, nlp):
    for cfg, number in [
        ({"labels": "person"}, "SM131"),
        ({"threshold": 2}, "SM065"),
        ({"threshold": float("nan")}, "SM065"),
    ]:
        with pytest.raises(ValueError, match=number):
            nlp(TEXT, component_cfg={"gliner": cfg})
    for device in ("nonsense", "cuda:99"):
        with pytest.raises(ValueError, match=rf"SM132.*{device}"):
            make(folders, device=device)(TEXT)


def test_creating_needs_no_checkpoint(folders):
    nlp = make(folders, "nowhere")
    with pytest.raises(FileNotFoundError, match=r"SM040.*nowhere"):
        nlp.initialize()


def test_failed_doc_alone_goes_to_the_handler(folders):
    nlp = make(folders)
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.extend(docs))
    docs = [nlp.make_doc(text) for text in TEXTS]
    docs[3]._.gliner_labels = ["", "x"]
    found = list(nlp.pipe(docs))
    assert [doc.text for doc in failed] == [TEXTS[3]]
    assert [doc.text for doc in found] == TEXTS[:3] + TEXTS[4:]
    assert spans(found[0]) == spans(nlp(TEXT))
    failed.clear()
    nlp.get_pipe("gliner")(docs[3])
    assert failed == [docs[3]]


def test_initialize_with_and_without_labels(folders):
    nlp = make(folders)
    nlp.initialize()
    assert nlp.get_pipe("gliner").labels == tuple(LABELS)
    nlp.config["initialize"]["components"]["gliner"] = {"labels": {"X": "award"}}
    nlp.initialize()
    assert nlp.get_pipe("gliner").label_data == {"X": "award"}
    assert nlp.get_pipe("gliner").is_trainable


def test_renamed_disabled_and_in_a_memory_zone(nlp):
    expected = spans(nlp(TEXT))
    with nlp.select_pipes(disable="gliner"):
        assert not nlp(TEXT).spans
    with nlp.memory_zone():
        assert spans(nlp(TEXT, component_cfg={"gliner": {"labels": LABELS}})) == expected
    nlp.rename_pipe("gliner", "finder")
    assert nlp.get_pipe("finder").name == "finder"
    assert spans(nlp(TEXT)) == expected


@pytest.mark.parametrize("kind", ["uni_span", "bi_span"])
def test_disk_round_trip(folders, tmp_path, kind):
    nlp = make(folders, kind)
    nlp.get_pipe("gliner").add_label("award")
    nlp.to_disk(tmp_path / "one")
    again = spacy.load(tmp_path / "one")
    assert again.get_pipe("gliner").labels == (*LABELS, "award")
    assert spans(again(TEXT)) == spans(nlp(TEXT))
    again.to_disk(tmp_path / "two")
    one, two = tmp_path / "one" / "gliner", tmp_path / "two" / "gliner"
    for file in [path for path in one.rglob("*") if path.is_file()]:
        assert file.read_bytes() == (two / file.relative_to(one)).read_bytes()
    load_gliner(one / "model")
    assert spans(make(one, "model")(TEXT)) == spans(make(folders, kind)(TEXT))


def test_settings_of_the_config_win_where_nothing_was_changed(nlp, tmp_path):
    nlp.get_pipe("gliner").cfg["decoding"] = "nested"
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path, config={"components": {"gliner": {"threshold": 0.9}}})
    assert again.get_pipe("gliner").cfg["threshold"] == 0.9
    assert again.get_pipe("gliner").cfg["decoding"] == "nested"


def test_bytes_copies_and_pickles(folders):
    nlp = make(folders, "bi_span")
    expected = spans(nlp(TEXT))
    pipe = nlp.get_pipe("gliner")
    assert spans(make(folders, "nowhere").from_bytes(nlp.to_bytes())(TEXT)) == expected
    other = make(folders, "nowhere").get_pipe("gliner")
    other.from_bytes(pipe.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    assert other.to_bytes(exclude=["vocab"]) == pipe.to_bytes(exclude=["vocab"])
    assert len(pipe.to_bytes(exclude=["model", "vocab"])) < 100
    for copied in (pickle.loads(pickle.dumps(pipe)), copy.deepcopy(pipe.model)):
        model = getattr(copied, "model", copied)
        assert model.shim.checkpoint is not pipe.model.shim.checkpoint
    assert spans(pickle.loads(pickle.dumps(pipe))(nlp.make_doc(TEXT))) == expected
    assert pickle.loads(pickle.dumps(make(folders, "nowhere").get_pipe("gliner"))).labels


def test_label_vectors_are_computed_once(folders, monkeypatch):
    from spacy_modernbert.gliner.inference.model import GlinerModel

    asked = []
    encode = GlinerModel.encode_labels
    monkeypatch.setattr(
        GlinerModel,
        "encode_labels",
        lambda self, labels: [asked.extend(labels), encode(self, labels)][1],
    )
    nlp = make(folders, "bi_span")
    list(nlp.pipe(TEXTS, batch_size=2))
    nlp.get_pipe("gliner").add_label("award")
    again = nlp.from_bytes(nlp.to_bytes())
    again(TEXT)
    assert asked == [*LABELS, "award"]


def test_pipeline_without_its_label_encoder(folders, tmp_path):
    nlp = make(folders, "bi_span")
    expected = spans(nlp(TEXT))
    nlp.to_disk(tmp_path / "whole")
    nlp.get_pipe("gliner").drop_label_encoder()
    nlp.to_disk(tmp_path / "part")
    again = spacy.load(tmp_path / "part")
    assert spans(again(TEXT)) == spans(nlp(TEXT)) == expected
    weights = "gliner/model/model.safetensors"
    sizes = [(tmp_path / name / weights).stat().st_size for name in ("part", "whole")]
    assert sizes[0] < sizes[1] * 0.7
    with pytest.raises(ValueError, match="SM110"):
        again(TEXT, component_cfg={"gliner": {"labels": ["award"]}})
    with pytest.raises(ValueError, match="SM110"):
        make(folders).get_pipe("gliner").drop_label_encoder()


def gold(nlp):
    """Docs that say what the pipeline itself says, but for one entity."""
    docs = []
    for text in (TEXT, TEXTS[4]):
        found = nlp(text)
        doc = nlp.make_doc(text)
        doc.spans["sc"] = [Span(doc, s.start, s.end, s.label) for s in found.spans["sc"]]
        doc.ents = [Span(doc, s.start, s.end, s.label) for s in list(found.ents)[1:]]
        docs.append(doc)
    return docs


def test_scores_of_entities_and_spans(nlp):
    docs = gold(nlp)
    scores = nlp.evaluate([Example(nlp.make_doc(doc.text), doc) for doc in docs])
    assert scores["spans_sc_f"] == 1.0
    assert scores["ents_r"] == 1.0
    assert scores["ents_p"] < 1.0


@pytest.mark.parametrize("has_group", [True, False])
def test_find_threshold(nlp, tmp_path, has_group):
    """Entities are enough to score the group."""
    from spacy.cli.find_threshold import find_threshold

    docs = gold(nlp)
    for doc in docs:
        if not has_group:
            doc.ents = spacy.util.filter_spans(doc.spans.pop("sc"))
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    nlp.to_disk(tmp_path / "pipeline")
    best, score, scores = find_threshold(
        tmp_path / "pipeline",
        tmp_path / "dev.spacy",
        pipe_name="gliner",
        threshold_key="threshold",
        scores_key="spans_sc_f",
        n_trials=3,
    )
    assert scores[best] == score == max(scores.values())
    assert len(set(scores.values())) > 1


SCRIPT = """
import multiprocessing, sys
import torch
torch.set_num_threads(2)
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    import spacy
    nlp = spacy.load(sys.argv[1])
    texts = {texts!r} * 3
    def found(doc):
        group = doc.spans["sc"]
        return [(s.start, s.end, s.label_) for s in group], group.attrs["chars"]
    expected = [found(nlp(text)) for text in texts]
    assert [found(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=4)] == expected
    print("as one process")
"""


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_two_processes_agree_with_one(nlp, tmp_path, method):
    nlp.to_disk(tmp_path / "pipeline")
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(texts=TEXTS), encoding="utf8")
    command = [sys.executable, str(script), str(tmp_path / "pipeline"), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert "as one process" in done.stdout, done.stderr


def test_convert_command(folders, tmp_path):
    result = CliRunner().invoke(app, ["convert-gliner", str(folders / "bi_span"), str(tmp_path)])
    assert result.exit_code == 0, result.output
    expected = spans(make(folders, "bi_span")(TEXT))
    assert spans(make(tmp_path.parent, tmp_path.name)(TEXT)) == expected
    result = CliRunner().invoke(app, ["convert-gliner", str(tmp_path), str(tmp_path)])
    assert result.exit_code == 1
    assert "SM113" in result.output


@pytest.mark.slow
def test_commands_of_spacy(nlp, tmp_path):
    def run(*command):
        done = subprocess.run(
            [sys.executable, "-m", "spacy", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    DocBin(docs=gold(nlp)).to_disk(tmp_path / "dev.spacy")
    nlp.to_disk(tmp_path / "pipeline")
    run("evaluate", "pipeline", "dev.spacy", "--output", "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["spans_sc_f"] == 1.0
    assert scores["ents_f"] > 0.5
    corpus = {"paths.train": "dev.spacy", "paths.dev": "dev.spacy"}
    options = [part for key, value in corpus.items() for part in (f"--{key}", value)]
    run("debug", "config", "pipeline/config.cfg", *options)
    run("package", "pipeline", ".", "--name", "try", "--build", "wheel", "--force")
    (wheel,) = tmp_path.rglob("*.whl")
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    code = f"import en_try; print([e.text for e in en_try.load()({TEXT!r}).ents])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=target, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str([ent.text for ent in nlp(TEXT).ents]), done.stderr
