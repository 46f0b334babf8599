r"""Make the example `data/personen`: residents of Voorbeeldstad in cells, and a made survey of some, with known truth.

    python benchmarks/make_personen.py [--out data/personen]

Residents are in the cells of `simulate.respondents`, and each answers three questions. With a the buurt, u_a its latent
scores of `simulate`, standardised, and b effects of age, sex and education (of loneliness also of old and low education
together), person i has

    eta_ik = size_k u_ak + sum_c b_kc,    P(answer <= j) = 1 / (1 + exp(eta_ik - cut_kj)),    mark = N(7 + eta_i3, 1.3),

correlated within a person and rounded to 1 to 10; truths are means over residents. Strata are gemeente x (18-64, 65+),
the old drawn OLD times as often. Who answers is drawn without replacement in proportion to exp(inclination by age and
education): weights know of age, sex, gemeente and stratum, which they are raked to, not of education. Nobody answers in
EMPTY buurten of fewer than SMALL residents. Everything follows from SEED.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from buurtsae.areas.areas import Areas
from buurtsae.simulate.population import TruthSpec, simulate_truth
from buurtsae.simulate.respondents import LEVELS, made_cells
from buurtsae.simulate.survey import write_tables
from buurtsae.survey.calibration import rake

ROOT = Path(__file__).resolve().parent.parent
SEED, SIZE, OLD, SILENT, EMPTY, SMALL = 11, 2500, 1.5, 0.02, 8, 600
SPEC = TruthSpec(
    covariates=("stedelijkheid", "pct_koopwoningen", "pct_eenpersoonshuishoudens"), effects=(0.5, 1.0, -0.5)
)
INCLINATION = {"leeftijd": (-0.5, -0.2, 0.1, 0.3), "opleiding": (-0.7, 0.0, 0.5)}
EFFECTS = {  # of a question: size of the differences between buurten, effects of age, sex and education, and the item
    "eenzaam": (-0.45, (0.3, 0.0, -0.1, 0.2), (0.0, 0.1), (0.6, 0.0, -0.5), "voelt_zich_eenzaam"),
    "ervaren_gezondheid": (0.35, (0.6, 0.3, -0.1, -0.6), (0.1, -0.1), (-0.6, 0.0, 0.5), "ervaren_gezondheid"),
    "rapportcijfer": (0.5, (-0.2, 0.0, 0.0, 0.3), (0.0, 0.1), (-0.3, 0.0, 0.2), "cijfer_leven"),
}
CUTS = {"eenzaam": (-0.9, 0.6, 1.8, 3.3), "ervaren_gezondheid": (-3.9, -2.3, -0.8, 1.6)}
OLD_AND_LOW, MARK, PERSON = 0.3, 7.0, 1.3
GOOD = "ervaren_gezondheid: above 3"  # as a figure of ordered answers is called

README = """# Personen

**Alle gegevens in deze map zijn verzonnen**, met `python benchmarks/make_personen.py`, op de verzonnen buurten van
`../voorbeeldstad`, waar alleen volwassenen wonen. Ze horen bij `models/personen.toml`: een aandeel, geordende
antwoorden en een rapportcijfer, van personen met bekende kenmerken. Licentie: CC0-1.0.

| bestand | inhoud |
|---|---|
| `begrip.toml` | het begrip: drie maten, elk met uitkomst, schaal en eenheid; geen totaal |
| `gezondheidsmonitor.toml` | het codeboek: welke antwoorden meetellen voor een aandeel |
| `cellen.csv` | inwoners per buurt, leeftijd, geslacht en opleiding; samen de inwoners van de kerncijfers |
| `enquete_gezondheidsmonitor.csv` | 2.500 respondenten: kenmerken, gewicht, stratum, drie antwoorden (99: geen) |
| `waarheid.csv` | per bewoonde buurt het ware cijfer van alle inwoners |
| `waarheid_leeftijd.csv` | hetzelfde per leeftijdsgroep |

Wie hoog is opgeleid of ouder is antwoordt vaker. De gewichten zijn gemaakt met leeftijd, geslacht, gemeente en stratum,
niet met opleiding: gewogen gemiddelden zijn dus vertekend. In acht bewoonde buurten is niemand gevraagd.

**In English.** Made data: residents and respondents of areas that do not exist, with the true figures per area and
per age group. The better educated and the old answer more often; weights know of age, sex, gemeente and stratum only,
not of education. Licence: CC0-1.0.
"""


def make(out: Path) -> None:
    """Write the example into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    folder = ROOT / "data" / "voorbeeldstad"
    areas = Areas.read(folder / "buurten.gpkg", 2024, tables=[(folder / "kerncijfers.csv", "buurtcode")])
    rng = np.random.default_rng(SEED)
    cells = made_cells(areas, rng)
    cell = np.repeat(np.arange(len(cells.count)), cells.count.astype(int))  # of each resident
    area, level = cells.area[cell], dict(zip(LEVELS, cells.level[cell].T, strict=True))
    answers, figures = ask(areas, area, level, rng)
    drawn, stratum, weight = draw(areas, area, level, rng)

    of = {name: np.array(LEVELS[name])[level[name][drawn]] for name in LEVELS}
    people = {"buurtcode": areas.codes[area[drawn]], "gewicht": weight, "stratum": stratum, **of}
    silent = rng.random((len(answers), len(drawn))) < SILENT
    told = {name: np.where(s, 99, y[drawn]) for s, (name, y) in zip(silent, answers.items(), strict=True)}
    write_tables(out, {
        "cellen.csv": cells.frame[cells.count > 0].rename(columns={"area_code": "buurtcode"}).astype({"aantal": int}),
        "enquete_gezondheidsmonitor.csv": pd.DataFrame({**people, **told}),
        "waarheid.csv": truth(figures, {"area_code": areas.codes[area]}),
        "waarheid_leeftijd.csv": truth(
            figures, {"area_code": areas.codes[area], "leeftijd": np.array(LEVELS["leeftijd"])[level["leeftijd"]]}
        ),
    })  # fmt: skip
    (out / "README.md").write_text(README, encoding="utf-8", newline="\n")


def ask(
    areas: Areas, area: np.ndarray, level: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Answers of all residents per item, and what each adds to a figure."""
    latent, live = simulate_truth(areas, areas.graph(), SPEC, SEED).latent, areas.inhabited
    u = (latent - latent[live].mean(axis=0)) / latent[live].std(axis=0)
    person = rng.standard_normal(len(area))  # who feels well is less lonely, and gives a higher mark
    answers, figures = {}, {}
    for k, (measure, (size, age, sex, school, item)) in enumerate(EFFECTS.items()):
        eta = size * u[area, k] + np.array(age)[level["leeftijd"]] + np.array(sex)[level["geslacht"]]
        eta = eta + np.array(school)[level["opleiding"]]
        if measure == "eenzaam":
            eta += OLD_AND_LOW * ((level["leeftijd"] == 3) & (level["opleiding"] == 0))
        z = 0.5 * np.sign(size) * person + np.sqrt(0.75) * rng.standard_normal(len(area))
        if measure == "rapportcijfer":
            answers[item] = np.clip(np.round(MARK + eta + PERSON * z), 1, 10).astype(int)
            figures[measure] = answers[item].astype(float)
            continue
        below = expit(np.array(CUTS[measure]) - eta[:, None])
        answers[item] = 1 + (norm.cdf(z)[:, None] > below).sum(axis=1)
        if measure == "eenzaam":
            figures[measure] = 100.0 * (answers[item] > 3)
        else:
            figures |= {measure: answers[item].astype(float), GOOD: 100.0 * (answers[item] > 3)}
    return answers, figures


def draw(
    areas: Areas, area: np.ndarray, level: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residents who answer, sorted by area, with stratum and weight."""
    small = np.flatnonzero(areas.inhabited & (areas.population < SMALL))
    asked = ~np.isin(area, rng.choice(small, EMPTY, replace=False))
    gemeente, of = np.unique(areas.parents("gemeente").to_numpy(dtype=str), return_inverse=True)
    old = (level["leeftijd"] == 3).astype(int)
    stratum = 2 * of[area] + old
    residents = np.bincount(stratum)
    n = residents * np.tile([1.0, OLD], len(gemeente))
    n = np.round(SIZE * n / n.sum()).astype(int)
    n[0] += SIZE - n.sum()
    lean = sum(np.array(values)[level[name]] for name, values in INCLINATION.items())
    key = np.where(asked, lean + rng.gumbel(size=len(area)), -np.inf)  # the n highest: n draws without replacement
    drawn = np.concatenate([
        (place := np.flatnonzero(stratum == h))[np.argsort(-key[place], kind="stable")[: n[h]]] for h in range(len(n))
    ])  # fmt: skip
    drawn = drawn[np.lexsort((drawn, area[drawn]))]
    margins = [level["leeftijd"], level["geslacht"], of[area], stratum]
    base = (residents / n)[stratum[drawn]]
    weight = rake(base, [m[drawn] for m in margins], [np.bincount(m).astype(float) for m in margins])
    labels = np.array([f"{code}|{ages}" for code in gemeente for ages in ("18-64", "65+")])
    return drawn, labels[stratum[drawn]], weight


def truth(figures: dict[str, np.ndarray], by: dict[str, np.ndarray]) -> pd.DataFrame:
    """Means over residents: a row per group of `by` and measure."""
    wide = pd.DataFrame(figures).groupby(list(by.values())).mean().rename_axis(list(by)).reset_index()
    tidy = wide.melt(list(by), var_name="measure", value_name="truth")
    return tidy.sort_values([*by, "measure"], ignore_index=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the example data of personen.")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "personen")
    make(parser.parse_args().out)
