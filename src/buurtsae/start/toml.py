"""Values as TOML, and tables whose lines say why: what `init` writes is read by people."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from buurtsae.errors import cut

WIDTH = 120


def quoted(text: str) -> str:
    """Return a text as TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def listed(texts: Sequence[str]) -> str:
    """Return a list of texts as TOML, over several lines where it is long."""
    short = f"[{', '.join(map(quoted, texts))}]"
    if len(short) <= WIDTH - 20:
        return short
    return "[\n" + "".join(f"  {quoted(text)},\n" for text in texts) + "]"


def line(key: str, value: str, why: str = "") -> str:
    """Return `key = value  # why`; a reason that is too long for the line goes above it."""
    said = cut(why, 600) if why else ""
    whole = f"{key} = {value}" + f"  # {said}" * bool(said)
    if not said or (len(whole) <= WIDTH and "\n" not in value):
        return whole
    return "\n".join([*comment(said), f"{key} = {value}"])


def comment(text: str) -> list[str]:
    """Return a text as lines of comment."""
    lines, start = [], "#"
    for word in text.split():
        if len(start) + 1 + len(word) > WIDTH and start != "#":
            lines.append(start)
            start = "#"
        start += f" {word}"
    return [*lines, start]


def slug(text: str) -> str:
    """Return a text as a name: small letters, digits and -."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")
    return plain[:80] or "run"
