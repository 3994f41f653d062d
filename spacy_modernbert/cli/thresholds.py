"""A command that finds the best threshold of each label on annotated texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Span
    from spacy.training import Example

    from ..gliner.training.thresholds import Choice

# Spans with a lower score are ignored, whatever the label.
_MIN_SCORE = 0.02


def thresholds(
    pipeline: Annotated[str, typer.Argument(help="Package or folder of a pipeline with gliner")],
    data: Annotated[
        Path, typer.Argument(help="Annotated texts in spaCy's format, not the test set")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to save to")] = None,
    component: Annotated[
        str, typer.Option("--component", "-c", help="Name of the pipe")
    ] = "gliner",
) -> None:
    """Find the threshold of each label that gives it the best F, and save the pipeline with them.

    The thresholds go into the config as label_thresholds. Nothing is saved if the overall F does
    not improve.
    """
    import spacy
    from wasabi import msg

    if not data.exists():
        msg.fail("Can't find the file", str(data), exits=1)
    try:
        nlp = spacy.load(pipeline)
        pipe: Any = nlp.get_pipe(component)
    except (KeyError, OSError, ValueError) as error:
        msg.fail(f"Can't load {pipeline}", str(error).strip('"'), exits=1)
    if not hasattr(pipe, "cfg") or "label_thresholds" not in pipe.cfg:
        msg.fail(f"'{component}' has no label_thresholds", "Name a gliner component", exits=1)
    examples = _examples(nlp, data)
    before = _score(nlp, examples, component)
    choices = choose_thresholds(nlp, examples, component)
    found = {label: round(choice.threshold, 4) for label, choice in choices.items()}
    changed = {"components": {component: {"label_thresholds": found}}}
    tuned = spacy.load(pipeline, config=changed)
    after = _score(tuned, examples, component)
    header = ("label", "threshold", "F before", "F after")
    rows = [
        (label, f"{found[label]:.3f}", _percent(before[1], label), _percent(after[1], label))
        for label in found
    ]
    rows.append(("all", "", f"{100 * before[0]:.1f}", f"{100 * after[0]:.1f}"))
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    if after[0] <= before[0]:
        msg.warn("These thresholds are no better together: nothing is saved")
    elif output is None:
        msg.info("Give --output to save a pipeline with these thresholds")
    else:
        tuned.to_disk(output)
        msg.good(f"Saved a pipeline with these thresholds to {output}")


def choose_thresholds(nlp: Language, examples: list[Example], component: str) -> dict[str, Choice]:
    """Choose the threshold of each label independently.

    Args:
        nlp: The pipeline.
        examples: Annotated texts.
        component: Name of the gliner component; its thresholds are restored.

    Returns:
        Label -> the threshold with the best F.
    """
    import numpy as np

    from ..gliner.training.thresholds import choose_threshold

    pipe: Any = nlp.get_pipe(component)
    kept = pipe.cfg
    key = kept["spans_key"] or "sc"
    changed: dict[str, Any] = {"threshold": _MIN_SCORE, "label_thresholds": {}, "spans_key": key}
    pipe.cfg = {**kept, **changed}
    scores: dict[str, list[float]] = {label: [] for label in pipe.labels}
    is_right: dict[str, list[bool]] = {label: [] for label in pipe.labels}
    n_gold = dict.fromkeys(pipe.labels, 0)
    try:
        for example, doc in zip(examples, _predict(nlp, examples, component), strict=True):
            gold = set(_gold(example.reference, key))
            for _, _, label in gold:
                n_gold[label] = n_gold.get(label, 0) + 1
            for span, score in zip(doc.spans[key], doc.spans[key].attrs["scores"], strict=True):
                scores[span.label_].append(float(score))
                is_right[span.label_].append(_characters(span) in gold)
    finally:
        pipe.cfg = kept
    return {
        label: choose_threshold(
            np.array(scores[label]),
            np.array(is_right[label], dtype=np.bool_),
            n_gold[label],
            default=kept["label_thresholds"].get(label, pipe.threshold),
        )
        for label in pipe.labels
    }


def _examples(nlp: Language, data: Path) -> list[Example]:
    from spacy.training import Corpus

    return list(Corpus(data)(nlp))


def _predict(nlp: Language, examples: list[Example], component: str) -> Iterable[Doc]:
    """Annotate the texts with all components up to and including one."""
    later = nlp.pipe_names[nlp.pipe_names.index(component) + 1 :]
    docs = [example.predicted.copy() for example in examples]
    return list(nlp.pipe(docs, disable=later))


def _gold(doc: Doc, key: str) -> Iterable[tuple[int, int, str]]:
    spans: Iterable[Span] = doc.spans.get(key, doc.ents)
    return [_characters(span) for span in spans]


def _characters(span: Any) -> tuple[int, int, str]:
    return span.start_char, span.end_char, span.label_


def _score(
    nlp: Language, examples: list[Example], component: str
) -> tuple[float, dict[str, dict[str, float]]]:
    """F of all labels together, and the scores of each."""
    from spacy.training import Example

    pipe: Any = nlp.get_pipe(component)
    docs = _predict(nlp, examples, component)
    pairs = [Example(d, e.reference) for d, e in zip(docs, examples, strict=True)]
    scores = pipe.score(pairs)
    key = pipe.cfg["spans_key"]
    name = f"spans_{key}" if scores.get(f"spans_{key}_f") is not None else "ents"
    return scores.get(f"{name}_f") or 0.0, scores.get(f"{name}_per_type") or {}


def _percent(per_type: dict[str, dict[str, float]], label: str) -> str:
    return f"{100 * per_type[label]['f']:.1f}" if label in per_type else "-"
