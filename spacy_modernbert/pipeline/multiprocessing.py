"""Torch in forked processes, such as the workers of ``nlp.pipe(n_process=2)``."""

from __future__ import annotations

import functools
import os

import torch

_IMPORTED_IN = os.getpid()


def limit_threads_after_fork() -> None:
    """Limit torch to one thread if this process was forked after this module was imported.

    A fork copies the state of a thread pool but not its threads. Once torch has used its pool in
    the parent, a child that uses the pool waits forever; with one thread torch needs no pool.
    Components call this before they use a network. The parent, spawned processes, and forked
    processes that never run a component keep their threads.
    """
    pid = os.getpid()
    if pid != _IMPORTED_IN:
        _limit_threads(pid)


@functools.cache
def _limit_threads(pid: int) -> None:
    """Set the number of threads, once in each process: the user may raise it afterwards."""
    torch.set_num_threads(1)
