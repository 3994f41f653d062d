"""A command that shows what corpora hold for our components.

`spacy debug data` knows the factories of spaCy only. For ours it checks no more than that they can
be initialized.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example

# (component, training examples, examples to evaluate with)
Report = Callable[[Any, Sequence["Example"], Sequence["Example"]], None]


def debug_data(
    ctx: typer.Context,
    config: Annotated[
        Path,
        typer.Argument(help="Config of a training; options such as --paths.train override it"),
    ],
    code: Annotated[
        Path | None, typer.Option("--code", "-c", help="Python file with functions of the config")
    ] = None,
) -> None:
    """Show what the corpora of a config hold for gliner and setfit_textcat.

    The pipeline is initialized, so that all errors that a training would begin with come up.
    """
    from spacy.cli._util import import_code, parse_config_overrides
    from wasabi import msg

    import_code(code)
    nlp, train, dev = _load(config, parse_config_overrides(ctx.args))
    reports = _reports()
    ours = [
        (name, reports[factory])
        for name in nlp.pipe_names
        if (factory := nlp.get_pipe_meta(name).factory) in reports
    ]
    msg.divider("Corpora")
    msg.text(f"{len(train)} training examples, {len(dev)} to evaluate with")
    overlap = {eg.reference.text for eg in train} & {eg.reference.text for eg in dev}
    if overlap:
        msg.warn(f"{len(overlap)} texts are in both corpora")
    if not dev:
        msg.fail("There are no examples to evaluate with")
    if not ours:
        msg.warn(f"The pipeline has none of {', '.join(reports)}", "Use `spacy debug data`")
    for name, report in ours:
        msg.divider(name)
        report(nlp.get_pipe(name), train, dev)


def _load(path: Path, overrides: dict[str, Any]) -> tuple[Language, list[Example], list[Example]]:
    """Load config, corpora and pipeline; exit where one can't be used."""
    from spacy import util
    from spacy.schemas import ConfigSchemaTraining
    from spacy.util import registry, resolve_dot_names
    from wasabi import msg

    if not path.is_file():
        msg.fail("Can't find the config", str(path), exits=1)
    try:
        loaded = util.load_config(path, overrides=overrides)
        nlp = util.load_model_from_config(loaded, auto_fill=True)
        config = nlp.config.interpolate()
        training = registry.resolve(config["training"], schema=ConfigSchemaTraining)
        names = [training["train_corpus"], training["dev_corpus"]]
        train_corpus, dev_corpus = resolve_dot_names(config, names)
        train, dev = list(train_corpus(nlp)), list(dev_corpus(nlp))
        nlp.initialize(lambda: train)
    except (KeyError, OSError, ValueError) as error:
        msg.fail("A training with this config can't begin", str(error), exits=1)
    return nlp, train, dev


def _reports() -> dict[str, Report]:
    """Return the report of each factory."""
    from .debug_gliner import report_gliner
    from .debug_setfit import report_setfit_textcat

    return {
        "gliner": report_gliner,
        "setfit_textcat": report_setfit_textcat,
        "setfit_textcat_multilabel": report_setfit_textcat,
    }
