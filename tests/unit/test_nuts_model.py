r"""The density that NUTS samples from, against the same formulas in numpy and scipy; nothing is sampled here.

With p(theta) the priors, x the unit ICAR fields, Q the scaled structure and n_c x_c the sums per component, it is
log p(theta) - x'Qx / 2 - sum_c n_c mean_c(x)^2 / 2 - sum_sk |R'(y - prediction)|^2 / 2, the prediction of a wijk from
the mean of eta over its residents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import ISLAND, SUBDIMENSIONS, make_areas, make_scores, per_wijk
from scipy import stats
from scipy.special import digamma, expit, polygamma

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.engines import nuts
from buurtsae.model.design import Design, design
from buurtsae.model.frame import Frame
from buurtsae.model.links import Link
from buurtsae.model.parameters import LKJ
from buurtsae.model.priors import PC, Beta, LogNormal, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.model.terms.base import Term
from buurtsae.survey.direct import DirectEstimates, direct


@dataclass(frozen=True)
class Built:
    """A design, its estimates, and its model as a function of the values of its variables."""

    arrays: Design
    estimates: DirectEstimates
    model: Any
    evaluate: Any

    def __call__(self, point: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [v.name for v in self.model.value_vars]
        found = self.evaluate(*map(point.get, names))
        return dict(zip(("priors", "likelihood", "icar", "eta", "variances", "R_u"), found, strict=True))

    def point(self, seed: int) -> dict[str, np.ndarray]:
        """Random values of all variables, on the scale that the sampler moves in."""
        rng, start = np.random.default_rng(seed), self.model.initial_point()
        return {v.name: rng.normal(0, 0.7, np.shape(start[v.name])) for v in self.model.value_vars}


@pytest.fixture(scope="module")
def areas() -> Areas:
    return make_areas()


def built(
    areas: Areas, subdimensions: tuple[str, ...], terms: list[Term], joint: bool = False, wijk: bool = False
) -> Built:
    model = AreaModel(
        "1 + groen",
        terms,  # type: ignore[arg-type]
        Normal(6, 2),
        Normal(0.1, 0.5),
        Link(Normal(0.2, 0.75), LogNormal(0.1, 0.25), PC(0.7, 0.04)),
        variances=PC(0.4, 0.05) if joint else None,
        missing="impute",
    )
    first, second = make_scores(areas, subdimensions, 2, np.random.default_rng(1))
    estimates = direct([first, per_wijk(second) if wijk else second], areas)
    if joint:
        estimates = with_variances(estimates)
    arrays = design(model, estimates)
    pymc_model = nuts.build(arrays)
    with nuts.quiet_imports():
        import pytensor
        import pytensor.tensor as pt

        zero = pt.zeros(())
        wanted = [
            pymc_model.logp(vars=pymc_model.free_RVs, jacobian=False),
            pymc_model["likelihood"],
            pymc_model["BYM2.z0_density"] if "BYM2.z0_density" in pymc_model.named_vars else zero,
            pymc_model["eta"],
            pymc_model["variances"] if joint else zero,
            pymc_model["BYM2.R_u"] if "BYM2.R_u" in pymc_model.named_vars else zero,
        ]
        outputs = pymc_model.replace_rvs_by_values(wanted)
        function = pytensor.function(pymc_model.value_vars, outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    return Built(arrays, estimates, pymc_model, function)


def with_variances(estimates: DirectEstimates) -> DirectEstimates:
    """Add variances within buurten, any numbers, known where there are two respondents."""
    rng, sources = np.random.default_rng(3), []
    for s in estimates.sources:
        freedom = np.maximum(s.respondents - 1.0, 0.0)
        sources.append(replace(s, within=rng.uniform(0.5, 3, s.mean.shape), freedom=freedom))
    return replace(estimates, sources=tuple(sources))


def spatial(areas: Areas, shared: bool = False) -> list[Term]:
    return [
        BYM2(areas.graph(), sd=PC(0.9, 0.02), spread=0.3, mixing=Beta(2, 3), correlation=LKJ(4), shared=shared),
        IID("gemeente", sd=PC(0.8, 0.03), spread=0.2, correlation=LKJ(1.5)),
    ]


@pytest.fixture(scope="module")
def four(areas: Areas) -> Built:
    return built(areas, SUBDIMENSIONS, spatial(areas))


@pytest.fixture(scope="module")
def shared(areas: Areas) -> Built:
    return built(areas, SUBDIMENSIONS, spatial(areas, shared=True))


@pytest.fixture(scope="module")
def one(areas: Areas) -> Built:
    return built(areas, SUBDIMENSIONS[1:2], spatial(areas))


@pytest.fixture(scope="module")
def joint(areas: Areas) -> Built:
    return built(areas, SUBDIMENSIONS, spatial(areas), joint=True)


@pytest.fixture(scope="module")
def wijk(areas: Areas) -> Built:
    """The second source is known per wijk, with variances modelled too."""
    return built(areas, SUBDIMENSIONS, spatial(areas), joint=True, wijk=True)


@pytest.fixture(params=["four", "shared", "one", "joint", "wijk"])
def both(request: pytest.FixtureRequest) -> Built:
    found: Built = request.getfixturevalue(request.param)
    return found


def root_of(below: np.ndarray, square: np.ndarray, n_dims: int) -> np.ndarray:
    """L: the rows of T scaled to length 1, for stacks (..., n_below) and (..., D - 1)."""
    t = np.zeros((*below.shape[:-1], n_dims, n_dims))
    t[..., *np.tril_indices(n_dims, -1)] = below
    t[..., 0, 0] = 1
    t[..., range(1, n_dims), range(1, n_dims)] = np.sqrt(square)
    return t / np.linalg.norm(t, axis=-1, keepdims=True)


def natural(point: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The point on the natural scale of each variable."""
    logs, odds = "_log__", "_logodds__"
    p = {k: v for k, v in point.items() if not k.endswith((logs, odds))}
    p |= {k.removesuffix(logs): np.exp(v) for k, v in point.items() if k.endswith(logs)}
    p |= {k.removesuffix(odds): expit(v) for k, v in point.items() if k.endswith(odds)}
    for name, spread in (("BYM2", 0.3), ("gemeente", 0.2)):
        if (common := p.get(f"{name}.sigma_common")) is not None:
            p[f"{name}.sigma"] = common * np.exp(spread * p.get(f"{name}.sigma_z", np.zeros(1)))
    return p


def predictor(found: Built, p: dict[str, np.ndarray]) -> np.ndarray:
    """eta by the formulas of the model, area by area."""
    arrays, n_dims = found.arrays, len(found.arrays.measures)
    # u and v share one correlation, or each has its own
    names = ("R", "R") if "BYM2.R_below" in p else ("R_u", "R_v")
    of_u, of_v, of_gemeente = (
        root_of(p[f"{name}_below"], p[f"{name}_square"], n_dims) if n_dims > 1 else np.ones((1, 1))
        for name in (*(f"BYM2.{name}" for name in names), "gemeente.R")
    )
    areas, phi = found.estimates.areas, p["BYM2.phi_"]
    icar, gemeente = areas.graph().icar, areas.frame["gemeente"].tolist()
    u = p["BYM2.z0"].copy()
    for c in np.flatnonzero(icar.size > 1):
        u[icar.component == c] -= u[icar.component == c].mean(axis=0)
    eta, residents = np.empty_like(u), np.maximum(areas.population, 200)
    gamma = p["BYM2.gamma_common"] + 0.5 * p.get("BYM2.gamma_z", np.zeros(1))
    typical = np.exp(np.log(residents[areas.inhabited]).mean())
    for a in range(len(u)):
        structured, loose = of_u @ u[a], of_v @ p["BYM2.v0"][a]
        loose = loose * (residents[a] / typical) ** -gamma if areas.inhabited[a] else loose
        eta[a] = arrays.x[a] @ p["beta"] + p["BYM2.sigma"] * (np.sqrt(1 - phi) * loose + np.sqrt(phi) * structured)
        group = sorted(set(gemeente)).index(gemeente[a])
        eta[a] += p["gemeente.sigma"] * (of_gemeente @ p["gemeente.z0"][group])
    if arrays.known is not None:
        for k, a in enumerate(np.flatnonzero(arrays.known.any(axis=(1, 2)))):
            values, vectors = np.linalg.eigh(arrays.known[a])
            eta[a] += vectors @ (np.sqrt(np.maximum(values, 0.0)) * p["v_known"][k])
    return eta


@pytest.mark.parametrize("seed", [1, 2])
def test_the_linear_predictor(both: Built, seed: int) -> None:
    point = both.point(seed)
    np.testing.assert_allclose(both(point)["eta"], predictor(both, natural(point)), rtol=1e-10, atol=1e-10)


def test_extra_variances_are_per_site(wijk: Built, four: Built) -> None:
    sites = len(wijk.arrays.site_codes)
    assert sites == 25 + 7
    assert wijk.point(1)["w"].shape == (2, sites)  # two links
    assert wijk.point(1)["z_variance"].shape == (2, sites, 4)
    assert four.point(1)["w"].shape == (2, 25)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_priors(both: Built, seed: int) -> None:
    point = both.point(seed)
    p, n_dims = natural(point), len(both.arrays.measures)
    expected = stats.norm.logpdf(p["beta"], [[6], [0.1]], [[2], [0.5]]).sum()
    for name, upper, alpha in [("BYM2", 0.9, 0.02), ("gemeente", 0.8, 0.03)]:
        expected += stats.expon.logpdf(p[f"{name}.sigma_common"], scale=-upper / np.log(alpha)).sum()
    expected += stats.beta.logpdf(p["BYM2.phi_"], 2, 3).sum()
    expected += sum(stats.norm.logpdf(p[name]).sum() for name in ("BYM2.v0", "gemeente.z0"))
    expected += stats.norm.logpdf(p["BYM2.gamma_common"], 0, 0.5).sum()
    expected += stats.norm.logpdf(p.get("v_known", np.zeros(0))).sum()
    expected += stats.norm.logpdf(p.get("BYM2.gamma_z", np.zeros(0))).sum()
    expected += stats.norm.logpdf(p["alpha"], 0.2, 0.75).sum()
    expected += stats.lognorm.logpdf(p["lambda"], 0.25, scale=np.exp(0.1)).sum()
    expected += stats.expon.logpdf(p["tau"], scale=-0.7 / np.log(0.04)).sum() + stats.norm.logpdf(p["w"]).sum()
    if "kappa" in p:
        expected += stats.expon.logpdf(p["kappa"], scale=-0.4 / np.log(0.05)).sum()
        expected += stats.norm.logpdf(p["z_variance"]).sum()
    if "omega_" in p:  # f / omega ~ chi^2_f, as a lognormal with the moments of its logarithm
        half = both.arrays.doubtful[both.arrays.doubtful > 0] / 2
        middle = np.exp(np.log(half) - digamma(half))
        expected += stats.lognorm.logpdf(p["omega_"], np.sqrt(polygamma(1, half)), scale=middle).sum()
    if n_dims > 1:
        expected += sum(stats.norm.logpdf(p[f"{name}.sigma_z"]).sum() for name in ("BYM2", "gemeente"))
        matrices = [name.removesuffix("_below") for name in p if name.endswith("_below")]
        assert matrices in (["BYM2.R", "gemeente.R"], ["BYM2.R_u", "BYM2.R_v", "gemeente.R"])
        for name in matrices:
            eta = 4 if name.startswith("BYM2") else 1.5
            degrees = [2 * eta + n_dims - i for i in range(2, n_dims + 1)]
            expected += stats.norm.logpdf(p[f"{name}_below"]).sum()
            expected += stats.chi2.logpdf(p[f"{name}_square"], degrees).sum()
    assert both(point)["priors"] == pytest.approx(expected, rel=1e-8)  # as exact as PyMC's constants


def test_the_likelihood(both: Built) -> None:
    """Differences between points, where the constant of the density drops out."""

    def expected(point: dict[str, np.ndarray]) -> float:
        p = natural(point)
        eta, arrays = predictor(both, p), both.arrays
        score = np.vstack([eta, *(mean_of(both.estimates.areas, eta, code) for code in arrays.site_codes[len(eta) :])])
        alpha, slope = np.zeros(arrays.linked.shape), np.ones(arrays.linked.shape)
        alpha[arrays.linked], slope[arrays.linked] = p["alpha"], p["lambda"]
        extra = np.zeros(arrays.y.shape)
        for k, (s, d) in enumerate(zip(*np.nonzero(arrays.linked), strict=True)):
            extra[s, :, d] = p["tau"][k] * p["w"][k]
        h = log_variances(p, arrays)
        if "omega_" in p:
            of_source = np.zeros(arrays.doubtful.shape)
            of_source[arrays.doubtful > 0] = np.log(p["omega_"])
            h = h + of_source[:, None]
        total = 0.0
        for s, source in enumerate(both.estimates.sources):
            for row, code in enumerate(source.codes):
                seen = np.isfinite(source.mean[row])
                k = arrays.site_codes.index(code)
                mean = arrays.centre + alpha[s] + slope[s] * (score[k] - arrays.centre) + extra[s, k]
                sd = np.exp(h[s, k] / 2)
                v = (source.variance[row] * np.outer(sd, sd))[np.ix_(seen, seen)]
                total += stats.multivariate_normal.logpdf(source.mean[row, seen], mean[seen], v)
        return total

    points = [both.point(seed) for seed in range(3)]
    if "kappa_log__" in points[0]:  # the density of the factors is in `variances`; here all points have the same
        points = [p | {name: points[0][name] for name in ("kappa_log__", "z_variance")} for p in points]
    ours, scipys = [both(p)["likelihood"] for p in points], [expected(p) for p in points]
    np.testing.assert_allclose(np.diff(ours), np.diff(scipys), rtol=1e-9)


def mean_of(areas: Areas, eta: np.ndarray, wijk: str) -> np.ndarray:
    """The score of a wijk: the mean over its residents."""
    frame = areas.frame.assign(row=range(len(areas.frame)))
    own = frame[frame["wijk"] == wijk]
    return np.average(eta[own["row"]], axis=0, weights=own["population"])


def log_variances(p: dict[str, np.ndarray], arrays: Design) -> np.ndarray:
    """h of every source, area and sub-dimension; 0 where variances are known."""
    if "kappa" not in p:
        return np.zeros(arrays.y.shape)
    kappa = p["kappa"][:, None]
    return np.asarray(kappa * p["z_variance"] - kappa**2 / 2)


@pytest.mark.parametrize("name", ["joint", "wijk"])
def test_the_density_of_the_variances(name: str, request: pytest.FixtureRequest) -> None:
    """log |V|^(-1/2) of what depends on h, and s^2 f / (S exp(h)) ~ chi^2_f, in differences between points."""

    joint: Built = request.getfixturevalue(name)

    def expected(point: dict[str, np.ndarray]) -> float:
        p = natural(point)
        h, total = log_variances(p, joint.arrays), 0.0
        for s, source in enumerate(joint.estimates.sources):
            assert source.within is not None
            assert source.freedom is not None
            for row, code in enumerate(source.codes):
                a = joint.arrays.site_codes.index(code)
                for d in np.flatnonzero(np.isfinite(source.mean[row])):
                    total -= h[s, a, d] / 2
                    if (f := source.freedom[row, d]) > 0:
                        pooled = source.variance[row, d, d] * source.n_effective[row, d]
                        scale = pooled * np.exp(h[s, a, d]) / f
                        total += stats.chi2.logpdf(source.within[row, d], f, scale=scale)
        return total

    points = [joint.point(seed) for seed in range(3)]
    ours, scipys = [joint(p)["variances"] for p in points], [expected(p) for p in points]
    np.testing.assert_allclose(np.diff(ours), np.diff(scipys), rtol=1e-9)


def test_the_icar_density(both: Built) -> None:
    """-x'Qx / 2, the island's unit precision included, and a unit-scale normal prior for the level of a component."""
    icar = both.estimates.areas.graph().icar
    assert icar.size.tolist() == [24, 1]
    for seed in (1, 2):
        point = both.point(seed)
        x = point["BYM2.z0"]
        level = icar.means @ x
        expected = -0.5 * (x * (icar.precision @ x)).sum() - 0.5 * (24 * level**2).sum()
        assert both(point)["icar"] == pytest.approx(expected, rel=1e-10)


def test_the_level_of_a_component_leaves_the_model(both: Built) -> None:
    point = both.point(1)
    moved = point | {"BYM2.z0": point["BYM2.z0"] + 5 * (np.array(both.arrays.areas) != ISLAND)[:, None]}
    np.testing.assert_allclose(both(moved)["eta"], both(point)["eta"], rtol=0, atol=1e-12)
    island = point | {
        "BYM2.z0": point["BYM2.z0"] + (np.array(both.arrays.areas) == ISLAND)[:, None]
    }  # not constrained: it counts
    assert (abs(both(island)["eta"] - both(point)["eta"]).max(axis=0) > 0.01).all()


def test_component_means_are_removed_exactly(areas: Areas) -> None:
    """Components of 15, 8, 1 and 1 areas: the gemeenten apart, and the first buurt from its own."""
    whole, gemeente = areas.graph(), areas.frame["gemeente"].to_numpy()
    apart = [(whole.codes[i], whole.codes[j]) for i, j in whole.edges if gemeente[i] == gemeente[j] and i > 0]
    graph = Graph.from_pairs(whole.codes, apart)
    assert sorted(graph.icar.size) == [1, 1, 8, 15]
    with nuts.quiet_imports():
        import pymc as pm
        import pytensor.tensor as pt

        with pm.Model():
            effect = BYM2(graph).on(Frame(areas, pd.DataFrame(), ("a", "b")))
            fields = nuts._unit_field("u", effect, {}, 2, pm, pt)
            x = np.random.default_rng(1).normal(3, 1, size=(25, 2))
            removed = fields.eval({next(v for v in fields.owner.inputs if v.name == "u"): x}, mode="FAST_COMPILE")
    for c, size in enumerate(graph.icar.size):
        member = graph.icar.component == c
        expected = x[member] - (x[member].mean(axis=0) if size > 1 else 0)
        np.testing.assert_allclose(removed[member], expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(graph.icar.means @ removed, 0, rtol=0, atol=1e-14)


def test_the_root_of_the_correlations(four: Built) -> None:
    point = four.point(1)
    p = natural(point)
    found = four(point)["R_u"]
    np.testing.assert_allclose(found, root_of(p["BYM2.R_u_below"], p["BYM2.R_u_square"], 4)[None], rtol=1e-12)
    np.testing.assert_allclose((found @ found.swapaxes(1, 2))[:, range(4), range(4)], 1, rtol=1e-12)


@pytest.mark.parametrize(("n_dims", "eta"), [(4, 2.0), (3, 1.0), (2, 5.0)])
def test_the_correlations_are_lkj(n_dims: int, eta: float) -> None:
    """Every correlation of LKJ(eta) is 2 b - 1, b ~ Beta(k, k) with k = eta + (D - 2) / 2 (Lewandowski et al. 2009)."""
    rng, n = np.random.default_rng(1), 20_000
    below = rng.normal(size=(n, n_dims * (n_dims - 1) // 2))
    square = rng.chisquare([2 * eta + n_dims - i for i in range(2, n_dims + 1)], size=(n, n_dims - 1))
    root = root_of(below, square, n_dims)
    r = root @ root.swapaxes(1, 2)
    k = eta + (n_dims - 2) / 2
    for i, j in zip(*np.tril_indices(n_dims, -1), strict=True):
        # ten tests at 0.001: a false alarm in 1 percent of seeds; 20,000 draws see a shape that is off by 5 percent
        assert stats.kstest((r[:, i, j] + 1) / 2, stats.beta(k, k).cdf).pvalue > 0.001
    wrong = stats.beta(1.1 * k, 1.1 * k)
    assert stats.kstest((r[:, 1, 0] + 1) / 2, wrong.cdf).pvalue < 0.001  # the test has power


def test_the_determinant_of_the_correlations_is_that_of_lkj() -> None:
    """The density |R|^(eta - 1) as a whole, by E log|R| of the vine construction in Lewandowski et al. (2009)."""
    rng, n, n_dims, eta = np.random.default_rng(2), 20_000, 4, 2.0
    square = rng.chisquare([2 * eta + n_dims - i for i in range(2, n_dims + 1)], size=(n, n_dims - 1))
    root = root_of(rng.normal(size=(n, 6)), square, n_dims)
    log_det = 2 * np.log(root[:, range(n_dims), range(n_dims)]).sum(axis=1)
    partial = [(eta + (n_dims - 1 - k) / 2, n_dims - k) for k in range(1, n_dims)]  # vines: level k has D - k of them,
    # each 1 - r^2 ~ Beta(b, 1/2) with b = eta + (D - 1 - k) / 2, and |R| is the product of all (theorem 1)
    expected = sum(times * (digamma(b) - digamma(b + 0.5)) for b, times in partial)
    assert log_det.mean() == pytest.approx(expected, abs=4 * log_det.std() / np.sqrt(n))


def test_a_model_without_terms(areas: Areas) -> None:
    found = built(areas, SUBDIMENSIONS[:2], [])
    point = found.point(1) | {"v_known": np.zeros((1, 2))}  # of the buurt whose covariate was imputed
    np.testing.assert_allclose(found(point)["eta"], found.arrays.x @ point["beta"], rtol=1e-12)
    assert not any("." in name for name in found.model.named_vars)  # nothing of an effect


def test_one_source_has_no_link(areas: Areas) -> None:
    estimates = direct(make_scores(areas, SUBDIMENSIONS, 1, np.random.default_rng(1)), areas)
    model = nuts.build(design(AreaModel(), estimates))
    assert {v.name for v in model.free_RVs} == {"beta", "omega_"}  # few respondents: V has an error


def test_levels_of_parts(areas: Areas) -> None:
    """Of 10 and 14 buurten; the last is alone. The level of an area is r sigma R's root times its part's."""
    codes = list(areas.codes)
    parts = Graph.from_pairs(codes, [(codes[k], codes[k + 1]) for k in range(23) if k != 9])
    found = built(areas, SUBDIMENSIONS[:2], [BYM2(parts)])
    point = found.point(1)
    p = natural(point)
    sigma = p["BYM2.sigma_common"] * np.exp(0.25 * p["BYM2.sigma_z"])  # the spread by default
    root = root_of(p["BYM2.R_below"], p["BYM2.R_square"], 2)
    level = p["BYM2.level_common"] * sigma * (p["BYM2.l0"] @ root.T)
    expected = np.vstack([np.repeat(level, [10, 14], axis=0), np.zeros((1, 2))])
    without = found(point | {"BYM2.l0": np.zeros((2, 2))})
    np.testing.assert_allclose(found(point)["eta"] - without["eta"], expected, atol=1e-12)
    # r is lognormal and l normal, which is all that they add to the priors
    l0, log_r = point["BYM2.l0"], point["BYM2.level_common_log__"]
    unit = {"BYM2.l0": np.zeros((2, 2)), "BYM2.level_common_log__": np.zeros(1)}
    change = stats.norm.logpdf(l0).sum() - 4 * stats.norm.logpdf(0)
    change += (
        stats.lognorm.logpdf(np.exp(log_r), 0.4, scale=np.exp(-0.7)) - stats.lognorm.logpdf(1, 0.4, scale=np.exp(-0.7))
    ).sum()
    assert found(point)["priors"] - found(point | unit)["priors"] == pytest.approx(change, abs=1e-10)


def test_two_fields_add_up(areas: Areas) -> None:
    """On other graphs: the buurten that touch, and each with the next by its code."""
    codes = list(areas.codes)
    line = Graph.from_pairs(codes, list(pairwise(codes)))
    found = built(areas, SUBDIMENSIONS[:2], [BYM2(areas.graph()), BYM2(line, name="line")])
    assert nuts.supports(found.arrays) == []
    point = found.point(1) | {"v_known": np.zeros((1, 2))}

    def without(*names: str) -> np.ndarray:
        silent = {f"{name}.{part}0": np.zeros((25, 2)) for name in names for part in "zv"}
        return found(point | silent)["eta"]

    np.testing.assert_allclose(without("BYM2", "line"), found.arrays.x @ point["beta"], rtol=1e-12)
    both = without("BYM2") + without("line") - without("BYM2", "line")
    np.testing.assert_allclose(found(point)["eta"], both, rtol=1e-12)
    assert (np.abs(without("line") - found(point)["eta"]).max(axis=0) > 0.01).all()
