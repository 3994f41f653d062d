"""What torch and tokenizers need to survive ``nlp.pipe(n_process=2)`` where workers are forked."""

from __future__ import annotations

import functools
import os

import torch

_VARIABLE = "TOKENIZERS_PARALLELISM"


@functools.cache
def guard_forks() -> None:
    """Let forked processes use torch on one thread and tokenizers without threads.

    A fork copies the state of a thread pool but not its threads. Once torch has computed anything
    in the parent, a child that uses its pool waits for ever; with one thread it needs no pool.
    Tokenizers takes the same precaution by itself, but prints a warning unless told beforehand.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
        guard = _Guard()
        os.register_at_fork(
            before=guard.before, after_in_parent=guard.in_parent, after_in_child=_one_thread
        )


class _Guard:
    """Sets the variable for the moment of the fork, and leaves the parent as it was."""

    def __init__(self) -> None:
        self.is_ours = False

    def before(self) -> None:
        self.is_ours = _VARIABLE not in os.environ
        os.environ.setdefault(_VARIABLE, "false")

    def in_parent(self) -> None:
        if self.is_ours:
            os.environ.pop(_VARIABLE, None)


def _one_thread() -> None:
    torch.set_num_threads(1)
