r"""Make the example `data/gezondheid`: a made health monitor on the buurten of Voorbeeldstad, with known truth.

    python benchmarks/make_gezondheid.py [--out data/gezondheid]

Who is drawn, with which weight, is as in the surveys of `simulate`. With u_ad its latent scores of four sub-dimensions,
standardised over buurten, and h the age group of person i,

    P(answer to d counts) = 1 / (1 + exp(-(level_d + size_d u_ad + age_dh))),    mark = N(7 + 0.6 u_a4, 1.3),

rounded to 1 to 10. The true share of a buurt is the mean over the ages of its residents. Everything follows from SEED.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from buurtsae.areas.areas import Areas
from buurtsae.simulate.population import AGES, TruthSpec, simulate_truth
from buurtsae.simulate.survey import simulate_survey, write_tables
from buurtsae.survey.codebook import Codebook

ROOT = Path(__file__).resolve().parent.parent
SEED, SIZE, SILENT = 7, 2000, 0.03
SPEC = TruthSpec(
    covariates=("stedelijkheid", "pct_koopwoningen", "pct_eenpersoonshuishoudens"), effects=(0.5, 1.0, -0.5)
)
SHARES = {  # of a share: level, size of the differences between buurten, and of the age groups, on the logit
    "eenzaam": (-2.1, -0.45, (0.1, -0.1, 0.4)),
    "vrijwilligerswerk": (-1.0, 0.35, (-0.3, 0.1, 0.2)),
    "thuisgevoel": (0.9, 0.5, (-0.2, 0.0, 0.4)),
}
ITEMS = {
    "eenzaam": "voelt_zich_eenzaam",
    "vrijwilligerswerk": "doet_vrijwilligerswerk",
    "thuisgevoel": "thuis_in_de_buurt",
}
MARK, DIFFERENCE, PERSON = 7.0, 0.6, 1.3

README = """# Gezondheid

**Alle gegevens in deze map zijn verzonnen**, met `python benchmarks/make_gezondheid.py`, op de verzonnen buurten van
`../voorbeeldstad`. Ze horen bij `models/gezondheid.toml`: drie aandelen en een rapportcijfer. Licentie: CC0-1.0.
De run haalt haar kwaliteitstoets niet, door het toeval van deze trekking: zie `docs/checks.md`.

| bestand | inhoud |
|---|---|
| `begrip.toml` | het begrip: vier maten, elk met uitkomst, schaal en eenheid; geen totaal |
| `gezondheidsmonitor.toml` | het codeboek: welke antwoorden meetellen voor een aandeel |
| `enquete_gezondheidsmonitor.csv` | 2.000 respondenten, vier antwoorden (99: geen antwoord), gewicht en stratum |
| `waarheid.csv` | per bewoonde buurt het ware aandeel (in procenten) en het ware gemiddelde rapportcijfer |

**In English.** Made data: a health monitor of nobody, on areas that do not exist, with the true shares (per cent) and
the true mean mark per area. The run does not meet its gate, by the chance of this draw: see `docs/checks.md`. Licence:
CC0-1.0.
"""


def read() -> Areas:
    """Return the buurten of Voorbeeldstad."""
    folder = ROOT / "data" / "voorbeeldstad"
    return Areas.read(folder / "buurten.gpkg", 2024, tables=[(folder / "kerncijfers.csv", "buurtcode")])


def make(out: Path, seed: int = SEED) -> None:
    """Write the example into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    table, tidy, _ = drawn(read(), seed)
    write_tables(out, {"enquete_gezondheidsmonitor.csv": table, "waarheid.csv": tidy})
    (out / "README.md").write_text(README, encoding="utf-8", newline="\n")


def drawn(areas: Areas, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return respondents with answers, the true figures, and the probability that an answer counts, per respondent."""
    truth = simulate_truth(areas, areas.graph(), SPEC, seed)
    live = areas.inhabited
    u = (truth.latent - truth.latent[live].mean(axis=0)) / truth.latent[live].std(axis=0)
    asked = simulate_survey(areas, truth, Codebook.load("veiligheidsmonitor"), SIZE, seed)
    people = asked[["buurtcode", "gewicht", "stratum"]]
    area = areas.codes.get_indexer(people["buurtcode"])
    age = people["stratum"].str.partition("|")[2].map(AGES.index).to_numpy()

    rng = np.random.default_rng(seed)
    person = rng.standard_normal(len(people))  # those who feel at home volunteer more, and are less lonely
    answers, true, chance = {}, {}, {}
    for d, (measure, (level, size, of_age)) in enumerate(SHARES.items()):
        p = expit(level + size * u[:, d][:, None] + np.array(of_age))  # area, age
        z = norm.cdf(0.4 * np.sign(size) * person + np.sqrt(1 - 0.16) * rng.standard_normal(len(people)))
        chance[ITEMS[measure]] = p[area, age]
        answers[ITEMS[measure]] = _answer(measure, 1 - z, p[area, age])
        total = np.maximum(truth.persons.sum(axis=1), 1)
        true[measure] = 100 * (p * truth.persons).sum(axis=1) / total
    mean = MARK + DIFFERENCE * u[:, 3]
    mark = mean[area] + PERSON * rng.standard_normal(len(people))
    answers["cijfer_buurt"] = np.clip(np.round(mark), 1, 10).astype(int)
    marks = np.arange(2, 11) - 0.5
    true["leefbaarheid"] = 1 + norm.sf((marks - mean[:, None]) / PERSON).sum(axis=1)
    silent = rng.random((len(people), len(answers))) < SILENT
    table = people.assign(**{name: np.where(silent[:, k], 99, answers[name]) for k, name in enumerate(answers)})
    wide = pd.DataFrame(true, index=areas.codes)[live].rename_axis("area_code").reset_index()
    tidy = wide.melt("area_code", var_name="measure", value_name="truth").sort_values(["area_code", "measure"])
    return table, tidy, pd.DataFrame(chance)


def _answer(measure: str, rank: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Answer codes, of which those that count have probability p; `rank` is uniform, the lowest count."""
    counts, inner = rank < p, np.where(rank < p, rank / p, (rank - p) / (1 - p))
    if measure == "eenzaam":
        return np.where(counts, np.where(inner < 0.3, 4, 3), np.where(inner < 0.45, 2, 1))
    if measure == "vrijwilligerswerk":
        return np.where(counts, 1, 2)
    return np.where(counts, np.where(inner < 0.4, 1, 2), 3 + np.digitize(inner, [0.6, 0.9]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the example data of gezondheid.")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "gezondheid")
    make(parser.parse_args().out)
