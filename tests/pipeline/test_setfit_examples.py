"""The forms in which `setfit_textcat` takes annotated texts."""

import warnings
from functools import partial

import numpy as np
import pytest
from spacy.tokens import Doc
from spacy.training import Example

from .setfit_data import PAIRS, TOPICS, cats, gold, make

LABELS = tuple(TOPICS)
TEXTS = [text for text, _ in PAIRS]


def doc_of(nlp, text, label):
    doc = nlp.make_doc(text)
    doc.cats = {name: float(name == label) for name in LABELS}
    return doc


# Name of a form -> the arguments of `fit`.
FORMS = {
    "rows with a label": lambda nlp: ([{"text": t, "label": n, "id": 3} for t, n in PAIRS],),
    "rows with labels": lambda nlp: ([{"text": t, "labels": [n]} for t, n in PAIRS],),
    "rows with cats": lambda nlp: (
        [{"text": t, "cats": {m: m == n for m in LABELS}} for t, n in PAIRS],
    ),
    "texts by label": lambda nlp: (TOPICS,),
    "tuples by label": lambda nlp: ({n: tuple(texts) for n, texts in TOPICS.items()},),
    "generators by label": lambda nlp: ({n: iter(texts) for n, texts in TOPICS.items()},),
    "annotated Docs": lambda nlp: ([doc_of(nlp, t, n) for t, n in PAIRS],),
    "Examples": lambda nlp: (gold(nlp),),
    "spaCy's format": lambda nlp: (
        [(t, {"cats": {m: float(m == n) for m in LABELS}, "entities": []}) for t, n in PAIRS],
    ),
    "X and y": lambda nlp: (TEXTS, [n for _, n in PAIRS]),
    "arrays": lambda nlp: (np.array(TEXTS), np.array([n for _, n in PAIRS])),
    "Docs and lists": lambda nlp: ([nlp.make_doc(t) for t in TEXTS], [[n] for _, n in PAIRS]),
    "lists as pairs": lambda nlp: ([[t, n] for t, n in PAIRS],),
    "sets": lambda nlp: ([(t, {n}) for t, n in PAIRS],),
    "arrays of labels": lambda nlp: ([(t, np.array([n])) for t, n in PAIRS],),
    "a mixture": lambda nlp: ([{"text": TEXTS[0], "label": "food"}, *PAIRS[1:6], *gold(nlp)[6:]],),
    "a generator": lambda nlp: (iter(PAIRS),),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_teaches_the_same(checkpoint, form):
    nlp, other = make(checkpoint), make(checkpoint)
    given = FORMS[form](nlp)
    nlp.get_pipe("setfit").fit(*given, steps=0)
    other.get_pipe("setfit").fit(PAIRS, steps=0)
    assert cats(nlp) == cats(other)
    assert all(type(label) is str for label in nlp("text").cats)


@pytest.mark.parametrize("form", FORMS)
def test_set_support_and_dev_take_the_same_forms(checkpoint, form):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit")
    pipe.set_support(*FORMS[form](nlp))
    assert len(pipe.support) == len(PAIRS)
    given = FORMS[form](nlp)
    if len(given) == 1:
        pipe.fit(PAIRS, dev=given[0], steps=1, progress_bar=False)


@pytest.mark.parametrize("labels", [[0, 1], [7, -2], np.array([3, 4]), [True, False]])
def test_integers_are_labels(checkpoint, labels):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit").fit(["bread", "match"], labels, steps=0)
    assert pipe.labels == tuple(str(label) for label in labels)
    pipe = make(checkpoint).get_pipe("setfit")
    pipe.fit([{"text": "bread", "label": labels[0]}, ("match", labels[1])], steps=0)
    assert pipe.labels == tuple(str(label) for label in labels)


BAD = {
    "a string": "ok",
    "strings of two letters": ["ok", "no"],
    "a number": 3,
    "None": None,
    "a row without a label": [{"text": "a"}],
    "a row without a text": [{"label": "a"}],
    "a row with both": [{"text": "a", "label": "b", "labels": ["b"]}],
    "a single row": {"text": "some text", "label": "a"},
    "columns": {"text": ["a", "b"], "label": ["x", "y"]},
    "a mapping of texts to labels": {"some text": "a", "other text": "b"},
    "a mapping of a mapping": {"a": {"text": 1}},
    "a mapping of numbers": {"a": [1, 2]},
    "a float as label": [("a", 1.5)],
    "None as label": [("a", None)],
    "zeros and ones": [("a", [0, 1, 0])],
    "rows of an array": [("a", np.array([0, 1]))],
    "a label without texts": {"a": ["some text"], "b": []},
    "three parts": [("a", "b", "c")],
    "a set as pair": [{"a", "b"}],
    "bytes": [(b"a", "b")],
    "a label that is a tuple": [("a", {("x",): 1.0})],
}


@pytest.mark.parametrize("form", BAD)
@pytest.mark.parametrize("argument", ["fit", "set_support", "dev"])
def test_all_else_is_refused(checkpoint, form, argument):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit")
    call = partial(pipe.fit, PAIRS) if argument == "dev" else getattr(pipe, argument)
    given = {"dev": BAD[form]} if argument == "dev" else {"examples": BAD[form]}
    with pytest.raises(ValueError, match="SM233"):
        call(**given)
    assert pipe.labels == ()


def test_single_doc_is_no_list_of_examples(checkpoint):
    nlp = make(checkpoint)
    with pytest.raises(ValueError, match="SM233"):
        nlp.get_pipe("setfit").fit(doc_of(nlp, "a text of tokens", "food"))


def test_texts_and_labels_are_of_one_length(checkpoint):
    pipe = make(checkpoint).get_pipe("setfit")
    with pytest.raises(ValueError, match=r"SM217.*12 texts.*11 labels"):
        pipe.fit(TEXTS, [label for _, label in PAIRS[1:]])


@pytest.mark.parametrize("given", [(TOPICS, LABELS), (["a", "b", "c"], "xyz"), (["a"], {"a": "b"})])
def test_texts_and_labels_are_two_lists(checkpoint, given):
    with pytest.raises(ValueError, match="SM233"):
        make(checkpoint).get_pipe("setfit").fit(*given)


def test_text_under_two_labels_has_both(checkpoint):
    groups = {"food": ["bread by card", "soup"], "money": ["bread by card", "pay"]}
    pipe = make(checkpoint, multi_label=True).get_pipe("setfit").fit(groups, steps=0)
    labels = pipe.support.labels(multi_label=True)
    found = dict(zip(pipe.support.texts, labels.tolist(), strict=True))
    assert found == {"bread by card": [1.0, 1.0], "soup": [1.0, 0.0], "pay": [0.0, 1.0]}
    with pytest.raises(ValueError, match=r"E895.*'setfit_textcat_multilabel'"):
        make(checkpoint).get_pipe("setfit").fit(groups)


@pytest.mark.parametrize("label", ["", "  "])
def test_blank_labels_are_refused(checkpoint, label):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit")
    for call in (
        lambda: pipe.add_label(label),
        lambda: pipe.fit([("a text", label)]),
        lambda: pipe.fit([("a text", {label: 1.0})]),
        lambda: pipe.fit({label: ["a text"]}),
        lambda: nlp.initialize(lambda: gold(nlp, [("a text", label), ("b", "b")])),
        lambda: pipe.initialize(lambda: gold(nlp), labels=["a", label]),
    ):
        with pytest.raises(ValueError, match="SM212"):
            call()
    assert pipe.labels == ()


def test_strings_of_numpy_become_plain_ones(checkpoint):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit")
    pipe.add_label(np.str_("music"))
    pipe.fit([(np.str_(text), np.str_(label)) for text, label in PAIRS], steps=0)
    doc = nlp("hot bread")
    assert {type(label) for label in (*pipe.labels, *doc.cats, *pipe.support.texts)} == {str}
    assert Doc(nlp.vocab).from_bytes(doc.to_bytes()).cats == doc.cats


def test_examples_that_teach_nothing_are_counted(checkpoint):
    nlp = make(checkpoint, abstain_label="other")
    useless = [("", "food"), ("weather", "other"), nlp.make_doc("bare"), ("x", {"food": 0.0})]
    with pytest.warns(UserWarning, match=r"SMW235.*4 of 16 .*1 have no text, 1 have.*2 have none"):
        pipe = nlp.get_pipe("setfit").fit([*PAIRS, *useless], steps=0)
    assert len(pipe.support) == len(PAIRS)


def test_unknown_labels_in_dev_are_counted(checkpoint):
    pipe = make(checkpoint).get_pipe("setfit")
    dev = [*PAIRS[:5], ("a song", "music"), ("a wet day", "weather")]
    said = r"SMW234.*2 of 7 .*2 have labels.*\(music, weather\).* 5 texts are left"
    with pytest.warns(UserWarning, match=said):
        pipe.fit(PAIRS, dev=dev, steps=1, progress_bar=False)


def test_texts_of_dev_that_do_not_count_are_counted(checkpoint):
    nlp = make(checkpoint, abstain_label="other")
    dev = [*PAIRS[:5], ("weather", "other"), ("  ", "food"), nlp.make_doc("bare")]
    said = r"SMW234.*3 of 8.*0 have labels.*1 have no text, 1 have the label.*1 have no label.* 5 "
    with pytest.warns(UserWarning, match=said):
        nlp.get_pipe("setfit").fit(PAIRS, dev=dev, steps=1, progress_bar=False)


def test_updates_with_unknown_labels_are_announced_once(checkpoint):
    nlp = make(checkpoint)
    nlp.initialize(lambda: gold(nlp))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nlp.update([*gold(nlp), Example.from_dict(nlp.make_doc("not annotated"), {})])
        for _ in range(2):
            nlp.update([*gold(nlp), *gold(nlp, [("a song", "music")], ["music"])])
    said = [str(w.message) for w in caught if "SMW235" in str(w.message)]
    assert len(said) == 1
    assert "1 of 13 examples" in said[0]


def test_dev_without_a_known_label_is_refused_before_anything_changes(checkpoint):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit").fit(PAIRS, steps=0)
    before = cats(nlp)
    with pytest.raises(ValueError, match=r"SM236.*music.*food, sport, money"):
        pipe.fit([("a wet day", "weather")], dev=[("a song", "music")])
    assert cats(nlp) == before
    with pytest.raises(ValueError, match="SM236"):
        pipe.fit(PAIRS, dev=[nlp.make_doc("no annotation")])
