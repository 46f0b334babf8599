"""The README of the folder that `init` writes: Dutch, then English; what lies here, where it is from, what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buurtsae.notes import Note

WORDS = {
    "nl": {
        "here": "## Wat hier ligt",
        "from": "## Waar het vandaan komt",
        "chosen": "## Wat er is gekozen, en waarom",
        "left": "## Wat u nog moet doen",
        "nothing": "Niets wat nu al bekend is: `buurtsae check run.toml` zegt of alles klopt.",
        "commands": "## Opdrachten, in deze map",
        "check": "leest alles en zegt wat er nog niet klopt",
        "run": "maakt de schattingen en de pagina's",
        "open": "Open daarna `out/dashboard/index.html`.",
        "unknown": "Van de bestanden die er al waren is de herkomst niet bekend: zet die in `credit` in `run.toml`.",
    },
    "en": {
        "here": "## What lies here",
        "from": "## Where it is from",
        "chosen": "## What was chosen, and why",
        "left": "## What is left to do",
        "nothing": "Nothing that is known by now: `buurtsae check run.toml` says whether all is in order.",
        "commands": "## Commands, in this folder",
        "check": "reads everything and says what is not in order",
        "run": "makes the estimates and the pages",
        "open": "Then open `out/dashboard/index.html`.",
        "unknown": "Of files that were there already the origin is not known: say it in `credit` in `run.toml`.",
    },
}


def readme_text(
    title: str, files: Mapping[str, Note], credits: Sequence[str], choices: Sequence[Note], left: Sequence[Note]
) -> str:
    """Return the README as Markdown; `files` are by path, with what each is."""
    lines = [f"# {title}", "", "*English below.*", ""]
    for language, words in WORDS.items():

        def said(note: Note, dutch: bool = language == "nl") -> str:
            return note.nl if dutch else str(note)

        lines += [words["here"], "", *(f"- `{file}`: {said(about)}" for file, about in files.items())]
        lines += ["", words["from"], "", *(f"- {credit}" for credit in credits or [words["unknown"]])]
        lines += ["", words["chosen"], "", *(f"- {said(choice)}" for choice in choices)]
        lines += ["", words["left"], ""]
        lines += [f"{k}. {said(note)}" for k, note in enumerate(left, 1)] or [words["nothing"]]
        lines += ["", words["commands"], "", "```"]
        lines += [f"buurtsae check run.toml            # {words['check']}"]
        lines += [f"buurtsae run run.toml --out out    # {words['run']}", "```", "", words["open"], ""]
    return "\n".join(lines).rstrip() + "\n"
