"""Reads the pickled classifier of a setfit checkpoint without running anything that is in it.

A pickle is a program for a small machine that may name any function of any library and call it.
Here it may name a few classes only; those of scikit-learn and joblib are replaced by empty boxes
that keep their attributes, so no code of either library runs, whatever its version. Anything else
ends the reading.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...errors import Errors

REGRESSION = "LogisticRegression"
ONE_VS_REST = "OneVsRestClassifier"
MULTI_OUTPUT = "MultiOutputClassifier"
CONSTANT = "_ConstantPredictor"
BINARIZER = "LabelBinarizer"
_ESTIMATORS = {
    "sklearn.linear_model._logistic": (REGRESSION,),
    "sklearn.linear_model.logistic": (REGRESSION,),
    "sklearn.multiclass": (ONE_VS_REST, CONSTANT),
    "sklearn.multioutput": (MULTI_OUTPUT,),
    "sklearn.preprocessing._label": (BINARIZER,),
    "sklearn.preprocessing.label": (BINARIZER,),
}
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
# Booleans, integers, floats, bytes and texts: nothing that could hold an object.
_PLAIN = "biufSU"


class Box:
    """Stands for an object of another library; holds its attributes and does nothing."""

    kind = ""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"the state of {self.kind} is no dictionary")
        self.__dict__.update(state)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute of the object that was pickled."""
        return self.__dict__.get(name, default)


class ArrayBox(Box):
    """Stands for joblib's note that the bytes of an array follow."""

    kind = "NumpyArrayWrapper"

    def read(self, file: io.BufferedIOBase) -> np.ndarray:
        """Read the array from the file, which is at the first byte after the note."""
        dtype, shape = self.get("dtype"), tuple(int(n) for n in self.get("shape", ()))
        if not isinstance(dtype, np.dtype) or dtype.kind not in _PLAIN:
            raise pickle.UnpicklingError(f"an array of {dtype} holds more than numbers and texts")
        if self.get("numpy_array_alignment_bytes") is not None:
            file.read(int.from_bytes(file.read(1), "little"))
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        content = file.read(size) if size >= 0 else b""
        if len(content) != size:
            raise pickle.UnpicklingError("the file ends within an array")
        flat = np.frombuffer(content, dtype=dtype)
        return flat.reshape(shape[::-1]).T if self.get("order") == "F" else flat.reshape(shape)


def _dtype(*args: Any) -> np.dtype:
    """Build a dtype of plain values from the arguments that numpy pickles it with."""
    dtype = np.dtype(args[0]) if args and isinstance(args[0], str) else None
    if dtype is None or dtype.kind not in _PLAIN:
        raise pickle.UnpicklingError(f"arrays of {args!r:.60} are not read")
    return dtype


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes):
        raise pickle.UnpicklingError("a number of an unknown kind")
    return np.frombuffer(content, dtype=dtype, count=1)[0]


# What a name in the pickle stands for.
_ALLOWED: dict[tuple[str, str], Any] = {
    **{
        (module, name): type(name, (Box,), {"kind": name})
        for module, names in _ESTIMATORS.items()
        for name in names
    },
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): ArrayBox,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): "numpy.ndarray",  # a mere word: only joblib's note mentions it
    **{(module, "scalar"): _scalar for module in _MULTIARRAY},
}


class _Reader(pickle._Unpickler):  # type: ignore[name-defined]
    """The unpickler written in Python, as joblib's: its BUILD has to read the arrays in between."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore
    stack: list[Any]

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__(file)
        self.source = file

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it wants to use {module}.{name}") from None

    def load_build(self) -> None:
        state = self.stack.pop()
        built = self.stack[-1]
        if isinstance(built, np.dtype):  # byte order and alignment; other orders are not written
            _require_native(state)
        elif isinstance(built, Box):
            built.__setstate__(state)
        else:
            raise pickle.UnpicklingError(f"a {type(built).__name__} with a state")
        if isinstance(built, ArrayBox):
            self.stack[-1] = built.read(self.source)

    dispatch[pickle.BUILD[0]] = load_build


def _require_native(state: Any) -> None:
    """Refuse a dtype whose state makes it another one than its name says."""
    if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", "|", "="):
        raise pickle.UnpicklingError("an array in a foreign byte order")
    if any(part is not None for part in state[2:5]):
        raise pickle.UnpicklingError("an array of records")


def read_pickled_head(path: Path) -> Box:
    """Read a pickled estimator as a box of attributes.

    Its ``kind`` is one of `REGRESSION`, `ONE_VS_REST` and `MULTI_OUTPUT`.

    Raises:
        ValueError: SM220 where it is anything else, or not only that.
    """
    try:
        with path.open("rb") as file:
            head = _Reader(file).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(Errors.SM220.format(path=path, reason=error or "damaged")) from error
    if not isinstance(head, Box) or head.kind not in (REGRESSION, ONE_VS_REST, MULTI_OUTPUT):
        kind = head.kind if isinstance(head, Box) else type(head).__name__
        raise ValueError(Errors.SM220.format(path=path, reason=f"it holds a {kind}"))
    return head
