"""All sources side by side: the overview that `buurtsae sources` prints, and docs/sources.md."""

from __future__ import annotations

from collections.abc import Sequence

from buurtsae.survey.codebook import Codebook

HEADINGS = ("source", "kind", "period", "level", "items")
PAGE = """# Sources

Written by `buurtsae sources --markdown` from the codebooks in `src/buurtsae/survey/codebooks/`; do not edit by hand.
A codebook says what a source asks (scales and items) or registers (indicators), and which sub-dimension of the concept
each of these informs. Names and descriptions of items are this product's own: they are not the text of a questionnaire,
and the columns of the microdata must be mapped on them. Texts are in Dutch, for the people who know the sources.

*Kind*: a `survey` is a sample; a `participatory` source is not a random one; an `objective` source is complete and has
no sampling error, but is not the construct itself; `*`: its figures are themselves estimates of a model. *Level*: the
smallest area for which the source serves by itself. *Items*: questions, or figures per buurt of an objective source.

## A source of your own

Write a file like this one, give its path as `source` in the run file, and see with `buurtsae sources eigen.toml` how it
is understood. What contradicts itself is refused, with the line. An objective source has `[[indicator]]` tables
instead, with `name`, `unit`, `informs`, `columns` and, where other values are errors, `range = [1, 5]` (0 to 100 where
the unit begins with %): see `kwb.toml`. Its `theme` says what is shrunk together in a model of many
covariates (mensen, woningen, welvaart, ligging, voorzieningen, groen, veiligheid, gezondheid, erfgoed, leefbaarheid);
`aside = true` marks numbers that other figures are made of, which are no covariates themselves.

```toml
id = "eigen"
nl = "Eigen onderzoek"
kind = "survey"            # or participatory, objective
level = "wijk"             # land, gemeente, wijk or buurt
references = ["Gemeente X, Leefbaarheidsonderzoek 2024"]
missing = [9]              # codes that mean: no answer
min_share_answered = 0.5   # of the items, to get a score; a scale may have its own

[[scale]]
id = "omgang"
subdimension = "omgang_en_relaties"
answers = { 1 = "eens", 2 = "neutraal", 3 = "oneens" }   # or { from = 1, to = 10 }
worst = 3                  # the code that scores 0
best = 1                   # the code that scores 10
items = [
  { name = "groeten", about = "buren groeten elkaar" },
  { name = "ruzie", about = "buren hebben vaak ruzie", worst = 1, best = 3 },   # reversed
]
```

## Een aandeel, een aantal, een codering

Standaard wordt een antwoord een score tussen `worst` en `best`. Een schaal kan ook zeggen welke antwoorden meetellen
voor een aandeel. Een respondent krijgt dan 100 als het antwoord meetelt en 0 als het niet meetelt; de maat is het
percentage van de inwoners. De maat heeft in het begrip `outcome = "share"`.

```toml
[[scale]]
id = "eenzaamheid"
subdimension = "eenzaam"
answers = { 1 = "nooit", 2 = "soms", 3 = "vaak", 4 = "zeer vaak" }
share = { from = 3 }       # of { above = 2 }, { below = 2 }, { codes = [3, 4] }: precies één ervan
items = [{ name = "voelt_zich_eenzaam" }]
```

- `above` en `below` zijn zonder, `from` is met de grens zelf. Minstens één antwoord telt mee en minstens één niet.
- Wat ontbreekt blijft ontbreken: een code uit `missing` is geen 0, en telt niet mee in de noemer.
- Bij meer vragen zegt `items = "any"` of `"all"` in `share` of één van de antwoorden of alle antwoorden moeten
  meetellen. Wie een van de vragen niet beantwoordde, ontbreekt. Het gemiddelde van vragen is geen aandeel maar een
  score, en wordt zonder `items` geweigerd. Een vraag kan een eigen `share` hebben, zoals een omgekeerde vraag.
- `worst` en `best` horen niet bij een aandeel, en een maat heeft per bron één schaal met `share`.
- Schalen met `share` mogen van één en dezelfde vraag zijn, met dezelfde `answers`: elk antwoord een eigen maat. Zijn
  dat alle antwoorden, dan zegt `[compositions]` in het begrip dat ze samen 100% zijn ([indicators.md](indicators.md)).
- `outcome = "count"` neemt het getal dat is geantwoord zoals het is (hoe vaak, hoeveel), `outcome = "ordinal"` houdt de
  codes, voor een model van personen. Beide hebben één vraag per schaal, zonder `worst`, `best` en `share`.

Wat zichzelf tegenspreekt wordt geweigerd, met de regel van het bestand, en alles tegelijk. `data/gezondheid` heeft een
codeboek met drie aandelen en een rapportcijfer, en het begrip erbij.

## All sources
"""


def overview(books: Sequence[Codebook]) -> list[list[str]]:
    """Return a row per source, under `HEADINGS`; modelled sources have a star."""
    return [[b.id, b.kind + "*" * b.modelled, b.period, b.level, str(len(b.items) + len(b.indicators))] for b in books]


def page(books: Sequence[Codebook], subdimensions: Sequence[str]) -> str:
    """Return the sources as a Markdown page."""
    rows = [
        [f"[{name}](#{name})", *row, *("x" if name in book.subdimensions else "" for name in subdimensions)]
        for book, (name, *row) in zip(books, overview(books), strict=True)
    ]
    lines = [PAGE, *_table([*HEADINGS, *subdimensions], rows)]
    for book in books:
        facts = {**book.facts, "references": "; ".join(book.references)}
        lines += ["", f"## {book.id}", "", f"**{book.nl}** ({book.en})", "", book.about, ""]
        titles = {name: "Missing codes" if name == "missing" else name.capitalize() for name in facts}
        lines += [f"- {titles[name]}: {text}" for name, text in facts.items() if text]
        for scale in book.scales:
            informs = f"`{scale.id}` ({scale.nl}) informs `{scale.subdimension}`."
            lines += ["", f"{informs} Answers: {scale.labels}. {scale.about}".rstrip(), ""]
            if scale.outcome == "score":
                items = [[f"`{item.name}`", item.about, str(item.worst), str(item.best)] for item in scale.items]
                lines += _table(["item", "about", "scores 0", "scores 10"], items)
            else:
                items = [[f"`{item.name}`", item.about, scale.told(item)] for item in scale.items]
                lines += _table(["item", "about", scale.outcome], items)
        if book.indicators:
            figures = []
            for item in book.indicators:
                about = item.nl + f": {item.about}" * bool(item.about) + " (sensitive)" * item.sensitive
                columns = ", ".join(f"`{column}`" for column in item.columns)
                columns += f" (code `{item.code}`)" * bool(item.code)
                informs = ", ".join(item.informs) or "(nothing by itself)"
                figures.append((f"`{item.name}`", about, item.unit, item.theme, item.transform, informs, columns))
            lines += ["", *_table(["indicator", "about", "unit", "theme", "transform", "informs", "columns"], figures)]
    return "\n".join(lines) + "\n"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]
