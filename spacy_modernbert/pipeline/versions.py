"""Checks that the installed spaCy, thinc and spacy-transformers are supported."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from ..errors import Errors

_EVERYWHERE = ("spacy", "thinc")
_SHARED_ENCODER = (*_EVERYWHERE, "spacy-transformers")


@functools.cache
def check_versions() -> None:
    """Compare the installed versions with those that this package requires, once.

    pip ensures them, unless a package was installed with ``--no-deps`` or spaCy was downgraded.
    Without this check, the first sign would be a missing argument somewhere in a config.

    Raises:
        ImportError: SM064 if spaCy or thinc is of another version.
    """
    compare(_requirements(), _EVERYWHERE)


@functools.cache
def check_transformers_versions() -> None:
    """Compare the versions that the shared encoder needs: spacy-transformers', too.

    Raises:
        ImportError: SM064 if spaCy, thinc or spacy-transformers is of another version.
    """
    compare(_requirements(), _SHARED_ENCODER)


def _requirements() -> Iterable[str]:
    try:
        return requires("spacy-modernbert") or ()
    except PackageNotFoundError:  # run from a folder that was never installed
        return ()


def compare(requirements: Iterable[str], names: Collection[str]) -> None:
    """Compare requirements with the installed versions.

    Args:
        requirements: Requirements as in the metadata of a package.
        names: Packages to compare; the others are pip's business.

    Raises:
        ImportError: SM064 for the first that is not met.
    """
    for requirement in map(Requirement, requirements):
        if requirement.name not in names:
            continue
        found = version(requirement.name)
        if not requirement.specifier.contains(found, prereleases=True):
            needed = ",".join(sorted(map(str, requirement.specifier), reverse=True))
            message = Errors.SM064.format(name=requirement.name, needed=needed, found=found)
            raise ImportError(message)
