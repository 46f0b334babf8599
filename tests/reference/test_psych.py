"""Reliability against R's psych 2.2.9, buurt variances against R's aov, the graded model against optim and girth.

The data are `data/made_scale.csv`: 250 made respondents in 20 buurten, drawn once by numpy (default_rng(20240611)) from
a graded response model with a buurt effect; six items of 1 to 5, the last one reversed, 3% no answer. The R calls
(R 4.2.2) stand beside the numbers: d <- na.omit(read.csv("made_scale.csv")), x its items, y <- x; y$f <- 6 - y$f.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.survey.codebook import Codebook, Item, Scale
from buurtsae.survey.graded import fit_graded
from buurtsae.survey.reliability import Reliability, between_within, omega, one_factor, reliability
from buurtsae.survey.survey import Survey

NAMES = list("abcdef")
EXACT = {"rtol": 0, "atol": 1e-12}  # sums of products of whole numbers
ITERATED = {"rtol": 0, "atol": 2e-6}  # factanal and ours stop at slightly different points


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).parent / "data" / "made_scale.csv", encoding="utf-8")


def result(data: pd.DataFrame, turned: bool) -> Reliability:
    ends = {i: (5, 1) if turned and i == "f" else (1, 5) for i in NAMES}
    items = tuple(Item(i, "participatie", *ends[i], (1, 2, 3, 4, 5), scale="s") for i in NAMES)
    book = Codebook("made", "Made", scales=(Scale("s", "S", "participatie", items, 0.5),))
    return reliability(
        Survey(data.rename(columns={"buurt": "area_code"}).assign(weight=1.0, stratum="all"), book, 2024)
    )


def turned(data: pd.DataFrame) -> np.ndarray:
    y = data[NAMES].to_numpy(dtype=float)
    y[:, 5] = 6 - y[:, 5]
    return y


def test_alpha_and_items_with_one_reversed_item_left_so(data: pd.DataFrame) -> None:
    found = result(data, turned=False)
    # a <- alpha(x, check.keys = FALSE); a$total$raw_alpha; a$item.stats$r.drop; a$alpha.drop$raw_alpha
    np.testing.assert_allclose(found.scales.loc[0, "alpha"], 0.278349741108094, **EXACT)
    rest = [0.258273511945829, 0.375224658341389, 0.264265767603578, 0.156911599618756, 0.195744512644464]
    np.testing.assert_allclose(found.items["item_rest"], [*rest, -0.378193337860072], **EXACT)
    deleted = [0.1240633583104452, 0.0150996138247508, 0.1301961018739130, 0.2154772630909475, 0.1907740535200017]
    np.testing.assert_allclose(found.items["alpha_if_deleted"], [*deleted, 0.5623523292308780], **EXACT)
    # alpha(y)$total$raw_alpha
    np.testing.assert_allclose(found.items["alpha_if_reversed"].iloc[5], 0.617904911025017, **EXACT)
    assert found.items["flag"].tolist() == ["", "", "", "past slecht", "past slecht", "omgekeerd?"]
    assert found.scales.loc[0, "respondents"] == 202


def test_alpha_and_items_of_the_scale_set_right(data: pd.DataFrame) -> None:
    found = result(data, turned=True)
    # a <- alpha(y); as above
    np.testing.assert_allclose(found.scales.loc[0, "alpha"], 0.617904911025017, **EXACT)
    rest = [0.478162736488391, 0.510077614891476, 0.310417603189128, 0.237285791624499, 0.188503027849981]
    np.testing.assert_allclose(found.items["item_rest"], [*rest, 0.378193337860072], **EXACT)
    deleted = [0.517430663857301, 0.503489010398658, 0.588976379275869, 0.617096559774326, 0.630379881089257]
    np.testing.assert_allclose(found.items["alpha_if_deleted"], [*deleted, 0.562352329230878], **EXACT)


def test_one_factor_and_omega(data: pd.DataFrame) -> None:
    y = turned(data.dropna())
    loading, unique = one_factor(np.corrcoef(y, rowvar=False))
    # fl <- factanal(y, 1, control = list(opt = list(factr = 1))); fl$loadings; fl$uniquenesses
    expected = [0.638161538363745, 0.654204530501562, 0.431550963489787, 0.301875907575043, 0.242663063100554]
    np.testing.assert_allclose(loading, [*expected, 0.515306759309429], **ITERATED)
    expected = [0.592749848918400, 0.572016430339601, 0.813763766175076, 0.908870937615537, 0.941114640799417]
    np.testing.assert_allclose(unique, [*expected, 0.734458941125269], **ITERATED)
    # s <- sapply(y, sd); 1 - sum(s^2 * fl$uniquenesses) / sum(cov(y))
    np.testing.assert_allclose(result(data, turned=True).scales.loc[0, "omega"], 0.637075298005212, **ITERATED)
    # omega(y, nfactors = 1, fm = "ml")$omega.tot, on correlations; psych's fa stops earlier than factanal
    np.testing.assert_allclose(omega(np.corrcoef(y, rowvar=False))[0], 0.626509466962787, **ITERATED)


def test_alpha_with_weights(data: pd.DataFrame) -> None:
    # w <- rep(c(1, 2, 3), length.out = 202); C <- cov.wt(x, w)$cov; 6 / 5 * (1 - sum(diag(C)) / sum(C))
    full = (
        data.dropna()
        .assign(weight=np.resize([1.0, 2.0, 3.0], 202), stratum="all")
        .rename(columns={"buurt": "area_code"})
    )
    items = tuple(Item(i, "participatie", 1, 5, (1, 2, 3, 4, 5), scale="s") for i in NAMES)
    book = Codebook("made", "Made", scales=(Scale("s", "S", "participatie", items, 0.5),))
    found = reliability(Survey(full, book, 2024), weighted=True)
    np.testing.assert_allclose(found.scales.loc[0, "alpha"], 0.271938785498857, **EXACT)


def test_variances_between_and_within_buurten(data: pd.DataFrame) -> None:
    # d$m <- rowMeans(10 * (y - 1) / 4); summary(aov(m ~ factor(buurt), d))[[1]][["Mean Sq"]];
    # n <- table(d$buurt); (sum(n) - sum(n^2) / sum(n)) / (length(n) - 1)
    between, within, n0 = 7.27662521313866, 2.88365920885095, 10.0536737884315
    full = data.dropna()
    score = (10 * (turned(full) - 1) / 4).mean(axis=1)
    tau2, sigma2 = between_within(score, pd.factorize(full["buurt"])[0])
    np.testing.assert_allclose([tau2, sigma2], [(between - within) / n0, within], **EXACT)


# An independent fit in R to all 250 respondents: optim(method = "BFGS", reltol = 1e-14), restarted three times, of
# -sum(log(exp(L) %*% w)), w normal weights on 201 nodes from -6 to 6, L the log-likelihood of the answers given.
LOGLIK = -2204.0598
R_SLOPE = [1.48913970, 1.67888636, 0.90330395, 0.50045621, 0.53512213, 1.01739641]
R_CUTS = [
    [-1.52150788, -0.56515635, 0.37803873, 1.53447237],
    [-1.51930177, -0.39805277, 0.35863751, 1.46836877],
    [-2.35901837, -0.60897016, 0.79360945, 2.53708343],
    [-3.87312909, -1.36863845, 0.75197702, 3.83837093],
    [-5.04085606, -2.06800458, 0.70076429, 3.61847254],
    [-1.99375563, -0.67680670, 0.67861392, 2.00536160],
]
# girth 0.8.0 (Python): grm_mml(y, {"max_iteration": 500, "quadrature_n": 101, "quadrature_bounds": (-6, 6),
# "use_LUT": False}). It takes the cuts from the items' margins, which is not quite maximum likelihood.
GIRTH_SLOPE = [1.49357057, 1.68174444, 0.90562882, 0.50109377, 0.53699031, 1.02348051]
GIRTH_CUTS = [
    [-1.51524369, -0.54952582, 0.38565127, 1.54192373],
    [-1.48883590, -0.40652479, 0.32962531, 1.46285206],
    [-2.33974888, -0.61112522, 0.77124854, 2.51931976],
    [-3.85077012, -1.32022090, 0.79841891, 3.85077009],
    [-5.06146508, -2.09960013, 0.67144107, 3.58709581],
    [-1.98347581, -0.67775525, 0.65658511, 1.98347579],
]


@pytest.mark.parametrize(
    ("slope", "cuts", "within"),
    [
        (R_SLOPE, R_CUTS, 1e-4),  # both stop near the maximum, where the likelihood is flat
        (GIRTH_SLOPE, GIRTH_CUTS, 0.06),  # half the smallest standard error of a cut
    ],
    ids=["optim", "girth"],
)
def test_the_graded_model(data: pd.DataFrame, slope: list[float], cuts: list[list[float]], within: float) -> None:
    model = fit_graded(10 * (turned(data) - 1) / 4, NAMES)
    np.testing.assert_allclose(model.slope, slope, rtol=0, atol=within)
    np.testing.assert_allclose(np.array(model.cuts), cuts, rtol=0, atol=within)
    assert model.loglik == pytest.approx(LOGLIK, abs=1e-3)  # 41 nodes to 5, 201 to 6
