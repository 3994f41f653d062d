"""The page of all settings is the one that the classes give."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def settings_tables(monkeypatch, root):
    monkeypatch.setattr(sys, "path", [str(root / "scripts"), *sys.path])
    import settings_tables

    return settings_tables


def test_page_is_current(settings_tables, root):
    """Else: python scripts/settings_tables.py docs/settings.md."""
    assert (root / "docs" / "settings.md").read_text(encoding="utf8") == settings_tables.render()


def test_every_setting_is_described(settings_tables):
    for path, block in settings_tables.BLOCKS:
        for name, field in block.model_fields.items():
            nested = isinstance(field.annotation, type) and hasattr(
                field.annotation, "model_fields"
            )
            assert field.description or nested, f"{path}.{name}"


def test_every_block_is_that_of_its_factory(settings_tables):
    import spacy

    nlp = spacy.blank("en")
    for path, block in settings_tables.BLOCKS:
        first, factory, *rest = path.split(".")
        if first != "components":
            continue
        default = nlp.get_factory_meta(factory).default_config
        for name in rest:
            default = default[name]
        expected = block().model_dump(mode="json")
        assert {name: default[name] for name in expected} == expected
