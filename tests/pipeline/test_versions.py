"""An old spaCy is named as what it is."""

import pytest
import spacy

from spacy_modernbert.pipeline import versions


def test_what_is_installed_will_do():
    versions.check_versions()
    versions.compare(["spacy>=3.8,<3.9", "torch>=99"])  # torch is pip's business


@pytest.mark.parametrize(("name", "found"), [("spacy", "3.5.4"), ("spacy-transformers", "1.2.5")])
def test_an_older_one_is_refused(monkeypatch, name, found):
    """By every component that is created, before it fails in a way that nobody understands."""
    real = versions.version
    monkeypatch.setattr(versions, "version", lambda n: found if n == name else real(n))
    versions.check_versions.cache_clear()
    try:
        for factory in ("modernbert", "gliner", "setfit_textcat"):
            with pytest.raises(ImportError, match=rf"SM064.*{found}.*pip install '{name}>="):
                spacy.blank("en").add_pipe(factory)
        model = {"@architectures": "spacy_modernbert.ModernBertModel.v1", "name": "any"}
        with pytest.raises(ImportError, match="SM064"):
            spacy.blank("en").add_pipe("transformer", config={"model": model})
    finally:
        versions.check_versions.cache_clear()


def test_a_folder_that_was_never_installed_is_not_checked(monkeypatch):
    def missing(name):
        raise versions.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "requires", missing)
    versions.check_versions.cache_clear()
    versions.check_versions()
    versions.check_versions.cache_clear()
