"""Model + data -> arrays: covariates, structures, and the precision of the observations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from made_fit import ISLAND, SUBDIMENSIONS, UNKNOWN_X, made_areas_in, make_areas, make_scores, per_wijk

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.formula import FUNCTIONS, RAW
from buurtsae.model.covariates import Provenance
from buurtsae.model.design import design
from buurtsae.model.links import Link
from buurtsae.model.matrix import covariates
from buurtsae.model.observed import checked_covariance
from buurtsae.model.priors import PC, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.survey.direct import DirectEstimates, direct


@pytest.fixture(scope="module")
def areas() -> Areas:
    return make_areas()


@pytest.fixture(scope="module")
def made(areas: Areas) -> DirectEstimates:
    return direct(make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1)), areas)


def with_columns(areas: Areas, **columns: object) -> Areas:
    return replace(areas, frame=areas.frame.assign(**columns))


def matrix_of(model: AreaModel, areas: Areas) -> tuple[tuple[str, ...], np.ndarray, tuple[Provenance, ...]]:
    names, x, part = covariates(model, areas)
    return names, x, part.covariates


def problems_of(model: AreaModel, made: DirectEstimates, areas: Areas) -> dict[str, str]:
    with pytest.raises(BuurtsaeError) as raised:
        design(model, replace(made, areas=areas))
    found = getattr(raised.value, "problems", (raised.value,))
    assert all(str(p).count("\n") == 2 for p in found)
    return {p.what: p.got for p in found}


def test_covariates_are_standardised_over_inhabited_buurten(areas: Areas) -> None:
    some = with_columns(areas, groen=np.r_[1e6, np.arange(24.0)])  # the first has no residents
    columns, x, (groen,) = matrix_of(AreaModel("1 + groen"), some)
    assert (columns, groen.imputed) == (("Intercept", "groen"), ())
    assert (groen.mean, groen.sd) == (pytest.approx(11.5), pytest.approx(np.sqrt(575 / 12)))
    np.testing.assert_array_equal(x[:, 0], 1)
    live = x[some.inhabited, 1]
    assert (live.mean(), live.std()) == (pytest.approx(0, abs=1e-14), pytest.approx(1, rel=1e-14))
    # 0 ... 23 has mean 11.5 and variance (24^2 - 1) / 12
    np.testing.assert_allclose(live, (np.arange(24) - 11.5) / np.sqrt(575 / 12), rtol=1e-13)


def test_a_buurt_without_residents_may_lack_covariates(areas: Areas) -> None:
    _, x, (groen,) = matrix_of(AreaModel("1 + groen"), with_columns(areas, groen=np.r_[np.nan, np.arange(24.0)]))
    assert groen.imputed == ()
    assert x[0, 1] == 0


def test_interactions_and_no_intercept(areas: Areas) -> None:
    some = with_columns(areas, groen=np.arange(25.0), grijs=np.cos(np.arange(25.0)))
    columns, x, _ = matrix_of(AreaModel("0 + groen + grijs + groen:grijs"), some)
    assert columns == ("groen", "grijs", "groen:grijs")
    np.testing.assert_allclose(x[:, 2], x[:, 0] * x[:, 1], rtol=1e-14)


def test_a_missing_covariate_takes_something_of_its_gemeente(areas: Areas) -> None:
    _, x, (groen,) = matrix_of(AreaModel("1 + groen", missing="impute"), areas)
    assert groen.imputed == (UNKNOWN_X,)
    known = areas.frame["groen"].where(areas.inhabited)  # the buurt without residents has no say
    expected = (areas.frame["groen"] - known.mean()) / known.std(ddof=0)
    seen = areas.codes != UNKNOWN_X
    np.testing.assert_allclose(x[seen, 1], expected[seen], rtol=1e-12)
    of_gemeente = expected[areas.inhabited & (areas.frame["gemeente"] == "GM0344")].mean()
    assert 0 <= x[~seen, 1].item() / of_gemeente < 1  # it is drawn to the mean of all


def test_where_nothing_is_known_a_covariate_is_the_mean(areas: Areas) -> None:
    groen = areas.frame["groen"].copy()
    groen[UNKNOWN_X], groen[ISLAND] = 0.5, np.nan  # the island is a gemeente of its own
    _, x, (used,) = matrix_of(AreaModel("1 + groen", missing="impute"), with_columns(areas, groen=groen))
    assert used.imputed == (ISLAND,)
    assert x[areas.codes.get_loc(ISLAND), 1] == pytest.approx(0.0, abs=1e-12)
    assert used.error == pytest.approx(1.0, abs=0.1)  # all of its spread


def test_everything_wrong_with_model_and_data_at_once(areas: Areas, made: DirectEstimates) -> None:
    some = with_columns(areas, vlak=3.0)
    other = Graph.from_pairs(["BU99990000", *areas.codes[1:]], [])
    model = AreaModel("1 + groen + vlak", [BYM2(other), IID("provincie")])  # type: ignore[arg-type]
    assert problems_of(model, made, some) == {
        "covariate groen is missing in 1 buurten with residents": UNKNOWN_X,
        "covariate vlak does not vary": "standard deviation 0",
        "the graph of BYM2 is of other areas": "2 codes in one only: BU03440000, BU99990000",
        "the areas have no such level": "'provincie'",
    }


def test_absent_unreadable_and_collinear_formulas(areas: Areas, made: DirectEstimates) -> None:
    assert problems_of(AreaModel("1 + grijs + blauw"), made, areas) == {"covariates are absent": "blauw, grijs"}
    for formula, what in (
        ("1 + + * groen", "the formula cannot be read"),
        ("groen ~ 1", "the formula has several parts"),
        ("groen | 1", "the formula has several parts"),
        ("1 + np.log(groen)", "the formula holds what is not allowed"),
        ("1 + bs(groen, df=1)", "the formula cannot be computed"),
        ("1 + I(1 / (groen - groen))", "columns of the formula are not finite"),
        ("1 + sqrt(groen)", "the formula holds a function of raw values"),
        ("1 + log(abs(groen))", "the formula holds a function of raw values"),
        ("1 + C(groen) + groen", "covariates are both a category and a number"),
    ):
        assert list(problems_of(AreaModel(formula, missing="impute"), made, areas)) == [what]
    some = with_columns(areas, groen=np.arange(25.0), grijs=7 - 2 * np.arange(25.0))
    what, got = problems_of(AreaModel("1 + groen + grijs"), made, some).popitem()
    assert what == "columns of the formula are linear combinations of others"
    assert got == "rank 2 of 3 columns: groen, grijs"
    some = with_columns(
        areas, groen=np.arange(25.0), grijs=7 - 2 * np.arange(25.0), rood=np.sin(np.arange(25.0)), oker=np.zeros(25)
    )
    some.frame["oker"] = some.frame["groen"] + some.frame["rood"]
    what, got = problems_of(AreaModel("1 + groen + grijs + rood + oker"), made, some).popitem()
    # each with what it needs: standardised covariates that are affine in one another differ in sign at most
    assert got == "rank 3 of 5 columns: groen, grijs; groen, rood, oker"


def test_a_part_of_the_graph_without_estimates_is_named() -> None:
    areas = made_areas_in(columns=(4, 7))  # the eight buurten of GM0355 are a component of their own
    scores = make_scores(areas, SUBDIMENSIONS, 1, np.random.default_rng(1))
    frame = scores[0].frame
    elsewhere = frame["area_code"].str.startswith("BU0355")
    some = replace(scores[0], frame=frame.assign(participatie=frame["participatie"].mask(elsewhere)))
    model = AreaModel("1", (BYM2(areas.graph()),))
    (note,) = design(model, direct([some], areas)).notes
    assert note.startswith("a part of the graph of 8 areas (BU03550000, BU03550001")
    assert "has no direct estimate of participatie: its level is that of the model" in note
    (few,) = design(model, direct(scores, areas)).notes
    assert "of 8 areas" in few
    assert "is apart from the others, and fewer than 20 of them have direct estimates" in few


def test_terms_become_structures(areas: Areas, made: DirectEstimates) -> None:
    model = AreaModel("1", [IID("wijk"), BYM2(areas.graph())])  # type: ignore[arg-type]
    wijk, field = design(model, made).effects
    assert (wijk.name, field.name) == ("wijk", "BYM2")
    assert wijk.structure is not None
    assert wijk.structure.independent
    labels = np.unique(areas.frame["wijk"])
    np.testing.assert_array_equal(wijk.sees.toarray(), areas.frame["wijk"].to_numpy()[:, None] == labels)
    np.testing.assert_array_equal(field.sees.toarray(), np.eye(25))
    assert field.structure is not None
    (q,) = field.structure.parts
    # one constraint, the mean of the component of 24; a pair of entries per edge off the diagonal
    np.testing.assert_allclose(field.structure.constraints.sum(axis=1), 1.0)
    assert field.structure.constraints.nnz == 24
    assert (q - sp.diags_array(q.diagonal())).count_nonzero() == 2 * len(areas.graph().edges)
    assert wijk.loose is None
    assert field.loose is not None


def test_observations_are_placed_by_code(areas: Areas, made: DirectEstimates) -> None:
    arrays = design(AreaModel(), made)
    assert arrays.y.shape == (2, 25, 4)
    for s, source in enumerate(made.sources):
        for a, code in enumerate(areas.codes):
            if code not in source.codes:
                assert not arrays.y[s, a].any()
                assert not arrays.precision[s, a].any()
                continue
            row = source.codes.get_loc(code)
            seen = np.isfinite(source.mean[row])
            np.testing.assert_array_equal(arrays.y[s, a], np.where(seen, source.mean[row], 0))
            block = np.ix_(seen, seen)
            np.testing.assert_allclose(
                arrays.precision[s, a][block] @ source.variance[row][block], np.eye(seen.sum()), atol=1e-10
            )


def test_reference_link_and_centre(areas: Areas, made: DirectEstimates) -> None:
    arrays = design(AreaModel(intercept=Normal(6, 2), coefficient=Normal(0.1, 0.3)), made)
    assert arrays.sources == ("veiligheidsmonitor", "burgerpeiling")
    assert arrays.linked.tolist() == [[False] * 4, [True, True, False, False]]
    np.testing.assert_allclose(arrays.centre, np.nanmean(made.sources[0].mean, axis=0), rtol=1e-14)
    turned = design(AreaModel(), replace(made, sources=made.sources[::-1]))
    assert turned.linked.tolist() == [[False] * 4, [True, True, False, False]]
    np.testing.assert_allclose(turned.centre[:2], np.nanmean(made.sources[1].mean[:, :2], axis=0), rtol=1e-14)
    np.testing.assert_allclose(turned.centre[2:], arrays.centre[2:], rtol=1e-14)


def test_a_participatory_source_is_a_reference_only_where_no_survey_informs(
    areas: Areas, made: DirectEstimates
) -> None:
    first, second = made.sources
    turned = design(AreaModel(), replace(made, sources=(replace(second, kind="participatory"), first)))
    assert turned.linked.tolist() == [[True, True, False, False], [False] * 4]
    alone = design(AreaModel(), replace(made, sources=(replace(first, kind="participatory"), second)))
    assert alone.linked.tolist() == [[True, True, False, False], [False] * 4]  # of the last two it is the only source


def test_links_have_the_priors_of_their_kind(areas: Areas, made: DirectEstimates) -> None:
    model = AreaModel(link=Link(Normal(0, 0.3)), participatory=Link(Normal(0, 3)))
    first, second = made.sources
    assert [link.priors for link in design(model, made).links] == [model.link] * 2
    there = replace(made, sources=(first, replace(second, kind="participatory")))
    found = design(model, there).links
    assert [(link.label, link.columns) for link in found] == [
        (f"burgerpeiling: {m}", (d,)) for d, m in enumerate(SUBDIMENSIONS[:2])
    ]
    assert [link.priors for link in found] == [model.participatory] * 2


def test_information_by_hand(areas: Areas, made: DirectEstimates) -> None:
    """lambda (f V + tau^2)^-1 lambda on what was observed; without extra variance and slope it is the precision."""
    arrays = design(AreaModel(), made)
    one, none = np.ones((2, 4)), np.zeros((2, 4))
    np.testing.assert_allclose(arrays.information(one, none), arrays.precision, rtol=1e-9, atol=1e-12)
    slope, extra = np.full((2, 4), 0.7), np.array([[0.0] * 4, [0.5, 0.3, 0.0, 0.0]])
    found = arrays.information(slope, extra, np.full(arrays.y.shape, 2.0))
    source = made.sources[1]
    a = areas.codes.get_loc(source.codes[3])
    assert np.isfinite(source.mean[3, :2]).all()
    v = 2 * source.variance[3][:2, :2] + np.diag([0.25, 0.09])
    np.testing.assert_allclose(found[1, a][:2, :2], 0.49 * np.linalg.inv(v), rtol=1e-9)
    assert (found[1, a][2:] == 0).all()


def test_variances_within_buurten_reach_the_design(areas: Areas, made: DirectEstimates) -> None:
    arrays = design(AreaModel(variances=PC(0.5, 0.05)), made)
    source = made.sources[0]
    row = areas.codes.get_indexer(source.codes)
    assert source.within is not None
    assert source.freedom is not None
    pooled = np.einsum("add->ad", source.variance) * source.n_effective
    known = source.freedom > 0
    np.testing.assert_allclose(arrays.ratio[0, row][known], (source.within / pooled)[known], rtol=1e-12)
    np.testing.assert_array_equal(arrays.freedom[0, row], source.freedom)
    bare = replace(made, sources=tuple(replace(s, within=None, freedom=None) for s in made.sources))
    with pytest.raises(ModelError, match="variances cannot be modelled"):
        design(AreaModel(variances=PC(0.5, 0.05)), bare)


def test_priors_of_the_columns(areas: Areas, made: DirectEstimates) -> None:
    model = AreaModel("1 + groen", intercept=Normal(6, 2), coefficient=Normal(0.1, 0.3), missing="impute")
    mean, sd = design(model, made).coefficient_priors
    assert (mean.tolist(), sd.tolist()) == ([6, 0.1], [2, 0.3])


def test_precision_and_root_of_what_is_observed(made: DirectEstimates) -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(8, 3, 5))
    v = root @ root.swapaxes(1, 2)
    observed = np.array([[(k >> d) & 1 for d in range(3)] for k in range(8)], dtype=bool)  # every pattern
    covariance = checked_covariance(v, observed, [f"BU{k}" for k in range(8)])
    arrays = replace(design(AreaModel(), made), covariance=covariance[None])
    np.testing.assert_array_equal(arrays.observed[0], observed)
    (w,), (r,) = arrays.precision, arrays.root
    np.testing.assert_allclose(r @ r.swapaxes(1, 2), w, atol=1e-12)
    for k in range(8):
        block = np.ix_(observed[k], observed[k])
        np.testing.assert_allclose(w[k][block], np.linalg.inv(v[k][block]), rtol=1e-9)
        for matrix in (w[k], r[k]):
            assert not matrix[~observed[k]].any()
            assert not matrix[:, ~observed[k]].any()


def test_a_singular_covariance_is_refused_where_it_is_observed() -> None:
    v = np.array([np.eye(2), [[1, 1], [1, 1]], [[0, 0], [0, 1]]])
    both = np.ones((3, 2), dtype=bool)
    with pytest.raises(ModelError, match="singular") as raised:
        checked_covariance(v, both, ["BU1", "BU2", "BU3"])
    assert raised.value.got == "BU2, BU3"
    one = both.copy()
    one[1:, 0] = False  # only the second was answered there
    kept = checked_covariance(v, one, ["BU1", "BU2", "BU3"])
    np.testing.assert_array_equal(kept[1:], [[[0, 0], [0, 1]]] * 2)


@pytest.fixture(scope="module")
def mixed(areas: Areas) -> DirectEstimates:
    """The second source, which asks the first two sub-dimensions, is known per wijk."""
    first, second = make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1))
    return direct([first, per_wijk(second)], areas)


def test_without_a_source_per_wijk_the_sites_are_the_buurten(areas: Areas, made: DirectEstimates) -> None:
    arrays = design(AreaModel(), made)
    assert arrays.site_codes == arrays.areas
    np.testing.assert_array_equal(arrays.sites.toarray(), np.eye(25))


def test_sites_are_buurten_and_the_wijken_observed_as_a_whole(areas: Areas, mixed: DirectEstimates) -> None:
    arrays = design(AreaModel("1 + groen", missing="impute"), mixed)
    wijken = ("WK034400", "WK034401", "WK034402", "WK034403", "WK035500", "WK035501", "WK040000")
    assert arrays.site_codes == (*areas.codes, *wijken)
    assert arrays.sites.shape == (32, 25)
    assert (arrays.x.shape, len(arrays.areas)) == ((25, 2), 25)
    for name in ("y", "ratio", "freedom", "observed"):
        assert getattr(arrays, name).shape == (2, 32, 4)
    assert arrays.precision.shape == arrays.root.shape == (2, 32, 4, 4)
    assert arrays.information(np.ones((2, 4)), np.zeros((2, 4))).shape == (2, 32, 4, 4)
    share = arrays.sites.toarray()
    np.testing.assert_array_equal(share[:25], np.eye(25))
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-14)
    # made_fit: the buurten of the first wijk have 0, 6, 520 and 530 residents
    np.testing.assert_allclose(share[25, :4], np.array([0, 6, 520, 530]) / 1056, rtol=1e-14)
    assert share[25:].argmax(axis=1).tolist() == [3, 7, 11, 15, 19, 23, 24]  # residents increase with the code


def test_observations_per_wijk_are_placed_by_code(areas: Areas, mixed: DirectEstimates) -> None:
    arrays = design(AreaModel(variances=PC(0.5, 0.05)), mixed)
    first, second = mixed.sources
    assert (second.level, len(second.codes)) == ("wijk", 7)
    assert not arrays.observed[0, 25:].any()
    assert not arrays.observed[1, :25].any()
    assert second.within is not None
    assert second.freedom is not None
    turned = replace(second, **{k: getattr(second, k)[::-1] for k in ROWS})  # in any order
    for estimates in (mixed, replace(mixed, sources=(first, turned))):
        arrays = design(AreaModel(variances=PC(0.5, 0.05)), estimates)
        np.testing.assert_array_equal(arrays.y[1, 25:, :2], second.mean[:, :2])
        np.testing.assert_array_equal(arrays.freedom[1, 25:], second.freedom)
        pooled = (np.einsum("add->ad", second.variance) * second.n_effective)[:, :2]
        np.testing.assert_allclose(arrays.ratio[1, 25:, :2], second.within[:, :2] / pooled, rtol=1e-12)
        for k, v in enumerate(second.variance[:, :2, :2]):
            np.testing.assert_allclose(arrays.precision[1, 25 + k, :2, :2] @ v, np.eye(2), atol=1e-10)
    # what is known per buurt is where it was
    alone = design(AreaModel(), replace(mixed, sources=(first,)))
    np.testing.assert_array_equal(arrays.y[0, :25], alone.y[0])
    np.testing.assert_array_equal(arrays.precision[0, :25], alone.precision[0])


ROWS = ("codes", "mean", "variance", "respondents", "n_effective", "given", "within", "freedom")


def test_only_wijken_with_an_estimate_are_sites(areas: Areas, mixed: DirectEstimates) -> None:
    first, second = mixed.sources
    mean = second.mean.copy()
    mean[2] = np.nan  # respondents there, but none with a score
    arrays = design(AreaModel(), replace(mixed, sources=(first, replace(second, mean=mean))))
    assert arrays.site_codes[25:] == tuple(c for c in second.codes if c != "WK034402")
    np.testing.assert_array_equal(arrays.y[1, 25:, :2], np.delete(second.mean[:, :2], 2, axis=0))


def test_a_source_per_wijk_is_linked_and_may_be_the_reference(areas: Areas, mixed: DirectEstimates) -> None:
    first, second = mixed.sources
    assert design(AreaModel(), mixed).linked.tolist() == [[False] * 4, [True, True, False, False]]
    turned = design(AreaModel(), replace(mixed, sources=(second, first)))  # still: it is known per wijk
    assert turned.linked.tolist() == [[True, True, False, False], [False] * 4]
    rest = replace(first, mean=np.where([True, False, True, True], first.mean, np.nan))
    alone = design(AreaModel(), replace(mixed, sources=(rest, second)))
    assert alone.linked.tolist() == [[False] * 4, [True, False, False, False]]
    assert alone.centre[1] == pytest.approx(np.nanmean(second.mean[:, 1]), rel=1e-14)
    there = replace(first, kind="participatory")
    participatory = design(AreaModel(), replace(mixed, sources=(there, second)))
    assert participatory.linked.tolist() == [[True, True, False, False], [False] * 4]


def test_a_part_of_the_graph_is_not_silent_where_a_wijk_was_observed() -> None:
    areas = made_areas_in(columns=(4, 7))  # the eight buurten of GM0355, two wijken, are a component of their own
    scores = make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1))
    elsewhere = scores[0].frame["area_code"].str.startswith("BU0355")
    first = replace(scores[0], frame=scores[0].frame[~elsewhere])
    model = AreaModel("1", (BYM2(areas.graph()),))
    (note,) = design(model, direct([first, per_wijk(scores[1])], areas)).notes
    # of the first two sub-dimensions its wijken have estimates
    assert "has no direct estimate of plaatsidentiteit, plaatsgeschiktheid: its level" in note


TERMS = {  # and how many columns each makes beside the intercept
    **{
        "I(groen)": 1,
        "abs(groen)": 1,
        "bs(groen, 4)": 4,
        "cc(groen, df=3, constraints='center')": 3,
        "center(groen)": 1,
    },
    **{"cr(groen, df=3, constraints='center')": 3, "cs(groen, df=3, constraints='center')": 3, "exp(groen)": 1},
    **{"exp10(groen)": 1, "exp2(groen)": 1, "poly(groen, 2)": 2, "scale(groen)": 1, "standardize(groen)": 1},
    **{"C(groen)": 23, "{groen + groen**2}": 1, "grijs:bs(groen, 4)": 4},
}


@pytest.mark.parametrize(("term", "n"), TERMS.items())
def test_functions_find_their_column_without_the_column_itself(term: str, n: int, areas: Areas) -> None:
    some = with_columns(areas, groen=np.r_[np.nan, np.arange(24.0)], grijs=np.cos(np.arange(25.0)))
    columns, x, used = matrix_of(AreaModel(f"1 + {term}"), some)
    assert (len(columns), x.shape) == (1 + n, (25, 1 + n))
    assert [c.name for c in used] == ["grijs", "groen"][term[0] != "g" :]


def test_every_function_of_a_run_is_tried() -> None:
    assert {f for f in FUNCTIONS if any(f"{f}(" in term for term in TERMS)} == {*FUNCTIONS} - {*RAW}


def test_a_column_in_a_function_is_missing_modelled_or_sensitive_too(areas: Areas, made: DirectEstimates) -> None:
    some = with_columns(areas, herkomst=np.arange(25.0))
    problems = problems_of(AreaModel("1 + scale(groen) + bs(herkomst, 4)"), made, some)
    assert list(problems) == [
        "covariate groen is missing in 1 buurten with residents", "covariate herkomst is about origin"
    ]  # fmt: skip


def test_polynomials_are_as_large_as_what_is_standardised(areas: Areas) -> None:
    """Whose coefficients have the same prior: R's columns of length 1 have a mean square of 1/25 here."""
    _, x, _ = matrix_of(AreaModel("1 + poly(groen, 3)"), with_columns(areas, groen=np.arange(25.0)))
    np.testing.assert_allclose(x.T @ x / 25, np.eye(4), atol=1e-12)


def test_a_category_is_one_that_inhabited_buurten_have(areas: Areas) -> None:
    """The buurt without residents has none, or one of its own; the mean of 1 and 3 is no category."""
    for first in (np.nan, 9.0):
        some = with_columns(areas, klasse=np.r_[first, np.resize([1.0, 3.0, 3.0], 24)])
        columns, x, _ = matrix_of(AreaModel("1 + C(klasse)"), some)
        assert columns == ("Intercept", "C(klasse)[T.3.0]")
        np.testing.assert_array_equal(x[1:, 1], np.resize([0, 1, 1], 24))
    klasse = pd.Series(np.resize([1.0, 3.0], 25), index=areas.codes)
    klasse[UNKNOWN_X] = np.nan
    columns, _, (used,) = matrix_of(AreaModel("1 + C(klasse)", missing="impute"), with_columns(areas, klasse=klasse))
    assert (columns, used.imputed) == (("Intercept", "C(klasse)[T.3.0]"), (UNKNOWN_X,))


def test_text_is_called_text(areas: Areas, made: DirectEstimates) -> None:
    some = with_columns(areas, soort=["stad", "land", "zee", "veen", "klei"] * 5)
    for text in ("1 + soort", "1 + C(soort)"):
        assert problems_of(AreaModel(text), made, some) == {
            "covariates are text": "soort (stad, land, zee and 2 more)"
        }  # fmt: skip


def test_many_columns_for_few_areas_are_said(areas: Areas, made: DirectEstimates) -> None:
    more = {f"ruis_{k}": np.random.default_rng(k).normal(size=len(areas.codes)) for k in range(11)}
    formula = "1 + " + " + ".join(more)
    many = design(AreaModel(formula), replace(made, areas=with_columns(areas, **more)))
    assert any("the formula has 12 columns for" in str(note) for note in many.notes)
    assert not any(
        "the formula has" in str(note) for note in design(AreaModel("1 + groen", missing="impute"), made).notes
    )
