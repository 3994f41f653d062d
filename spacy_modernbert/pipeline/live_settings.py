"""The settings of a component, and what ``nlp.config`` says of them.

A setting that is changed after the component was created shows in ``nlp.config``, so the saved
config has it, too, and whoever loads the pipeline with another value gets that one.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from typing import Any

from spacy.language import Language


class ConfigEntry:
    """The part of ``nlp.config`` that belongs to a component.

    A copy, or what was pickled, belongs to no pipeline. Its changes are saved beside the config,
    with the values that the config has for them.

    Args:
        nlp: The pipeline.
        name: The component's name.
        values: The settings as the config has them.
    """

    def __init__(self, nlp: Language | None, name: str, values: Mapping[str, Any]) -> None:
        self._nlp = None if nlp is None else weakref.ref(nlp)
        self._name = name
        self._values = copy.deepcopy(dict(values))

    def show(self, setting: str, value: Any) -> None:
        """Put a value into ``nlp.config``, unless the component is in no pipeline."""
        nlp = None if self._nlp is None else self._nlp()
        if nlp is None or self._name not in nlp.component_names:
            return
        config = nlp.get_pipe_config(self._name)
        if setting in config:
            config[setting], self._values[setting] = copy.deepcopy([value, value])

    def changes(self, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the settings that differ from the config, and the config's values of them."""
        changed = {k: v for k, v in settings.items() if v != self._values.get(k)}
        return {"changed": changed, "configured": {k: self._values.get(k) for k in changed}}

    def accept(self, saved: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the saved changes of settings for which the config has the same value as then.

        Where it has another one, someone has loaded the pipeline with it, and it counts.
        """
        before = saved["configured"]
        return {k: v for k, v in saved["changed"].items() if before[k] == self._values.get(k)}

    def __reduce__(self) -> tuple[type[ConfigEntry], tuple[None, str, dict[str, Any]]]:
        return ConfigEntry, (None, self._name, self._values)


class LiveSettings(dict[str, Any]):
    """Settings by name. Each one that is set shows in ``nlp.config``."""

    def __init__(self, values: Mapping[str, Any], entry: ConfigEntry) -> None:
        super().__init__(values)
        self.entry = entry

    def __setitem__(self, setting: str, value: Any) -> None:
        """Change a setting."""
        super().__setitem__(setting, value)
        self.entry.show(setting, value)

    def update(self, *others: Any, **settings: Any) -> None:
        """Change settings; as ``dict.update``."""
        for setting, value in dict(*others, **settings).items():
            self[setting] = value

    def __reduce__(self) -> tuple[type[LiveSettings], tuple[dict[str, Any], ConfigEntry]]:
        return LiveSettings, (dict(self), self.entry)
