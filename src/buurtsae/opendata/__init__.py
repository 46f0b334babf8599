"""Open data of the Netherlands: borders and figures per buurt from their publishers, to files with provenance.

    import buurtsae as bs
    bs.opendata.fetch(["borders", "kerncijfers"], 2024, "data", gemeente="Texel")
    bs.opendata.load("kerncijfers", 2024, gemeente="Texel").frame

Names are imported when first used: `import buurtsae.opendata` loads no package for maps or the network.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "fetch": "fetching",
    "load": "fetching",
    "Fetched": "fetching",
    "Loaded": "loaded",
    "Fetcher": "http",
    "Registry": "registry",
    "Cache": "cache",
    "voorzieningen": "osm",
    "Changes": "changes",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'buurtsae.opendata' has no attribute {name!r}")
    value = getattr(import_module(f"buurtsae.opendata.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
