"""Progress bars of `fit`, which also cover what comes before and after the steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Seconds after which a bar appears for texts that are read or encoded.
_DELAY = 1.0


@dataclass(frozen=True)
class Progress:
    """Makes progress bars, or none.

    Attributes:
        name: Name of the component.
        is_shown: Whether there are bars.
    """

    name: str = ""
    is_shown: bool = False

    def steps(self, n: int) -> Collection[int]:
        """Return the numbers of steps, with a bar that follows their use."""
        if not self.is_shown:
            return range(n)
        from tqdm import tqdm  # type: ignore[import-untyped]

        steps: Collection[int] = tqdm(range(n), desc=self.name, unit="step")
        return steps

    @contextmanager
    def texts(self, n: int, what: str) -> Iterator[Callable[[int], object] | None]:
        """Yield what moves the bar by a number of texts, None without one."""
        if not self.is_shown:
            yield None
            return
        from tqdm import tqdm

        description = f"{self.name}: {what}"
        with tqdm(total=n, desc=description, unit="text", delay=_DELAY) as bar:
            yield bar.update
