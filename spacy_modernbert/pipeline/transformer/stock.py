"""All that the package takes from spacy-transformers, and a message where that is missing."""

from __future__ import annotations

from ...errors import Errors

try:
    from spacy_transformers import Transformer
    from spacy_transformers.annotation_setters import null_annotation_setter
    from spacy_transformers.data_classes import (
        FullTransformerBatch,
        TransformerData,
        WordpieceBatch,
    )
    from spacy_transformers.layers import TransformerListener, split_trf_batch, trfs2arrays
    from spacy_transformers.layers.listener import forward as stock_forward
    from spacy_transformers.pipeline_component import install_extensions as install_stock_extensions
    from transformers.utils import ModelOutput
except ImportError as error:
    # spacy-transformers 1.4 is not only missing at times: under transformers 5 its import fails.
    raise ImportError(Errors.SM031.format(reason=error)) from error

__all__ = [
    "FullTransformerBatch",
    "ModelOutput",
    "Transformer",
    "TransformerData",
    "TransformerListener",
    "WordpieceBatch",
    "install_stock_extensions",
    "null_annotation_setter",
    "split_trf_batch",
    "stock_forward",
    "trfs2arrays",
]
