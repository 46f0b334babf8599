"""Tag sets: which objects of OpenStreetMap are of which theme, from a small file.

An object is of a theme when one of its tags meets one of the theme's rules, `key=one|another` or `key=*`, and none of
its tags the exception of that rule, `unless access=private`. Themes of an object are a sum of powers of two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from buurtsae.errors import Problems, cut, shown
from buurtsae.files import read_toml
from buurtsae.opendata.forms import validated

MOST = 60  # themes, that their sum is a whole number of 64 bits
RULE = re.compile(r"([\w:]+)=([^\s=]+)(?: unless ([\w:]+)=([^\s=]+))?")
Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ThemePart(_Part):
    """`[[theme]]`: objects that are counted, or areas of which the share is measured."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
    nl: Text
    en: Text
    about: Text
    tags: tuple[Annotated[str, Field(pattern=f"^{RULE.pattern}$")], ...]
    share: bool = False


class TagsPart(_Part):
    """The whole file."""

    version: Text
    theme: tuple[ThemePart, ...]


@dataclass(frozen=True)
class _Rule:
    """Values of a key that are of themes, None for any, and what they may not go with."""

    values: frozenset[str] | None
    key: str
    unless: frozenset[str]
    themes: int

    def holds(self, value: str, tags: Mapping[str, str]) -> bool:
        """Whether a value of the rule's key is of its themes."""
        return (self.values is None or value in self.values) and not (self.key and tags.get(self.key) in self.unless)


@dataclass(frozen=True)
class TagSets:
    """The themes, and the version of their file.

    Examples
    --------
    >>> sets = TagSets.load()
    >>> sets.named(sets.themes_of({"leisure": "swimming_pool"}))
    ['sport', 'voorzieningen']
    >>> sets.named(sets.themes_of({"leisure": "swimming_pool", "access": "private"}))
    []
    """

    version: str
    themes: tuple[ThemePart, ...]

    @classmethod
    def load(cls, path: str | Path | None = None) -> TagSets:
        """Read the themes of the package, or a file of the user's own.

        Raises
        ------
        DataError or ProblemsError
            If it cannot be read; else everything that is wrong with it.
        """
        inside = Path(str(files("buurtsae.opendata"))) / "osm_tags.toml"
        what = f"tag sets {cut(Path(path or inside).name)}"
        _, raw = read_toml(path or inside, what)
        problems, content = Problems(), validated(TagsPart, raw, what, "osm_tags.toml")
        names = [theme.id for theme in content.theme]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            problems.add(f"{what}: themes occur twice", shown(twice), "each once", "join their tags")
        if not 0 < len(names) <= MOST:
            problems.add(f"{what}: the number of themes", str(len(names)), f"1 to {MOST}", "add or remove some")
        problems.raise_if_any()
        return cls(content.version, content.theme)

    @cached_property
    def rules(self) -> Mapping[str, tuple[_Rule, ...]]:
        """Rules by the key of the tag that they look at."""
        rules: dict[str, tuple[_Rule, ...]] = {}
        for place, theme in enumerate(self.themes):
            for key, values, other, unless in (_parts(text) for text in theme.tags):
                rule = _Rule(None if values == {"*"} else values, other, unless, 1 << place)
                rules[key] = (*rules.get(key, ()), rule)
        return rules

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of tags that some rule looks at."""
        return tuple(self.rules)

    @property
    def shares(self) -> int:
        """The themes of areas, as a sum of powers of two."""
        return sum(1 << place for place, theme in enumerate(self.themes) if theme.share)

    def themes_of(self, tags: Mapping[str, str]) -> int:
        """Return the themes of an object with these tags, as a sum of powers of two."""
        found = 0
        for key, value in tags.items():
            for rule in self.rules.get(key, ()):
                if not (found & rule.themes) and rule.holds(value, tags):
                    found |= rule.themes
        return found

    def named(self, themes: int) -> list[str]:
        """Return the names of the themes in a sum."""
        return [theme.id for place, theme in enumerate(self.themes) if themes >> place & 1]


def _parts(rule: str) -> tuple[str, frozenset[str], str, frozenset[str]]:
    matched = RULE.fullmatch(rule)
    assert matched is not None, "the file was checked"
    key, values, other, unless = matched.groups(default="")
    return key, _split(values.split("|")), other, _split(unless.split("|"))


def _split(values: Iterable[str]) -> frozenset[str]:
    return frozenset(value for value in values if value)
