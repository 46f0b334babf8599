r"""Model + data -> arrays: all that an engine may see.

A site is where something is observed: a buurt, or a wijk of a source that is only known per wijk, whose score is the
mean of its residents, (A eta)_k with A the residents' shares. Observation of source s at site k, with sampling
covariance V over the sub-dimensions that were answered: its precision W = V^{-1} on those, 0 elsewhere, and a root R
with R R' = W. The log-likelihood is -|R'(y - prediction)|^2 / 2 up to a constant, for sites with all, some or no
answers alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from buurtsae.areas.areas import Areas
from buurtsae.areas.columns import STRUCTURAL
from buurtsae.areas.icar import IcarStructure
from buurtsae.errors import BuurtsaeError, ModelError, Problems, cut, shown
from buurtsae.model.covariates import Provenance, prepare
from buurtsae.model.formula import categories, matrix, read, variables
from buurtsae.model.links import Link
from buurtsae.model.plausible import far, figures
from buurtsae.model.rank import dependent_columns
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates


@dataclass(frozen=True)
class Bym2Block:
    """A BYM2 term with its structure, in the order of the areas."""

    term: BYM2
    icar: IcarStructure
    edges: Ints


@dataclass(frozen=True)
class IidBlock:
    """An IID term with the group of each area."""

    term: IID
    index: Ints
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """What an engine sees: N areas, K sites, D sub-dimensions, P columns, S sources.

    Attributes
    ----------
    model : AreaModel
    areas : tuple of str
        All buurten, those without residents and without respondents included.
    site_codes : tuple of str
        Where something is observed: the N buurten, then the wijken that some source observes as a whole.
    sites : sparse, shape (K, N)
        A, the weights of the buurten at each site: the identity, and the residents' shares in their wijk.
    subdimensions, columns, sources : tuple of str
    x : ndarray, shape (N, P)
        Standardised covariates; the first column is the intercept where there is one.
    y : ndarray, shape (S, K, D)
        Direct estimates, 0 where there is none.
    precision, root : ndarray, shape (S, K, D, D)
        W and R of the sampling errors; 0 where there is no estimate.
    linked : ndarray of bool, shape (S, D)
        True where the source informs a sub-dimension of which it is not the reference: alpha, lambda, tau are free.
    kinds : tuple of str
        Of the sources: `survey` or `participatory`.
    ratio, freedom : ndarray, shape (S, K, D)
        Variance within the site of its own respondents over the pooled one that V is made of, and its degrees of
        freedom, 0 where it is unknown: what a model of the variances learns from.
    centre : ndarray, shape (D,)
        The constant c of the link.
    blocks : tuple of Bym2Block or IidBlock
    covariates : tuple of Provenance
    strange : tuple of Note
        Figures of the areas that may not be what they say.
    """

    model: AreaModel
    areas: tuple[str, ...]
    site_codes: tuple[str, ...]
    sites: sp.csr_array
    subdimensions: tuple[str, ...]
    columns: tuple[str, ...]
    sources: tuple[str, ...]
    x: Floats
    y: Floats
    precision: Floats
    root: Floats
    linked: NDArray[np.bool_]
    kinds: tuple[str, ...]
    ratio: Floats
    freedom: Floats
    centre: Floats
    blocks: tuple[Bym2Block | IidBlock, ...]
    covariates: tuple[Provenance, ...]
    strange: tuple[Note, ...] = ()

    @property
    def imputed(self) -> dict[str, tuple[str, ...]]:
        """Covariates that were filled in, and the buurten where."""
        return {c.name: c.imputed for c in self.covariates if c.imputed}

    @property
    def notes(self) -> list[Note]:
        """What to know: modelled, sensitive or imputed covariates; a strange graph, or silent parts of it."""
        graphs = [note for b in self.blocks if isinstance(b, Bym2Block) for note in b.term.graph.notes]
        used = [note for c in self.covariates for note in c.notes]
        return [*self.strange, *used, *dict.fromkeys(graphs), *self._silent()]

    def _silent(self) -> list[Note]:
        """Connected parts of the graph in which a sub-dimension has no direct estimate at all."""
        notes, seen = list[Note](), self.sites.T @ self.observed.any(axis=0) > 0
        for block in self.blocks:
            if not isinstance(block, Bym2Block):
                continue
            for c in np.flatnonzero(block.icar.size > 1):
                own = block.icar.component == c
                if absent := [d for d, any_ in zip(self.subdimensions, seen[own].any(axis=0), strict=True) if not any_]:
                    notes.append(
                        Note(
                            "a part of the graph of {n} buurten ({codes}) has no direct estimate of {measures}: its "
                            "level is that of the model, with the prior's uncertainty",
                            "een los deel van de burengraaf, van {n} buurten ({codes}), heeft geen directe schatting "
                            "van {measures}: het niveau komt daar van het model, met de onzekerheid van de prior",
                            n=int(own.sum()), measures=absent,
                            codes=[a for a, inside in zip(self.areas, own, strict=True) if inside],
                        )
                    )  # fmt: skip
        return notes

    @property
    def links(self) -> tuple[tuple[str, int, Link], ...]:
        """Label, sub-dimension and priors of each free link, in the order of `np.nonzero(linked)`."""
        kind = {"survey": self.model.link, "participatory": self.model.participatory}
        return tuple(
            (f"{self.sources[s]}: {self.subdimensions[d]}", int(d), kind[self.kinds[s]])
            for s, d in zip(*np.nonzero(self.linked), strict=True)
        )

    @property
    def observed(self) -> NDArray[np.bool_]:
        """True where a source has an estimate, shape (S, K, D)."""
        return np.asarray(np.einsum("sndd->snd", self.precision) > 0)

    def information(self, slope: Floats, extra: Floats, factor: Floats | float = 1.0) -> Floats:
        """Return the precision of each source about eta, lambda (factor V + tau^2)^{-1} lambda, shape (S, K, D, D).

        Parameters
        ----------
        slope, extra : ndarray, shape (S, D)
            lambda and tau; 1 and 0 for references.
        factor : ndarray, shape (S, K, D), optional
            exp(h), for variances that were modelled.
        """
        seen, eye = self.observed, np.eye(len(self.subdimensions), dtype=bool)
        both = seen[..., :, None] & seen[..., None, :]
        v = np.linalg.inv(np.where(both, self.precision, eye))
        sd = np.sqrt(np.where(seen, factor, 1.0))
        v = v * sd[..., :, None] * sd[..., None, :] + np.where(both & eye, extra[:, None, :, None] ** 2, 0.0)
        return np.where(both, np.linalg.inv(v), 0.0) * slope[:, None, :, None] * slope[:, None, None, :]

    @property
    def coefficient_priors(self) -> tuple[Floats, Floats]:
        """Means and standard deviations of beta's priors, shape (P,) each."""
        intercept = np.array([c == "Intercept" for c in self.columns])
        m = self.model
        return (
            np.where(intercept, m.intercept.mean, m.coefficient.mean),
            np.where(intercept, m.intercept.sd, m.coefficient.sd),
        )


def design(model: AreaModel, direct: DirectEstimates) -> Design:
    """Return the arrays of a model on data, with the areas of these.

    Raises
    ------
    ModelError or ProblemsError
        All at once: a covariate that is absent, constant, or missing in some buurten; a graph of other areas;
        a grouping that the areas do not have; columns that are linear combinations of others; figures out of range.
    """
    problems, areas = Problems(), direct.areas
    try:
        columns, x, used = covariates(model, areas)
    except BuurtsaeError as error:
        problems.collect(error)
    strange = problems.sift(figures(areas))
    blocks: list[Bym2Block | IidBlock] = []
    for term in model.terms:
        try:
            blocks.append(_block(term, areas))
        except BuurtsaeError as error:
            problems.collect(error)
    problems.raise_if_any()
    site_codes, sites = _sites(direct)
    y, precision, root = _observations(direct, site_codes)
    ratio, freedom = _variances(direct, site_codes)
    if model.variances is not None and not (freedom > 0).any():
        raise ModelError(
            "variances cannot be modelled",
            "no variance within an area, with its degrees of freedom",
            "respondents, several in some areas",
            "leave `variances` out: sampling variances are then taken as known",
        )
    n_sources, n_dims = len(direct.sources), len(direct.subdimensions)
    informs = np.array([s.informs for s in direct.sources])
    reference = direct.reference[None, :] == np.arange(n_sources)[:, None]
    centre = np.array([np.nanmean(direct.sources[direct.reference[d]].mean[:, d]) for d in range(n_dims)])
    return Design(
        model=model,
        areas=tuple(areas.codes),
        site_codes=tuple(site_codes),
        sites=sites,
        subdimensions=direct.subdimensions,
        columns=columns,
        sources=tuple(s.source for s in direct.sources),
        x=x,
        y=y,
        precision=precision,
        root=root,
        linked=informs & ~reference,
        kinds=tuple(s.kind for s in direct.sources),
        ratio=ratio,
        freedom=freedom,
        centre=centre,
        blocks=tuple(blocks),
        covariates=used,
        strange=(*strange, *(far(model.intercept, centre) if "Intercept" in columns else ())),
    )


def covariates(model: AreaModel, areas: Areas) -> tuple[tuple[str, ...], Floats, tuple[Provenance, ...]]:
    """Return column names, the (N, P) model matrix, and where the covariates come from."""
    from formulaic.formula import SimpleFormula

    side = "one right-hand side, such as 1 + x"
    formula = read(model.formula, side, standardised=True)
    if not isinstance(formula, SimpleFormula):
        raise ModelError("the formula has several parts", cut(repr(model.formula)), side, "leave out `~` and `|`")
    problems, joined = Problems(), set(areas.covariates)
    names, (grouped, numbers) = variables(formula), categories(formula)
    if text := [n for n in names if n in areas.frame and n not in (*joined, *STRUCTURAL)]:
        problems.add(
            "covariates are text",
            "; ".join(f"{n} ({shown(areas.frame[n].dropna().unique(), 3)})" for n in text[:5]),
            "columns of numbers",
            "correct the cells that are no number; of categories, join a column of their numbers and write C(column)",
            ModelError,
        )
    if both := sorted(grouped & numbers):
        problems.add(
            "covariates are both a category and a number",
            shown(both),
            "C(column), or the column",
            "choose one, or join the column twice under two names",
            ModelError,
        )
    if absent := [n for n in names if n not in joined and n not in text]:
        problems.add(
            "covariates are absent",
            shown(absent),
            shown(areas.covariates, 30),
            "correct the formula, or join the table that has them",
            ModelError,
        )
    problems.raise_if_any()
    table, used = prepare(names, model.covariates, model.missing, areas, problems, grouped)
    problems.raise_if_any()
    found = matrix(formula, table, "terms of numeric covariates")
    x = np.asarray(found, dtype=float)
    if len(wrong := found.columns[~np.isfinite(x).all(axis=0)]):
        raise ModelError(
            "columns of the formula are not finite", shown(wrong), "numbers", "covariates are standardised: about 0"
        )
    if dependent := dependent_columns(x[areas.inhabited]):
        raise ModelError(
            "columns of the formula are linear combinations of others",
            f"rank {x.shape[1] - len(dependent)} of {x.shape[1]} columns: "
            + "; ".join(shown(found.columns[columns], 20) for columns in dependent),
            "independent columns",
            "leave one out" if len(dependent) == 1 else "leave one out of each",
        )
    return tuple(str(c) for c in found.columns), x, used


def _block(term: BYM2 | IID, areas: Areas) -> Bym2Block | IidBlock:
    if isinstance(term, IID):
        group = areas.parents(term.group)
        if group.isna().any():
            raise ModelError(
                f"{areas.noun} are in no group of {term.group}, which is a term",
                shown(group.index[group.isna()]),
                f"a group for every {areas.base}",
                "complete the grouping, or leave the term out",
            )
        labels, index = np.unique(group.to_numpy(dtype=str), return_inverse=True)
        return IidBlock(term, index.astype(np.int64), tuple(str(c) for c in labels))
    if list(term.graph.codes) != list(areas.codes):
        other = sorted(set(term.graph.codes) ^ set(areas.codes))
        raise ModelError(
            "the graph is of other areas",
            f"{len(other)} codes in one only: {shown(other)}",
            f"the {len(areas.codes)} {areas.noun} of the data",
            "build it with areas.graph(), or of the codes of these areas",
        )
    return Bym2Block(term, term.graph.icar, term.graph.edges)


def _sites(direct: DirectEstimates) -> tuple[pd.Index, sp.csr_array]:
    """Codes of the sites, and the weights of the areas at each."""
    areas = direct.areas
    sites, weights = list(areas.codes), [sp.eye_array(len(areas.codes), format="csr")]
    for level in sorted({s.level for s in direct.sources} - {areas.base}, key=areas.levels.index):
        observed = sorted({c for s in direct.sources if s.level == level for c in s.codes[_seen(s)]})
        labels, share = areas.aggregation(level)
        sites, weights = [*sites, *observed], [*weights, share[pd.Index(labels).get_indexer(observed)]]
    return pd.Index(sites), sp.csr_array(sp.vstack(weights))


def _seen(source: SourceEstimates) -> NDArray[np.bool_]:
    """True for areas with an estimate of some sub-dimension."""
    return np.asarray(np.isfinite(source.mean).any(axis=1))


def _observations(direct: DirectEstimates, sites: pd.Index) -> tuple[Floats, Floats, Floats]:
    n_dims = len(direct.subdimensions)
    y = np.zeros((len(direct.sources), len(sites), n_dims))
    precision, root = np.zeros((*y.shape, n_dims)), np.zeros((*y.shape, n_dims))
    for s, source in enumerate(direct.sources):
        seen = _seen(source)
        mean, codes = source.mean[seen], source.codes[seen]
        row = sites.get_indexer(codes)
        y[s, row] = np.nan_to_num(mean)
        precision[s, row], root[s, row] = precision_and_root(source.variance[seen], np.isfinite(mean), codes)
    return y, precision, root


def _variances(direct: DirectEstimates, sites: pd.Index) -> tuple[Floats, Floats]:
    shape = (len(direct.sources), len(sites), len(direct.subdimensions))
    ratio, freedom = np.ones(shape), np.zeros(shape)
    for s, source in enumerate(direct.sources):
        if source.within is None or source.freedom is None:
            continue
        seen = _seen(source)
        row = sites.get_indexer(source.codes[seen])
        pooled = (np.einsum("add->ad", source.variance) * source.n_effective)[seen]
        known = (source.freedom[seen] > 0) & (pooled > 0)
        ratio[s, row] = np.divide(source.within[seen], pooled, out=np.ones_like(pooled), where=known)
        freedom[s, row] = np.where(known, source.freedom[seen], 0.0)
    return ratio, freedom


def precision_and_root(variance: Floats, observed: NDArray[np.bool_], codes: Sequence[str]) -> tuple[Floats, Floats]:
    """Return W and its root R, shape (n, D, D), embedding the inverse of each observed block of V.

    Raises
    ------
    ModelError
        If a sampling covariance is singular: it would claim infinite precision.
    """
    n_dims = variance.shape[1]
    both = observed[:, :, None] & observed[:, None, :]
    # an identity block for what is not observed keeps the matrix invertible and drops out again
    full = np.where(both, variance, np.eye(n_dims))
    size = np.sqrt(np.maximum(np.einsum("add->ad", full), 0.0))
    unit = np.where(size > 0, size, 1.0)
    correlation = full / (unit[:, :, None] * unit[:, None, :])  # variances may be small on the scale of the measure
    if len(full) and (worst := np.linalg.eigvalsh(correlation)[:, 0]).min() <= 1e-10:
        raise ModelError(
            "sampling covariances are singular",
            shown(np.asarray(codes)[worst <= 1e-10]),
            "positive definite matrices",
            "smooth the variances, or leave out sub-dimensions that always have the same answer",
        )
    w = np.where(both, np.linalg.inv(full), 0.0)
    return w, np.where(both, np.linalg.cholesky(np.where(both, w, np.eye(n_dims))), 0.0)
