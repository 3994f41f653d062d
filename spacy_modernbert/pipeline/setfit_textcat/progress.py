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
    def regressions(self) -> Iterator[Callable[[int], object] | None]:
        """Yield what moves a bar by a number of regressions, None without one."""
        with self._bar(None, "classifier", "fit") as progress:
            yield progress

    @contextmanager
    def texts(self, n: int, what: str) -> Iterator[Callable[[int], object] | None]:
        """Yield what moves a bar by a number of texts, None without one."""
        with self._bar(n, what, "text") as progress:
            yield progress

    @contextmanager
    def _bar(
        self, total: int | None, what: str, unit: str
    ) -> Iterator[Callable[[int], object] | None]:
        if not self.is_shown:
            yield None
            return
        from tqdm import tqdm

        description = f"{self.name}: {what}"
        with tqdm(total=total, desc=description, unit=unit, delay=_DELAY) as bar:
            yield bar.update
