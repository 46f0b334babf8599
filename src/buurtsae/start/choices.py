"""What was chosen for the user and why, what is left to do, and questions that only the user can answer.

No guess is silent: every `Choice` is a comment in the run file, a line in the README and a line on the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from buurtsae.errors import Problems, shown
from buurtsae.notes import Note

AS_TOLD = Note("as you said", "zoals opgegeven")
NOTHING = "-"  # the answer that there is none

LABELS = {
    "year": Note("year of the areas", "jaar van de gebieden"),
    "place": Note("part of the areas", "deel van de gebieden"),
    "area": Note("column of area codes", "kolom met gebiedscodes"),
    "source": Note("codebook", "codeboek"),
    "weight": Note("column of weights", "kolom met gewichten"),
    "strata": Note("column of strata", "kolom met strata"),
    "cluster": Note("column of clusters", "kolom met clusters"),
    "id": Note("column that identifies respondents", "kolom die respondenten aanwijst"),
    "fieldwork": Note("year of the fieldwork", "jaar van het veldwerk"),
    "formula": Note("covariate", "kenmerk"),
    "theme": Note("covariates of a theme", "kenmerken in een thema"),
    "left out": Note("no covariate", "geen kenmerk"),
    "iid": Note("groups that may differ", "groepen die kunnen verschillen"),
}


@dataclass(frozen=True)
class Choice:
    """One choice: what it is for, the value (empty where there is none), and why."""

    key: str
    value: str
    why: Note

    @property
    def line(self) -> Note:
        """It in one line."""
        nothing = Note("all", "alle") if self.key == "place" else Note("none", "geen")
        value = Note(*2 * [self.value]) if self.value else nothing
        key = LABELS.get(self.key) or Note(*2 * [self.key])
        return Note("{key}: {value} ({why})", "{key}: {value} ({why})", key=key, value=value, why=self.why)


@dataclass(frozen=True)
class Question:
    """What to ask: the option that answers it too, the question, what is likely, what is possible, and the default.

    Without `possible` any text is. `NOTHING` is an answer where `optional`.
    """

    option: str
    words: str
    likely: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()
    default: str | None = None
    optional: bool = False


Ask = Callable[[Question], str | None]


def unasked(question: Question) -> str | None:
    """Ask nobody: the default is taken, and what has none is not known."""
    return question.default


def pick(
    key: str,
    given: str | None,
    likely: Sequence[str],
    why: Note,
    columns: Sequence[str],
    file: str,
    ask: Ask,
    problems: Problems,
    optional: bool = False,
) -> Choice | None:
    """Return the column for a key: as given, as is answered, or the only one that is likely.

    None where there is none, or with a problem recorded: a name that is no column, and several without an answer.
    """
    option = f"--{key}"
    if given is not None:
        if given in columns:
            return Choice(key, given, AS_TOLD)
        near = get_close_matches(given, columns, 3, 0.6)
        problems.add(f"{file} has no such column", given, shown(near or columns, 12), f"correct {option}")
        return None
    default = likely[0] if len(likely) == 1 else NOTHING if optional and not likely else None
    words = f"{file}: which column has the {'weights' if key == 'weight' else key}?"
    answer = ask(Question(option, words, tuple(likely), tuple(columns), default, optional))
    if answer == NOTHING:
        return None
    if answer is not None:
        return Choice(key, answer, why if [answer] == list(likely) else AS_TOLD)
    if likely:
        what = f"{file} has several columns that may be its {key}"
        problems.add(what, shown(likely, 12), "one", f"choose with {option}: it is not guessed")
    return None
