"""The ``setfit_textcat`` component."""
