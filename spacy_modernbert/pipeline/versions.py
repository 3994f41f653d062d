"""A check that the installed spaCy, spacy-transformers and thinc are supported."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from ..errors import Errors

_CHECKED = ("spacy", "spacy-transformers", "thinc")


@functools.cache
def check_versions() -> None:
    """Compare the installed versions with those that this package requires, once.

    pip ensures them, unless a package was installed with ``--no-deps`` or spaCy was downgraded.
    Without this check, the first sign would be a missing argument somewhere in a config.

    Raises:
        ImportError: SM064 if spaCy, spacy-transformers or thinc is of another version.
    """
    try:
        compare(requires("spacy-modernbert") or ())
    except PackageNotFoundError:  # run from a folder that was never installed
        return


def compare(requirements: Iterable[str]) -> None:
    """Compare requirements with the installed versions.

    Raises:
        ImportError: SM064 for the first that is not met.
    """
    for requirement in map(Requirement, requirements):
        if requirement.name not in _CHECKED:
            continue
        found = version(requirement.name)
        if not requirement.specifier.contains(found, prereleases=True):
            needed = ",".join(sorted(map(str, requirement.specifier), reverse=True))
            message = Errors.SM064.format(name=requirement.name, needed=needed, found=found)
            raise ImportError(message)
