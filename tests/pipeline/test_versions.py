"""An old spaCy is named as what it is."""

import pytest
import spacy

from spacy_modernbert.pipeline import versions


def test_what_is_installed_will_do():
    versions.check_versions()
    versions.compare(["spacy>=3.8,<3.9", "torch>=99"], ["spacy"])  # torch is pip's business


MODERNBERT = {"@architectures": "spacy_modernbert.ModernBertModel.v1", "name": "any"}


@pytest.fixture(autouse=True)
def _forget():
    """Checks are made once a process; forget them around a test."""
    checks = (versions.check_versions, versions.check_transformers_versions)
    for check in checks:
        check.cache_clear()
    yield
    for check in checks:
        check.cache_clear()


def pretend(monkeypatch, name, found):
    real = versions.version
    monkeypatch.setattr(versions, "version", lambda n: found if n == name else real(n))


def test_an_older_spacy_is_refused(monkeypatch):
    """By every component that is created, before it fails in a way that nobody understands."""
    pretend(monkeypatch, "spacy", "3.5.4")
    for factory in ("modernbert", "gliner", "setfit_textcat"):
        with pytest.raises(ImportError, match=r"SM064.*3.5.4.*pip install 'spacy>="):
            spacy.blank("en").add_pipe(factory)
    with pytest.raises(ImportError, match="SM064"):
        spacy.blank("en").add_pipe("transformer", config={"model": MODERNBERT})


def test_an_older_spacy_transformers_is_refused_where_it_is_used(monkeypatch):
    pretend(monkeypatch, "spacy-transformers", "1.2.5")
    with pytest.raises(ImportError, match=r"SM064.*1.2.5.*pip install 'spacy-transformers>="):
        spacy.blank("en").add_pipe("modernbert")
    with pytest.raises(ImportError, match="SM064"):
        spacy.blank("en").add_pipe("transformer", config={"model": MODERNBERT})
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner", config={"labels": ["person"]})
    nlp.add_pipe("setfit_textcat")


def test_a_folder_that_was_never_installed_is_not_checked(monkeypatch):
    def missing(name):
        raise versions.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "requires", missing)
    versions.check_versions()
    versions.check_transformers_versions()
