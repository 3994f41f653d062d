"""Networks built without random weights, for checkpoints that bring all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

# Methods of tensors, and the functions of torch.nn.init that torch hands to a mode whole.
_RANDOM_FILLS = frozenset(
    {
        "normal_",
        "uniform_",
        "erfinv_",
        "random_",
        "bernoulli_",
        "exponential_",
        "log_normal_",
        "cauchy_",
        "geometric_",
        "trunc_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "xavier_uniform_",
        "xavier_normal_",
    }
)


class SkipRandomInit(TorchFunctionMode):
    """Context in which random fills of tensors do nothing, in this thread only.

    Parameters are allocated and left as they are, so building a network costs next to nothing.
    Buffers that are computed, such as position ids, get their values, which they would not on the
    meta device. Functions of torch are not patched: other threads, and the random generators,
    notice nothing.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the tensor of a random fill unchanged; call all other functions."""
        options = kwargs or {}
        if getattr(func, "__name__", "") in _RANDOM_FILLS:
            return args[0] if args else options["tensor"]
        return func(*args, **options)
