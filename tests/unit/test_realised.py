"""The realised mean of residents: exact moments, and coverage in finite populations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_fit import SUBDIMENSIONS, WITHIN, make_areas, make_scores, per_wijk
from scipy.linalg import block_diag

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import fit
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.model.design import design
from buurtsae.model.priors import Normal
from buurtsae.model.realised import CENSUS
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.survey.components import shrunk
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

MEASURES = SUBDIMENSIONS[:2]
TOGETHER = 0.4  # correlation of the scores of one resident on both measures


def small(residents: np.ndarray) -> Areas:
    """The 25 areas with other numbers of residents."""
    areas = make_areas()
    return replace(areas, frame=areas.frame.assign(population=residents))


AREAS = small(np.resize([12, 40, 300, 25, 80], 25))
BOTH = AreaModel("1", [BYM2(AREAS.graph())], Normal(5, 4))
MODELS = {name: replace(BOTH, estimand=name) for name in ("expected", "realised")}


def answers(rng: np.random.Generator, share: float) -> tuple[DirectEstimates, np.ndarray, np.ndarray]:
    """Respondents who are a share of the residents of each area, with eta and the means of all residents."""
    eta = 6 + 0.6 * rng.normal(size=(25, 2))
    root = WITHIN * np.linalg.cholesky([[1, TOGETHER], [TOGETHER, 1]])
    frames, means = [], np.empty((25, 2))
    for a, (code, residents) in enumerate(AREAS.frame["population"].items()):
        scores = eta[a] + rng.normal(size=(int(residents), 2)) @ root.T
        means[a] = scores.mean(axis=0)
        asked = pd.DataFrame(scores[: max(int(share * residents), 1)], columns=list(MEASURES))
        frames.append(asked.assign(area_code=code, weight=1.0, stratum="een"))
    scores = Scores(pd.concat(frames, ignore_index=True), "veiligheidsmonitor", 2024, MEASURES)
    return direct(scores, AREAS), eta, means


def at_truth(marginal: Marginal) -> Hyper:
    """Sigma 0.6, all of it unstructured and alike in all areas, nothing in common between measures."""
    hyper = marginal.scores.hyper(np.zeros(marginal.scores.size))
    values = {name: np.array(value) for name, value in hyper.values.items()}
    values["BYM2.sigma"][:], values["BYM2.phi"][:], values["BYM2.gamma"][:] = 0.6, 1e-6, 0.0
    values["BYM2.R"][:] = np.eye(2)
    return replace(hyper, values=values)


def test_the_posterior_is_that_of_the_population() -> None:
    """With everybody's scores normal, (eta, mean of all, mean of respondents) is too, with Cov(y, r | eta) = S / N.

    E[r | y] = m + (K + S / N) (K + V)^-1 (y - m), Var[r | y] = K + S / N - (K + S / N) (K + V)^-1 (K + S / N): no
    finite population correction in it.
    """
    estimates, *_ = answers(np.random.default_rng(1), 0.3)
    marginal = Marginal.of(design(MODELS["realised"], estimates))
    found = marginal.conditional(at_truth(marginal))
    (source,) = estimates.sources
    share = block_diag(*[shrunk(source.within_area) / n for n in AREAS.population])
    k = 0.6**2 * np.eye(50) + np.kron(4.0**2 * np.ones((25, 25)), np.eye(2))
    v = block_diag(*source.variance)
    gain = np.linalg.solve(k + v, k + share).T
    np.testing.assert_allclose(found.mean.ravel(), 5 + gain @ (source.mean.ravel() - 5), atol=1e-6)
    np.testing.assert_allclose(found.sd.ravel() ** 2, np.diag(k + share - gain @ (k + share)), rtol=1e-6)


def test_data_tell_of_parameters_what_they_did() -> None:
    """Direct estimates have the same distribution under both: only what is asked differs."""
    estimates, *_ = answers(np.random.default_rng(2), 0.3)
    likelihood = {}
    for name, model in MODELS.items():
        marginal = Marginal.of(design(model, estimates))
        likelihood[name] = marginal.conditional(at_truth(marginal)).log_likelihood
    assert likelihood["realised"] == pytest.approx(likelihood["expected"], abs=1e-8)


def test_a_level_above_has_the_variance_of_its_own_residents() -> None:
    estimates, *_ = answers(np.random.default_rng(3), 0.3)
    known = design(MODELS["realised"], estimates).known
    assert known is not None
    for level in ("wijk", "gemeente", "land"):
        labels, weights = AREAS.aggregation(level)
        residents = AREAS.residents(level).loc[labels].to_numpy()
        of_level = np.einsum("gn,nde->gde", weights.toarray() ** 2, known)
        expected = shrunk(estimates.sources[0].within_area) / residents[:, None, None]
        np.testing.assert_allclose(of_level, expected, rtol=1e-12)


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_intervals_cover_what_they_are_of(share: float) -> None:
    """40 populations of 25 areas and two measures: 2,000 intervals, at known hyperparameters.

    Their share that covers has a standard error of 0.5%; measures of an area share the residents' scores (0.4), so that
    it is at most 0.6%; four of these: 92.6 to 97.4%. Of 70% that answered, intervals of the expected score are much too
    wide for the mean of the residents (they cover 99% and more), and those of the mean too narrow for the expectation.
    """
    hits: dict[tuple[str, str], list[float]] = {(model, truth): [] for model in MODELS for truth in ("eta", "mean")}
    for seed in range(40):
        estimates, eta, means = answers(np.random.default_rng([seed, 4]), share)
        for name, model in MODELS.items():
            marginal = Marginal.of(design(model, estimates))
            found = marginal.conditional(at_truth(marginal))
            for truth, value in (("eta", eta), ("mean", means)):
                hits[name, truth].append(float((np.abs(value - found.mean) < 1.96 * found.sd).mean()))
    coverage = {key: np.mean(values) for key, values in hits.items()}
    assert coverage["expected", "eta"] == pytest.approx(0.95, abs=0.024)
    assert coverage["realised", "mean"] == pytest.approx(0.95, abs=0.024)
    if share == 0.7:
        assert coverage["realised", "eta"] < 0.85
        assert coverage["expected", "mean"] > 0.98


def test_where_all_residents_answered_almost_nothing_is_left() -> None:
    estimates, _, means = answers(np.random.default_rng(5), 1.0)
    arrays = design(MODELS["realised"], estimates)
    given = estimates.sources[0].variance
    np.testing.assert_allclose(arrays.covariance[0], (1 - CENSUS) * given, rtol=1e-9)
    found = Marginal.of(arrays)
    posterior = found.conditional(at_truth(found))
    assert np.abs(posterior.mean - means).max() < 3 * 0.1 * WITHIN / np.sqrt(12)  # sd of V left: 0.1 WITHIN / sqrt(N)


def test_a_wijk_that_answered_is_a_sample_of_its_own_residents() -> None:
    rng = np.random.default_rng(6)
    areas = make_areas()
    first, second = make_scores(areas, MEASURES, 2, rng)
    estimates = direct([first, per_wijk(second)], areas)
    plain, real = (design(replace(BOTH, terms=(IID("buurt"),), estimand=name), estimates) for name in MODELS)
    source = estimates.sources[1]
    rows = plain.sites.shape[0] - len(areas.codes)
    residents = areas.residents("wijk").loc[source.codes].to_numpy()
    ratio = np.einsum("add->ad", real.covariance[1][-rows:] / plain.covariance[1][-rows:])
    np.testing.assert_allclose(ratio, 1 - source.n_effective / residents[:, None], rtol=1e-9)


def test_what_has_no_realised_mean_is_refused() -> None:
    estimates, *_ = answers(np.random.default_rng(7), 0.3)
    table = pd.DataFrame({"fips": [1, 3, 5], "rate": [2.0, 2.4, 3.1], "var": 0.2})
    bare = DirectEstimates.from_frame(table, y="rate", variance="var", area="fips")
    two = replace(estimates.sources[0], source="burgerpeiling", year=2023)
    years = replace(estimates, sources=(*estimates.sources, two), scores=()).by_year()
    for data, got in (
        (bare, "residents unknown"),
        (replace(estimates, counted=False), "respondents unknown"),
        (years, "years 2023, 2024"),
    ):
        with pytest.raises(BuurtsaeError) as caught:
            design(AreaModel("1", estimand="realised"), data)
        assert got in str(caught.value)
    with pytest.raises(ModelError, match="engine eblup does not support") as refused:
        fit(AreaModel("1", estimand="realised"), estimates, "eblup", progress=False)
    assert 'estimand = "realised"' in str(refused.value)
    with pytest.raises(ModelError, match="`estimand` is unknown"):
        AreaModel("1", estimand="true")  # type: ignore[arg-type]


def test_the_model_says_what_it_is_of() -> None:
    assert "r[a] ~ N(0, S / N[a])" in str(MODELS["realised"])
    assert "gemiddelde van de bewoners" in MODELS["realised"].words.nl
    assert "S / N[a]" not in str(MODELS["expected"])
