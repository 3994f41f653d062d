"""GLiNER systems that run the same checkpoint on the same texts: ours, gliner, gliner-spacy.

Every system gets the same folder, texts, labels and threshold, and returns its entities as
(start, end, label) in characters.
"""

from __future__ import annotations

import sys
import time
import types
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timing import measure_seconds

if TYPE_CHECKING:
    import torch
    from spacy.language import Language


@dataclass(frozen=True)
class Task:
    """Texts, labels and threshold of one measurement."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    threshold: float = 0.5


Entities = list[list[tuple[int, int, str]]]
System = Callable[[Task], Entities]


def load_pipeline(folder: Path) -> Language:
    """Make a pipeline with our component."""
    import spacy

    nlp = spacy.blank("en")
    # With upstream's words both systems read the same, and must find the same.
    config = {"labels": ["x"], "words": "gliner", "model": {"name": str(folder)}, "device": "cpu"}
    nlp.add_pipe("gliner", config=config)
    nlp.initialize()
    return nlp


def run_pipeline(nlp: Language, task: Task) -> Entities:
    """Run our component, from texts to annotated Docs."""
    cfg = {"gliner": {"labels": list(task.labels), "threshold": task.threshold}}
    docs = nlp.pipe(task.texts, component_cfg=cfg)
    return [
        [
            (*offsets, span.label_)
            for span, offsets in zip(doc.spans["sc"], doc.spans["sc"].attrs["chars"], strict=True)
        ]
        for doc in docs
    ]


def make_ours(folder: Path) -> System:
    """Load our component."""
    return partial(run_pipeline, load_pipeline(folder))


def make_upstream(
    folder: Path, attention: str | None = None, *, keeps_labels: bool = False
) -> System:
    """Load upstream gliner, which makes no Docs and runs in batches of 8 by default."""
    import torch
    from gliner import GLiNER

    model = GLiNER.from_pretrained(
        str(folder), local_files_only=True, _attn_implementation=attention
    )
    label_vectors: dict[tuple[str, ...], torch.Tensor] = {}

    def run(task: Task) -> Entities:
        texts, labels, options = list(task.texts), list(task.labels), {}
        if keeps_labels:
            if task.labels not in label_vectors:
                label_vectors[task.labels] = model.encode_labels(labels)
            options["labels_embeds"] = label_vectors[task.labels]
        with torch.inference_mode():
            found = model.inference(texts, labels, threshold=task.threshold, **options)
        return [[(e["start"], e["end"], e["label"]) for e in text] for text in found]

    return run


def make_gliner_spacy(folder: Path, installed: Path) -> System:
    """Load gliner-spacy from a folder of its own, because spaCy imports it in every process else.

    It loads the backbone's tokenizer, which lacks the markers, and then finds nothing; here it
    loads the checkpoint's own one. Empty modules replace the plotting libraries that it imports.
    """
    import spacy
    from gliner import GLiNER

    sys.path.append(str(installed))
    for name in ("seaborn", "matplotlib", "matplotlib.pyplot"):
        sys.modules.setdefault(name, types.ModuleType(name))
    from gliner_spacy import pipeline

    class Loader:
        @staticmethod
        def from_pretrained(name: str, **_: Any) -> Any:
            return GLiNER.from_pretrained(name, local_files_only=True)

    pipeline.GLiNER = Loader
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("gliner_spacy", config={"gliner_model": str(folder)})

    def run(task: Task) -> Entities:
        pipe.labels, pipe.threshold = list(task.labels), task.threshold
        docs = nlp.pipe(task.texts)
        return [[(e.start_char, e.end_char, e.label_) for e in doc.ents] for doc in docs]

    return run


def make_system(name: str, folder: Path, gliner_spacy: Path) -> System:
    """Load a system by its name in the table; ``gliner_spacy`` is where that one is installed."""
    warnings.simplefilter("ignore")
    if name == "gliner-spacy":
        return make_gliner_spacy(folder, gliner_spacy)
    makers: dict[str, Callable[[Path], System]] = {
        "ours": make_ours,
        "gliner": make_upstream,
        "gliner, sdpa": partial(make_upstream, attention="sdpa"),
        "gliner, kept labels": partial(make_upstream, keeps_labels=True),
    }
    return makers[name](folder)


def count_words(text: str) -> int:
    """Return the number of words of a text, as upstream splits it."""
    from spacy_modernbert.gliner.inference.words import split_words

    return len(split_words(text).words)


def find_threshold(folder: Path, texts: Sequence[str], labels: Sequence[str], n: int) -> float:
    """Return the threshold above which texts have ``n`` candidates each, on average."""
    import numpy as np

    from spacy_modernbert.gliner.checkpoint.serialization import load_gliner
    from spacy_modernbert.gliner.inference.predict import find_spans
    from spacy_modernbert.gliner.inference.sequences import SplitText
    from spacy_modernbert.gliner.inference.words import split_words

    words = [SplitText(split_words(text).words) for text in texts]
    found = find_spans(load_gliner(folder), words, list(labels), thresholds=0.0)
    scores = np.sort(np.concatenate([c.scores for c in found]))
    return float(scores[-min(n * len(texts), len(scores))])


def decoding_share(folder: Path, task: Task) -> tuple[float, float]:
    """Return the shares of our time that choosing spans, and everything after the network, take."""
    from spacy_modernbert.pipeline.gliner import component as module

    nlp = load_pipeline(folder)
    pipe: Any = nlp.get_pipe("gliner")
    spent = {"decode": 0.0, "set_annotations": 0.0}

    def timed(function: Callable, name: str) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            result = function(*args, **kwargs)
            spent[name] += time.process_time() - start
            return result

        return call

    run_pipeline(nlp, task)
    module.decode = timed(module.decode, "decode")
    pipe.set_annotations = timed(pipe.set_annotations, "set_annotations")
    whole = measure_seconds(partial(run_pipeline, nlp, task), time.process_time)
    return spent["decode"] / whole, sum(spent.values()) / whole
