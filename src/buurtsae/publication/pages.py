"""Page templates, with their style and script, and a policy that allows nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from buurtsae.drawing.style import COLOURS, RESIDUAL_COLOURS, VERDICT_COLOURS, plain, significant
from buurtsae.figures import both, dutch, interval

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("buurtsae.publication"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    pages.filters |= {"dutch": dutch, "interval": interval, "significant": significant, "told": both, "plain": plain}
    pages.filters |= {"packed": packed}
    pages.globals |= {"t": bilingual, "both": in_both, "count": count}  # not macros: these are called often
    return pages


@lru_cache(maxsize=4096, typed=True)  # most are on every page; text and Markup that read the same are escaped apart
def bilingual(nl: str, en: str) -> Markup:
    """Return a text in both languages, of which the page shows one."""
    return Markup(f'<span class="nl">{escape(nl)}</span><span class="en" lang="en">{escape(en)}</span>')


def in_both(note: str) -> Markup:
    """Return a note in both languages, or once where these are the same, as of a text that is no note."""
    nl = getattr(note, "nl", note)
    return bilingual(nl, note) if nl != note else escape(note)


def count(n: float, one: str, many: str, one_en: str, many_en: str) -> Markup:
    """Return a number with its noun."""
    text = dutch(n, 0)
    return bilingual(f"{text} {one if n == 1 else many}", f"{both(text)} {one_en if n == 1 else many_en}")


@cache
def _assets(several: bool) -> dict[str, Any]:
    """Style and script of all pages, or of those of several years, and a policy that allows nothing else: no injected
    text can run.
    """
    loader = _templates().loader
    assert loader is not None  # set above
    names = [("style.css", "site.js"), *([("years.css", "years.js")] if several else [])]
    css, js = ("".join(loader.get_source(_templates(), name)[0] for name in part) for part in zip(*names, strict=True))
    classes = [("k", COLOURS), ("v", VERDICT_COLOURS), ("r", RESIDUAL_COLOURS)]
    css += "".join(
        f".{name}{i}, use.{name}{i} {{ fill: {colour}; }} .{name}{i}i {{ fill: url(#{name}{i}i); }}\n"
        for name, colours in classes
        for i, colour in enumerate(colours)
    )
    css += ".x { fill: url(#hx); }\n"
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, js))
    policy = (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return {"css": Markup(css), "js": Markup(js), "policy": policy}


def packed(data: Any) -> str:
    """Return what a script needs of several years: JSON, compressed (RFC 1952) and in base64, a fourth of its size."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template of the package and write it."""
    years = values.get("several")
    assets = _assets(years is not None and years.several)
    text = _templates().get_template(template).render(**assets, **values)
    path.write_text(text, encoding="utf-8", newline="\n")
