r"""How made residents and answers may depart from what the model says. Nothing does by default.

With v the buurt's own effect, u its field, N its residents, x_1 the first covariate, p the effect of a person:

    v_ad  :=  v_ad sqrt((k - 2) / chi2_k) (max(N_a, 100) / 1000)^-gamma,    chi2_k drawn per a and d: t_k, variance 1
    u_ad  :=  a sum of plane waves at the centroid of a, which goes on over water
    eta_ad := eta_ad + c (standardised x_1^2) beta_1d + jump s_a / 2 + (level of a gemeente, of parts of the graph)
    p_id  :=  exp(r z_a - r^2) (sqrt(1 - rho) p_id + sqrt(rho) h_id + b),    h of the household, E exp(r z - r^2)^2 = 1

Who responds in proportion to exp(b p) has p ~ N(b, 1) instead of N(0, 1): exponential tilting.

References
----------
Pfeffermann, D. and Sverchkov, M. (2007). Small-area estimation under informative probability sampling of areas and
within the selected areas. J. American Statistical Association 102.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.errors import ModelError, Problems, cut, shown
from buurtsae.ranges import Share, check_ranges
from buurtsae.simulate.geography import plane_waves, smooth
from buurtsae.sparse import Floats, Ints

SMALLEST = 100  # residents: no effect is larger because there are fewer
WAVES = 2 / 3  # wavelength of the field over water, of the extent of the map
FIELD = ("tails", "size", "over_water", "quadratic")  # parts of the truth that real figures take the place of


@dataclass(frozen=True)
class Departure:
    """What is true of the residents and their answers that the model does not say; parts may be combined.

    Shifts are on the latent scale of `TruthSpec`, where one unit is about 2 points on 0-10.

    Attributes
    ----------
    figures : tuple of str
        Columns of the areas that are the truth, one for all sub-dimensions or one each, brought to the mean and the
        standard deviation of the spec. Buurten without a figure have neither truth nor respondents.
    tails : float
        Degrees of freedom of Student-t effects of buurten, with the same variance.
    size : float
        Exponent gamma: a buurt of 1,000 residents keeps its standard deviation, smaller ones have a larger one.
    over_water : bool
        A smooth function of place instead of a field over neighbours: it goes on to islands and the other bank.
    jump : float
        Difference between both sides of a line through the middle of the map, at a random angle.
    gemeente_jump : float
        How much one gemeente, at random, lies above what it would be.
    parts : float
        Standard deviation of the level of each part of the graph of two buurten or more, such as an island.
    quadratic : float
        Effect of the square of the first covariate, times that of the covariate.
    response : float
        By how many standard deviations of persons the respondents of a buurt score above its residents.
    household : int
        Respondents per household, whose members all answer; from 2 there is a column `huishouden`.
    alike : float
        Correlation between the effects of the members of a household.
    reversed : tuple of str
        Items whose codes are written the wrong way round.
    unequal : float
        Standard deviation, over buurten, of the log of the standard deviation of persons.

    Raises
    ------
    ModelError or ProblemsError
        On what is out of range, and parts that have no place beside real figures.

    Examples
    --------
    >>> Departure(tails=4.0, size=0.4)
    Departure(tails=4.0, size=0.4)
    >>> Departure.of({"jump": "0.5", "reversed": "veilig_gevoel,verlichting"}).made
    {'jump': 0.5, 'reversed': ('veilig_gevoel', 'verlichting')}
    """

    figures: tuple[str, ...] = ()
    tails: Annotated[float, Interval(gt=2)] = inf
    size: Annotated[float, Interval(ge=0, le=2)] = 0.0
    over_water: bool = False
    jump: Annotated[float, Interval(ge=-10, le=10)] = 0.0
    gemeente_jump: Annotated[float, Interval(ge=-10, le=10)] = 0.0
    parts: Annotated[float, Interval(ge=0, le=10)] = 0.0
    quadratic: Annotated[float, Interval(ge=-10, le=10)] = 0.0
    response: Annotated[float, Interval(ge=-2, le=2)] = 0.0
    household: Annotated[int, Interval(ge=1, le=10)] = 1
    alike: Share = 0.0
    reversed: tuple[str, ...] = ()
    unequal: Annotated[float, Interval(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, "departure:")
        if self.figures and (besides := [name for name in FIELD if name in self.made]):
            hint = "leave out the figures, or these"
            raise ModelError("real figures are the whole truth", shown(besides), "jumps at most besides", hint)

    def __repr__(self) -> str:
        return f"Departure({', '.join(f'{name}={value!r}' for name, value in self.made.items())})"

    @property
    def made(self) -> dict[str, Any]:
        """What is other than the model says, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(Departure, name)}

    @classmethod
    def of(cls, words: Mapping[str, str]) -> Departure:
        """Return what is written as words, several names with commas between them.

        Raises
        ------
        ModelError or ProblemsError
            On unknown names and impossible values, all at once.
        """
        from pydantic import TypeAdapter, ValidationError  # takes long to import

        names, problems = [field.name for field in fields(cls)], Problems()
        if unknown := sorted(set(words) - set(names)):
            problems.add("the truth cannot depart so", shown(unknown), ", ".join(names), "correct the name", ModelError)
        tuples = [name for name in names if isinstance(getattr(cls, name), tuple)]
        values = {name: word.split(",") if name in tuples else word for name, word in words.items() if name in names}
        try:
            made = TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            for detail in error.errors():
                name = ".".join(map(str, detail["loc"]))
                problems.add(f"departure: {name}", cut(repr(detail["input"])), detail["msg"], "correct it", ModelError)
        problems.raise_if_any()
        return made

    def check(self, areas: Areas, subdimensions: int, problems: Problems) -> None:
        """Record what the areas lack for it."""
        if (self.over_water or self.jump) and "geometry" not in areas.frame:
            problems.add("a truth that depends on place", "areas without geometry", "geometry", "read areas with it")
        if self.figures and len(self.figures) not in (1, subdimensions):
            got, expected = f"{len(self.figures)} columns", f"1, or {subdimensions}, one per sub-dimension"
            problems.add("the figures of the truth", got, expected, "name others", ModelError)
        for column in self.figures:
            if column not in areas.covariates:
                problems.add("the areas lack a figure of the truth", repr(column), shown(areas.covariates), "join it")
            elif areas.frame.loc[areas.inhabited, column].nunique() < 2:
                problems.add(f"figure {column} does not vary", "one value or none", "several values", "name another")

    def own(self, v: Floats, areas: Areas, rng: np.random.Generator) -> Floats:
        """Return the own effects of buurten with heavy tails, by residents; from unit normal ones."""
        if np.isfinite(self.tails):
            v = v * np.sqrt((self.tails - 2) / rng.chisquare(self.tails, v.shape))
        if self.size:
            v = v * (np.maximum(areas.population, SMALLEST)[:, None] / 1000) ** -self.size
        return v

    def smooth_field(self, areas: Areas, size: int, rng: np.random.Generator) -> Floats:
        """Return fields that know no water, with variance 1 over inhabited buurten; shape (n_areas, size)."""
        xy = _centroids(areas)
        length = float(np.ptp(xy, axis=0).max()) * WAVES
        u = np.column_stack([smooth(xy, plane_waves(rng, length)) for _ in range(size)])
        known = u[areas.inhabited]
        return np.asarray((u - known.mean(axis=0)) / known.std(axis=0))

    def shift(self, areas: Areas, graph: Graph, rng: np.random.Generator) -> Floats:
        """Return by how much each buurt jumps, with its surroundings; shape (n_areas, 1)."""
        shift = np.zeros(len(areas.codes))
        if self.jump:
            xy, angle = _centroids(areas), rng.uniform(0, 2 * np.pi)
            side = (xy - np.median(xy[areas.inhabited], axis=0)) @ [np.cos(angle), np.sin(angle)]
            shift += self.jump / 2 * np.where(side > 0, 1, -1)
        if self.gemeente_jump:
            gemeente = areas.parents("gemeente").to_numpy(dtype=str)
            shift += self.gemeente_jump * (gemeente == rng.choice(np.unique(gemeente[areas.inhabited])))
        if self.parts:
            level = self.parts * rng.standard_normal(len(graph.icar.size)) * (graph.icar.size > 1)
            shift += level[graph.icar.component][pd.Index(graph.codes).get_indexer(areas.codes)]
        return shift[:, None]

    def spread(self, count: int, rng: np.random.Generator) -> Floats:
        """Return the standard deviation of persons over its usual value, per buurt; its mean square is 1."""
        return np.exp(self.unequal * rng.standard_normal(count) - self.unequal**2) if self.unequal else np.ones(count)

    def persons(self, p: Floats, household: Ints, root: Floats, rng: np.random.Generator) -> Floats:
        """Return the effects of respondents, from independent ones; `root` is of their correlation matrix."""
        if self.alike:
            h = rng.standard_normal((household.max() + 1, p.shape[1])) @ root
            p = np.sqrt(1 - self.alike) * p + np.sqrt(self.alike) * h[household]
        return p + self.response


def _centroids(areas: Areas) -> Floats:
    centroid = areas.frame.geometry.centroid
    return np.column_stack([centroid.x, centroid.y])


NONE = Departure()
