r"""Residents with known scores: the truth that estimates are compared with.

    eta_ad = mu_d + x_a'beta_d + sigma_d (sqrt(1 - phi_d) v_ad + sqrt(phi_d) u_ad) + g_(gemeente of a, d)
    resident i of age h:  z_id = eta_ad + delta_h + tau_d p_id,   item j:  y_ij = l_j (z_id + s) + N(0, 1)

v, u, g and p are normal, correlated over sub-dimensions d, u a scaled ICAR field per d; category k is answered when
y_ij lies between cuts c_jk and c_j(k+1). With r_jk the score of category k, the expected score on item j is exactly

    E_j = r_j0 + sum_k (r_jk - r_j(k-1)) Phi((l_j (eta_ad + delta_h + s) - c_jk) / sqrt(1 + l_j^2 tau_d^2)),

and the truth of a buurt its mean over items and over the ages of the residents (Lord and Novick 1968, ch. 16). What
else may be true, that no model here says, is in `departure`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from zlib import crc32

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.special import ndtr

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.areas.icar import all_but_one
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.simulate.departure import NONE, Departure
from buurtsae.sparse import Floats, Ints, factor
from buurtsae.survey.codebook import Codebook, Item
from buurtsae.survey.concept import Concept
from buurtsae.survey.scales import item_score

AGES = ("15-34", "35-64", "65+")
SHARE_65PLUS = "pct_65plus"  # the covariate that gives the share of the oldest group, where the areas have it
CUT_SPAN = 4.4  # cuts divide this stretch of the latent scale: about three standard deviations of an answer


@dataclass(frozen=True)
class TruthSpec:
    """What the simulated residents are like. Effects are on the latent scale, where one unit is about 2 points on 0-10.

    The defaults give buurt means around 6 with a standard deviation of 0.6 to 0.9 between buurten, 1.6 to 2.0 between
    the respondents of a buurt, and correlations of 0.3 to 0.7 between sub-dimensions.

    Attributes
    ----------
    reference : str
        Source whose items define the true scores (identifier or path of a codebook).
    covariates : tuple of str
        Columns of the areas that matter; standardised over inhabited buurten, missing is average.
    effects : tuple of float
        Size and sign of each covariate's effect relative to the others; empty: all 1. Varied per sub-dimension.
    explained : float
        Share of the variance between buurten that the covariates explain.
    level, sigma, phi : tuple of float, one per sub-dimension
        Mean, standard deviation of the area effect, and its spatially structured share.
    correlation : tuple of rows
        Between the sub-dimensions' effects (v, u, and g).
    gemeente_sd : float
        Standard deviation of the gemeente effect.
    person_sd : tuple of float, one per sub-dimension
    person_correlation : float
        Between the sub-dimensions' effects of one person.
    age_effect, age_share, response : tuple of float, one per age group of `AGES`
        Effect on the score, average share of residents, and relative inclination to respond.
    other_shift, other_loading, other_extra : float
        Level and discrimination of the items of surveys other than the reference, and the standard deviation of what
        such a survey finds more or less in a buurt, beyond sampling.
    open_shift, open_loading, open_extra : float
        The same for participatory sources, where residents come of their own accord.
    no_answer : float
        Share of answers that are 'geen antwoord'.
    shifts : tuple of pairs of str and float
        What is added to the level of a source's answers, by codebook: of questions that are asked otherwise. The truth
        is what the reference finds without it.
    departure : Departure
        What is true that the model does not say; nothing by default.
    """

    reference: str = "veiligheidsmonitor"
    covariates: tuple[str, ...] = ()
    effects: tuple[float, ...] = ()
    explained: float = 0.35
    level: tuple[float, ...] = (0.4, 0.35, 0.35, 0.45)
    sigma: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    phi: tuple[float, ...] = (0.6, 0.6, 0.6, 0.6)
    correlation: tuple[tuple[float, ...], ...] = (
        (1.0, 0.45, 0.4, 0.25),
        (0.45, 1.0, 0.3, 0.2),
        (0.4, 0.3, 1.0, 0.45),
        (0.25, 0.2, 0.45, 1.0),
    )
    gemeente_sd: float = 0.08
    person_sd: tuple[float, ...] = (0.68, 0.48, 0.5, 0.58)
    person_correlation: float = 0.5
    age_effect: tuple[float, ...] = (-0.15, 0.0, 0.2)
    age_share: tuple[float, ...] = (0.31, 0.47, 0.22)
    response: tuple[float, ...] = (0.6, 1.0, 1.4)
    other_shift: float = 0.35
    other_loading: float = 0.8
    other_extra: float = 0.0
    open_shift: float = 0.6
    open_loading: float = 0.7
    open_extra: float = 0.25
    no_answer: float = 0.03
    shifts: tuple[tuple[str, float], ...] = ()
    departure: Departure = NONE


DEFAULT = TruthSpec()


@dataclass(frozen=True)
class Question:
    """An item as residents answer it: loading, source shift, cuts, and per category its code and score."""

    item: Item
    dimension: int
    loading: float
    shift: float
    cuts: Floats
    codes: Ints
    scores: Floats


@dataclass(frozen=True)
class Truth:
    """Residents and what is true of them.

    Attributes
    ----------
    spec : TruthSpec
    concept : Concept
    codes : tuple of str
        Buurtcodes, sorted.
    persons : ndarray of int, shape (n_areas, n_ages)
        Residents per age group.
    beta : ndarray, shape (n_covariates, n_subdimensions)
        Effects of the standardised covariates.
    latent : ndarray, shape (n_areas, n_subdimensions)
        eta.
    spread : ndarray, shape (n_areas,)
        Standard deviation of the effects of persons over that of the spec.
    """

    spec: TruthSpec
    concept: Concept
    codes: tuple[str, ...]
    persons: Ints
    beta: Floats
    latent: Floats
    spread: Floats

    @cached_property
    def scores(self) -> Floats:
        """True sub-dimension scores on 0-10, shape (n_areas, n_subdimensions); NaN without residents."""
        unshifted = replace(self, spec=replace(self.spec, shifts=()))
        return expected_scores(unshifted, Codebook.load(self.spec.reference))

    def table(self) -> pd.DataFrame:
        """Return one row per inhabited buurt and measure: `area_code`, `measure`, `truth`."""
        wide = pd.DataFrame(self.scores @ self.concept.matrix.T, index=self.codes, columns=self.concept.measures)
        long = wide.dropna().rename_axis("area_code").reset_index()
        table = long.melt("area_code", var_name="measure", value_name="truth")
        return table.sort_values(["area_code", "measure"], ignore_index=True)


def simulate_truth(areas: Areas, graph: Graph, spec: TruthSpec = DEFAULT, seed: int = 1) -> Truth:
    """Draw the residents of the areas and their true scores; surveys with other seeds ask the same residents.

    Raises DataError, ModelError or ProblemsError if the spec contradicts itself, the areas, their graph or the
    reference's codebook; everything at once.
    """
    concept = Concept.load()
    _check(areas, graph, spec, concept)
    stream = np.random.SeedSequence(seed, spawn_key=(0,)).spawn(4)
    effects, people, slopes, other = map(np.random.default_rng, stream)
    departure, buurten, dims = spec.departure, len(areas.codes), len(concept.subdimensions)
    sigma, phi = np.array(spec.sigma), np.array(spec.phi)
    mix = np.linalg.cholesky(np.array(spec.correlation)).T
    v = departure.own(effects.standard_normal((buurten, dims)) @ mix, areas, other)
    u = draw_icar(graph, dims, effects)[pd.Index(graph.codes).get_indexer(areas.codes)] @ mix
    if departure.over_water:
        u = departure.smooth_field(areas, dims, other) @ mix
    labels, gemeente = np.unique(areas.parents("gemeente").to_numpy(dtype=str), return_inverse=True)
    g = spec.gemeente_sd * effects.standard_normal((len(labels), dims)) @ mix
    field = sigma * (np.sqrt(1 - phi) * v + np.sqrt(phi) * u) + g[gemeente]

    x = _standardised(areas, spec.covariates)
    beta = np.array(spec.effects or np.ones(x.shape[1]))[:, None] * slopes.uniform(0.5, 1.5, (x.shape[1], dims))
    total = sigma**2 + spec.gemeente_sd**2
    if spec.covariates:
        between = np.sqrt(spec.explained / (1 - spec.explained) * total)
        beta *= between / (x @ beta)[areas.inhabited].std(axis=0)
        total = total / (1 - spec.explained)
    effect = x @ beta + field
    if departure.quadratic:
        effect = effect + departure.quadratic * _standard(x[:, :1] ** 2, areas.inhabited) * beta[:1]
    persons = _persons(areas, spec, people)
    if departure.figures:
        figures = areas.frame[list(departure.figures)].to_numpy(dtype=float)
        known = areas.inhabited & np.isfinite(figures).all(axis=1)
        persons[~known] = 0
        effect = np.sqrt(total) * _standard(figures, known)
    latent = spec.level + effect + departure.shift(areas, graph, other)
    return Truth(spec, concept, tuple(areas.codes), persons, beta, latent, departure.spread(buurten, other))


def draw_icar(graph: Graph, size: int, rng: np.random.Generator) -> Floats:
    """Draw `size` times from the scaled intrinsic CAR, exactly; shape (n_areas, size).

    The covariance is Q^+, with sum zero per component; islands are iid N(0, 1). With B the weighted incidence matrix,
    Q = B B': then b = B e has covariance Q, and Q^+ b has Q^+ Q Q^+ = Q^+.
    """
    icar, (first, second) = graph.icar, graph.edges.T
    nodes, pairs = len(graph.codes), len(graph.edges)
    weight = np.sqrt(icar.scale[icar.component[first]])
    edge = np.arange(pairs)
    incidence = sp.csr_array((np.r_[weight, -weight], (np.r_[first, second], np.r_[edge, edge])), shape=(nodes, pairs))
    b = incidence @ rng.standard_normal((pairs, size))
    island = icar.size[icar.component] == 1
    b[island] = rng.standard_normal((int(island.sum()), size))
    kept = all_but_one(icar.component, icar.size)  # b sums to zero per component: solutions are Q^+ b plus a constant
    u = np.zeros((nodes, size))
    u[kept] = factor(icar.precision[kept][:, kept]).solve(b[kept])
    member = sp.csr_array((icar.means != 0).T.astype(float))
    return np.asarray(u - member @ (icar.means @ u))


def questions(codebook: Codebook, spec: TruthSpec, concept: Concept) -> list[Question]:
    """Return how residents answer each item of a codebook; the same in every survey with these items.

    An item's loading (0.85 to 1.15) and difficulty (-0.3 to 0.3) follow from its name: they belong to the
    questionnaire, not to a draw.
    """
    loading, shift = source_effects(codebook, spec)[:2]
    asked = []
    for item in codebook.items:
        draw = np.random.default_rng(crc32(f"{codebook.id}.{item.name}".encode())).uniform(-1, 1, 2)
        codes = np.array(item.codes if item.worst < item.best else item.codes[::-1], dtype=np.int64)
        cuts = CUT_SPAN * (np.arange(1, len(codes)) / len(codes) - 0.5) + 0.3 * draw[0]
        scores = item_score(pd.Series(codes), item).to_numpy(dtype=float)
        dimension = concept.subdimensions.index(item.subdimension)
        asked.append(Question(item, dimension, loading * (1 + 0.15 * draw[1]), shift, cuts, codes, scores))
    return asked


def source_effects(codebook: Codebook, spec: TruthSpec) -> tuple[float, float, float]:
    """Return discrimination, level, and standard deviation per buurt of a source: 1, 0, 0 for the reference."""
    shift = sum(added for source, added in spec.shifts if Codebook.load(source).id == codebook.id)
    if codebook.id == Codebook.load(spec.reference).id:
        return 1.0, shift, 0.0
    if codebook.kind == "participatory":
        return spec.open_loading, spec.open_shift + shift, spec.open_extra
    return spec.other_loading, spec.other_shift + shift, spec.other_extra


def expected_scores(truth: Truth, codebook: Codebook) -> Floats:
    """Return the expected scores of residents on the items of a source, shape (n_areas, n_subdimensions).

    NaN for areas without residents, and for sub-dimensions that the source does not ask.
    """
    spec, total = truth.spec, truth.persons.sum(axis=1, keepdims=True)
    share = np.divide(truth.persons, total, out=np.full(truth.persons.shape, np.nan), where=total > 0)
    items: list[list[Floats]] = [[] for _ in truth.concept.subdimensions]
    for question in questions(codebook, spec, truth.concept):
        centre = question.loading * (truth.latent[:, [question.dimension]] + spec.age_effect + question.shift)
        person_sd = spec.person_sd[question.dimension] * truth.spread[:, None, None]
        sd = np.hypot(1.0, question.loading * person_sd)
        above = ndtr((centre[..., None] - question.cuts) / sd)  # area, age, cut
        items[question.dimension].append((share * (question.scores[0] + above @ np.diff(question.scores))).sum(axis=1))
    absent = np.full(len(truth.codes), np.nan)
    return np.column_stack([np.mean(each, axis=0) if each else absent for each in items])


def _standardised(areas: Areas, covariates: tuple[str, ...]) -> Floats:
    x = areas.frame[list(covariates)].to_numpy(dtype=float)
    return _standard(x, areas.inhabited) if covariates else x


def _standard(x: Floats, known: np.ndarray) -> Floats:
    """Columns with mean 0 and standard deviation 1 over the known rows, missing is average."""
    return np.nan_to_num((x - np.nanmean(x[known], axis=0)) / np.nanstd(x[known], axis=0))


def _persons(areas: Areas, spec: TruthSpec, rng: np.random.Generator) -> Ints:
    """Residents per age group; the share of the oldest from `pct_65plus` where known."""
    share = np.tile(np.array(spec.age_share) / np.sum(spec.age_share), (len(areas.codes), 1))
    if SHARE_65PLUS in areas.covariates:
        old = areas.frame[SHARE_65PLUS].to_numpy(dtype=float) / 100
        old = np.where(np.isnan(old), share[:, -1], old)
        share[:, :-1] *= ((1 - old) / (1 - share[:, -1]))[:, None]
        share[:, -1] = old
    return np.asarray(rng.multinomial(areas.population.astype(np.int64), share))


def _check(areas: Areas, graph: Graph, spec: TruthSpec, concept: Concept) -> None:
    problems = Problems()
    if set(graph.codes) != set(areas.codes):
        differ = sorted(set(graph.codes) ^ set(areas.codes))
        problems.add("graph and areas differ", shown(differ), "the same codes", "use areas.graph()")
    if not areas.inhabited.any():
        problems.add("no area has residents", "0 residents", "some", "name the column of residents")
    for column in spec.covariates:
        if column not in areas.covariates:
            hint = "join its table, or leave it out"
            problems.add("the areas lack a covariate of the truth", repr(column), shown(areas.covariates), hint)
        elif areas.frame.loc[areas.inhabited, column].nunique() < 2:
            problems.add(f"covariate {column} does not vary", "one value or none", "several values", "leave it out")
    spec.departure.check(areas, len(concept.subdimensions), problems)
    if spec.departure.quadratic and not spec.covariates:
        problems.add("a quadratic effect", "no covariates", "one or more", "name a covariate of the truth", ModelError)
    items = [item.name for item in Codebook.load(spec.reference).items]
    if wrong := sorted(set(spec.departure.reversed) - set(items)):
        problems.add("items to reverse are unknown", shown(wrong), shown(items), "correct the names", ModelError)
    if spec.effects and len(spec.effects) != len(spec.covariates):
        what, hint = "effects and covariates differ in number", "give one per covariate, or none"
        problems.add(what, f"{len(spec.effects)} effects", f"{len(spec.covariates)}", hint, ModelError)
    each = len(concept.subdimensions), "sub-dimension"
    lengths = dict.fromkeys(("level", "sigma", "phi", "correlation", "person_sd"), each)
    lengths |= dict.fromkeys(("age_effect", "age_share", "response"), (len(AGES), "age group"))
    for name, (length, part) in lengths.items():
        if (number := len(getattr(spec, name))) != length:
            expected = f"{length}, one per {part}"
            problems.add(f"the truth's {name}", f"{number} values", expected, "correct it", ModelError)
    if absent := [name for name in concept.subdimensions if name not in Codebook.load(spec.reference).subdimensions]:
        what = f"{spec.reference} cannot define the true scores"
        problems.add(what, f"no items on {shown(absent)}", "items on every sub-dimension", "name another source first")
    problems.raise_if_any()
