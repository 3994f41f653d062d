"""The name of a checkpoint in the place of a model, a mistake in many first configs."""

from __future__ import annotations

from thinc.api import Model

from ..errors import Errors


def read_model(model: Model | str, name: str) -> Model:
    """Return the model of a component; ValueError SM166 where it is a mere name.

    spaCy would say of it that it is no Model, and not what to write.
    """
    if isinstance(model, str):
        raise ValueError(Errors.SM166.format(name=name, model=model))
    return model
