"""The factory of ``modernbert``.

spaCy imports this file whenever a pipeline is created, so torch is imported only when a component
is.
"""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable
from typing import TYPE_CHECKING

from spacy.language import Language
from thinc.api import Config, Model

from ..versions import check_versions

if TYPE_CHECKING:
    from .component import ModernBertTransformer

DEFAULT_MODERNBERT = """
[modernbert]
max_batch_items = 4096
annotate_tensor = false

[modernbert.set_extra_annotations]
@annotation_setters = "spacy-transformers.null_annotation_setter.v1"

[modernbert.model]
@architectures = "spacy_modernbert.ModernBertModel.v1"
name = "answerdotai/ModernBERT-base"
max_length = null
overlap = null
precision = "float32"
"""


@Language.factory(
    "modernbert",
    assigns=["doc._.trf_data", "doc.tensor"],
    default_config=Config().from_str(DEFAULT_MODERNBERT)["modernbert"],
)
def make_modernbert(
    nlp: Language,
    name: str,
    model: Model,
    set_extra_annotations: Callable,
    max_batch_items: int,
    annotate_tensor: bool,
) -> "ModernBertTransformer":
    """Create the stock ``transformer`` component with our defaults and spaCy's error handling.

    Args:
        nlp: The pipeline.
        name: The component's name.
        model: Docs to a batch of vectors, such as ``spacy_modernbert.ModernBertModel.v1``.
        set_extra_annotations: Called with the Docs and the batch, after ``doc._.trf_data`` is set.
        max_batch_items: Most tokens of a batch, counted as if all its Docs were as long as the
            longest.
        annotate_tensor: Whether the mean of each token's pieces goes to ``doc.tensor``, where
            ``doc.vector``, ``token.vector`` and ``doc.similarity`` find it.
    """
    from .component import ModernBertTransformer

    check_versions()
    return ModernBertTransformer(
        nlp.vocab,
        model,
        set_extra_annotations,
        name=name,
        max_batch_items=max_batch_items,
        annotate_tensor=annotate_tensor,
    )
