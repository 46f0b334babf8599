r"""Published figures that estimates must agree with: reading, checking, and the linear constraints that they are.

A benchmark is a resident-weighted mean m_G = sum_{a in G} N_a sum_d A_md eta_ad / N_G, so one row of C eta = t. Exact
ones must follow from each other where they depend, and leave some eta on the scale: buurten in the same benchmarked
areas count there as one, and the least total violation is a linear program. Errors of benchmarks are independent, but
for those of direct estimates: their sub-dimensions are asked of the same people, with Cov(y_c, y_d) from the design
variances of y_c, y_d and their mean, 2 Var(mean) - (Var y_c + Var y_d) / 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import Fit
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.estimates.benchmark.constraints import independent
from buurtsae.estimates.measured import measured
from buurtsae.scale import Scale
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.concept import Concept, Measure
from buurtsae.survey.direct import DirectEstimates
from buurtsae.tables import as_number, read_table

KEY = ["level", "area_code", "measure"]
EXACT = 1e-3  # tenths of the scale: below any error that a published figure can have, of rounding to two decimals 0.003
AGREE = 1e-10  # tenths of the scale: exact benchmarks that depend on each other are met to this, so must agree to it


@dataclass(frozen=True)
class Benchmarks:
    """Figures that estimates must agree with.

    Attributes
    ----------
    table : DataFrame
        `level`, `area_code`, `measure`, `value` and `se` (0 where exact): exact ones first, then from buurt up.
    areas : Areas
    concept : Concept
    subdimensions : tuple of str
        Those of the draws, the columns per buurt of `matrix`.
    correlation : ndarray, shape (K, K), optional
        Of the errors of the benchmarks; independent without it.
    own : bool
        Whether they come from the respondents of the model itself.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> Benchmarks.of_direct(voorbeeldstad().fit, "gemeente")
    Benchmarks: {'gemeente': 12}, 0 of them exact
    """

    table: pd.DataFrame
    areas: Areas
    concept: Concept
    subdimensions: tuple[str, ...]
    correlation: Floats | None = None
    own: bool = False

    @classmethod
    def read(
        cls,
        source: str | Path | pd.DataFrame,
        areas: Areas,
        concept: Concept,
        subdimensions: tuple[str, ...],
        *,
        exact: bool = False,
    ) -> Benchmarks:
        """Read benchmarks from CSV, Parquet or a table.

        Parameters
        ----------
        source : path or DataFrame
            Columns `level`, `area_code`, `measure` (of the concept), `value` (on its scale), `se`, which may be empty.
        areas : Areas
        concept : Concept
        subdimensions : tuple of str
            Those that are estimated.
        exact : bool
            Says that figures without `se`, or with one below `EXACT`, have no error at all: the estimates then equal
            them, with intervals of width 0.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: unknown levels, areas and measures, areas without residents, figures
            given twice or outside the scale, standard errors that are negative, or without `exact` absent or below
            `EXACT`; and if all that is right, exact figures that contradict each other or no scores on it can meet.
        """
        frame = source if isinstance(source, pd.DataFrame) else read_table(Path(source), text=KEY)
        problems, scale = Problems(), concept.span
        if absent := [column for column in [*KEY, "value"] if column not in frame]:
            expected = shown([*KEY, "value", "(se)"])
            raise DataError("benchmarks lack columns", shown(frame.columns), expected, f"add {shown(absent)}")
        table = frame[KEY].astype("string").fillna("").astype(str).assign(value=frame["value"], se=frame.get("se", 0.0))
        for column in ("value", "se"):
            try:
                table[column] = as_number(table[column])
            except (ValueError, TypeError) as error:
                what, expected = f"a benchmark's {column} is no number", f"points {scale.range}"
                problems.add(what, str(error), expected, "repair the table")
        problems.raise_if_any()
        table["se"] = table["se"].fillna(0.0)
        if table.empty:
            raise DataError("there are no benchmarks", "0 rows", "one row per figure", "check the table")
        _check_rows(table, areas, concept, subdimensions, problems)
        least = EXACT * table["measure"].map(lambda m: concept.scale_of(m).point if m in concept.nodes else 1.0)
        sure = (table["se"] >= 0) & (table["se"] < least)
        table["se"] = table["se"].mask(sure, 0.0)
        if not exact and sure.any():
            expected = f"an `se` of at least {least[sure].max():g}: less than that counts as none"
            hint = "add the column `se` (of rounding to 1 decimal: 0.03), or say `exact = true`: estimates then equal "
            hint += "these figures, with intervals of width 0"
            rows = shown(table.loc[sure, KEY].agg(" ".join, axis=1))
            problems.add("benchmarks have no standard error", rows, expected, hint)
        problems.raise_if_any()
        benchmarks = cls(_sorted(table, areas), areas, concept, subdimensions)
        benchmarks._check_together()
        return benchmarks

    @classmethod
    def of_direct(cls, fit: Fit, level: str, concept: Concept | None = None, min_respondents: int = 100) -> Benchmarks:
        """Return the direct estimates of large areas, with their standard errors: their own level, not the model's.

        Parameters
        ----------
        fit : Fit
        level : str
            `wijk`, `gemeente`, `ggdregio` or `land`.
        concept : Concept, optional
            Of buurtverbondenheid by default. The benchmarks are sub-dimensions: other measures follow from these.
        min_respondents : int
            Areas below it, or without a standard error, are left out.

        Raises
        ------
        DataError
            If there is no such level, or no area with as many respondents.
        """
        concept = measured(fit, concept)
        totals = fit.direct.totals(level, concept)
        enough = totals["n_direct"].ge(min_respondents) & totals["direct_se"].gt(0)
        kept = totals[enough & totals["measure"].isin(fit.draws.subdimensions)]
        if kept.empty:
            most, errors = totals["n_direct"].max(), (totals["direct_se"] > 0).sum()
            stands = f"at most {most} respondents, {errors} standard errors"
            expected = f"{min_respondents} respondents and a standard error"
            hint = "lower `min_respondents`, or choose a higher level; counts have no standard errors"
            raise DataError(f"no {level} can be a benchmark", stands, expected, hint)
        kept = kept.rename(columns={"direct": "value", "direct_se": "se"}).assign(level=level)
        table = _sorted(kept[[*KEY, "value", "se"]], fit.areas)
        correlation, se = np.eye(len(table)), table["se"].to_numpy()
        place = pd.MultiIndex.from_frame(table[["area_code", "measure"]])
        for pair in combinations(fit.draws.subdimensions, 2):
            mean = _of_pair(fit.direct, level, pair)
            rows = [place.get_indexer(pd.MultiIndex.from_product([mean.index, [measure]])) for measure in pair]
            both = (rows[0] >= 0) & (rows[1] >= 0)
            i, j, variance = rows[0][both], rows[1][both], mean.to_numpy()[both] ** 2
            correlation[i, j] = correlation[j, i] = (2 * variance - (se[i] ** 2 + se[j] ** 2) / 2) / (se[i] * se[j])
        return cls(table, fit.areas, concept, fit.draws.subdimensions, correlation, own=True)

    @property
    def value(self) -> Floats:
        """The figures, shape (K,)."""
        return self.table["value"].to_numpy(dtype=float)

    @property
    def se(self) -> Floats:
        """Their standard errors, shape (K,)."""
        return self.table["se"].to_numpy(dtype=float)

    @cached_property
    def covariance(self) -> Floats:
        """Covariance of their errors, shape (K, K)."""
        return np.outer(self.se, self.se) * (np.eye(len(self.se)) if self.correlation is None else self.correlation)

    @property
    def scales(self) -> list[Scale]:
        """Those of the figures."""
        return [self.concept.scale_of(measure) for measure in self.table["measure"]]

    @property
    def points(self) -> Floats:
        """A tenth of the scale of each figure, shape (K,)."""
        return np.array([scale.point for scale in self.scales])

    @property
    def exact(self) -> tuple[tuple[str, str], ...]:
        """Level and code of the areas that have a figure without error."""
        rows = self.table[self.table["se"] == 0]
        return tuple(dict.fromkeys(zip(rows["level"], rows["area_code"], strict=True)))

    @property
    def names(self) -> list[str]:
        """How messages call them."""
        return [f"{level} {code} {measure}" for level, code, measure in self.table[KEY].to_numpy()]

    @cached_property
    def matrix(self) -> sp.csr_array:
        """C, shape (K, N D): buurten in the order of the areas, each with its sub-dimensions."""
        return self._constraints(*self._parts)

    @cached_property
    def dependence(self) -> tuple[Ints, Floats]:
        """Rows that the others depend on, and their weights (K, r) in all: `constraints.independent` of `matrix`."""
        return independent(self.matrix)

    @property
    def _parts(self) -> tuple[sp.csr_array, Floats]:
        """Resident weights (K, N) and weights of the sub-dimensions (K, D)."""
        place, rows = np.empty(len(self.table), dtype=np.int64), list[sp.csr_array]()
        for level, group in self.table.groupby("level", sort=False):
            labels, weights = self.areas.aggregation(level)
            before = sum(block.shape[0] for block in rows)
            place[group.index] = before + pd.Index(labels).get_indexer(group["area_code"])
            rows.append(weights)
        within = self.concept.matrix_of(self.subdimensions).loc[self.table["measure"]].to_numpy()
        return sp.csr_array(sp.csr_array(sp.vstack(rows))[place]), within

    @staticmethod
    def _constraints(residents: sp.csr_array, within: Floats) -> sp.csr_array:
        each = np.eye(within.shape[1])
        parts = [sp.kron(sp.diags_array(within[:, dim]) @ residents, each[[dim]]) for dim in range(len(each))]
        matrix = sp.csr_array(sum(parts[1:], parts[0]))
        matrix.eliminate_zeros()
        return matrix

    def _check_together(self) -> None:
        """Exact benchmarks (they come first) must agree, and be possible."""
        if not (exact := int((self.se == 0).sum())):
            return
        problems, value, names = Problems(), self.value, self.names
        kept, weights = self.dependence
        follows = weights @ value[kept]
        for row in np.flatnonzero(np.abs(value - follows)[:exact] > AGREE * self.points[:exact]):
            others = [names[other] for other, weight in zip(kept, weights[row], strict=True) if abs(weight) > 1e-9]
            what, expected = f"the benchmark of {names[row]} contradicts {shown(others)}", f"{follows[row]:.10g}"
            hint = "leave it out, give all decimals, or give benchmarks an `se` (of rounding to 1 decimal: 0.03)"
            problems.add(what, f"{value[row]:g}", f"{expected}, which follows from the others", hint)
        problems.raise_if_any()
        for k, miss in self._impossible(exact):
            what = f"the benchmark of {names[k]} cannot be met on {self.scales[k].ends} together with the others"
            hint = "correct it, or the benchmarks of the measures and areas that it shares with them"
            problems.add(what, f"{value[k]:g}", f"about {value[k] + miss:.3g}", hint)
        problems.raise_if_any()

    def _impossible(self, exact: int) -> list[tuple[int, float]]:
        """Positions and changes of exact benchmarks that together make it possible, least in total."""
        from scipy.optimize import linprog

        residents, within = self._parts
        levels = self.table["level"].unique()
        of = np.column_stack([pd.factorize(self.areas.parents(level))[0] for level in levels])
        group = np.unique(of, axis=0, return_inverse=True)[1].ravel()
        alike = sp.csr_array((np.ones(len(group)), (np.arange(len(group)), group)))
        matrix, slack = self._constraints(residents[:exact] @ alike, within[:exact]), sp.eye_array(exact)
        cost = np.r_[np.zeros(matrix.shape[1]), np.ones(2 * exact)]
        of_column = [self.concept.scale_of(measure) for measure in self.subdimensions]
        ends = [(scale.lower, scale.upper) for scale in of_column]
        bounds = ends * (matrix.shape[1] // len(ends)) + [(0.0, None)] * (2 * exact)
        solution = linprog(cost, A_eq=sp.hstack([matrix, slack, -slack]), b_eq=self.value[:exact], bounds=bounds)
        miss = solution.x[-exact:] - solution.x[-2 * exact : -exact]
        wrong = np.flatnonzero(np.abs(miss) > 1e-6 * self.points[:exact])
        return [(int(row), float(miss[row])) for row in wrong]

    def __repr__(self) -> str:
        counts = self.table.groupby("level", sort=False).size().to_dict()
        return f"Benchmarks: {cut(counts, 150)}, {int((self.se == 0).sum())} of them exact"


def _sorted(table: pd.DataFrame, areas: Areas) -> pd.DataFrame:
    """Exact ones first, then from the areas up, then as given: what depends on others comes after them."""
    order = np.lexsort([table["level"].map(areas.system.levels.index), table["se"] > 0])
    return table.iloc[order].reset_index(drop=True)


def _check_rows(
    table: pd.DataFrame, areas: Areas, concept: Concept, subdimensions: tuple[str, ...], problems: Problems
) -> None:
    measures = list(concept.matrix_of(subdimensions).index)
    for column, known, hint in (
        ("level", areas.levels, "choose one of these"),
        ("measure", measures, "choose a measure whose sub-dimensions are all estimated"),
    ):
        if bad := sorted(set(table[column]) - set(known)):
            problems.add(f"benchmarks have an unknown {column}", shown(bad), shown(known, 10), hint)
    for level, group in table[table["level"].isin(areas.levels)].groupby("level")["area_code"]:
        codes, existing, part = set(group), set(areas.at(level)), set(areas.partial.get(level, ()))
        empty, complete = existing - set(areas.inhabited_at(level)), "areas that are complete"
        for what, strange, expected, hint in (
            (f"an unknown {level}", codes - existing, f"codes of {areas.year}", "recode or remove them"),
            (f"a {level} of which the run holds a part", codes & part, complete, "remove them, or widen `where`"),
            (f"a {level} without residents", codes & empty, "residents", "remove them"),
        ):
            if strange:
                problems.add(f"benchmarks are of {what}", shown(sorted(strange)), expected, hint)
    rows, scale = table[KEY].agg(" ".join, axis=1), concept.span
    of = {m: concept.scale_of(m) for m in set(table["measure"]) & set(concept.nodes)}
    beyond = table["value"].isna()
    for measure, own in of.items():
        beyond |= (table["measure"] == measure) & own.outside(table["value"])
    negative = ~table["se"].between(0, np.inf, inclusive="left")
    for what, wrong, expected, hint in (
        ("benchmarks are given twice", rows.duplicated(), "each once", "keep one"),
        ("benchmarks are no score", beyond, f"a value {scale.range}", "check the unit"),
        ("benchmarks have an impossible standard error", negative, "0 or more", "correct it"),
    ):
        if wrong.any():
            problems.add(what, shown(rows[wrong]), expected, hint)


def _of_pair(direct: DirectEstimates, level: str, pair: tuple[str, str]) -> pd.Series:
    """Standard error of the mean of two sub-dimensions per area, where it is known."""
    parents = {name: "pair" if name in pair else "all" for name in direct.subdimensions} | {"pair": "all", "all": None}
    concept = Concept({name: Measure(name, name, name, name, parent) for name, parent in parents.items()})
    totals = direct.totals(level, concept)
    return totals[totals["measure"] == "pair"].set_index("area_code")["direct_se"].dropna()
