r"""NUTS: the reference engine, through PyMC and nutpie.

What the sampler moves in, and why it mixes:

* Unstructured effects and those of groups are non-centred: z ~ N(0, I), times their loading.
* Other effects are x C' with x unit fields of density -x'Qx / 2, and log |Q| / 2 where parameters change it, with
  x'Qx = sum_i (sum_j q_ij) x_i^2 - sum_{i<j} q_ij (x_i - x_j)^2. What the null space leaves free is a nuisance; x
  without it enters the model: the constraint is exact and no direction is stiff.
* What a source adds per site, tau w, and log variances, kappa z - kappa^2 / 2, are non-centred too.
* Parameters have the PyMC form that their priors state (`model.priors`, `model.parameters`).

References
----------
Hoffman, M. and Gelman, A. (2014). The No-U-Turn Sampler. J. Machine Learning Research 15.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from buurtsae.draws import Draws, unannounced
from buurtsae.engines.hyper import of_freedom
from buurtsae.engines.labels import Whole, labelled
from buurtsae.engines.tie import Tie
from buurtsae.model.design import Design
from buurtsae.model.outcome.dispersed import log_likelihood
from buurtsae.model.outcome.dispersed import score as dispersed_score
from buurtsae.model.outcome.per_measure import counted_columns
from buurtsae.model.parameters import Values
from buurtsae.model.priors import stacked
from buurtsae.model.terms.base import Effect

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True)
class NutsOptions:
    """Settings of the sampler.

    Parameters
    ----------
    chains, draws, tune : int
        Number of chains; draws kept and steps of adaptation, per chain.
    target_accept : float
        Raise it when transitions diverge.
    cores : int
        Chains that run at the same time.
    """

    chains: Whole = 4
    draws: Whole = 2000
    tune: Whole = 1000
    target_accept: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.98
    cores: Whole = 2


Options = NutsOptions
_VARIANCES = ("ratio", "freedom", "observed")


def supports(design: Design) -> list[str]:
    """Return the parts of a design that this engine cannot fit, by name: none so far."""
    return []


def sample(design: Design, seed: int, options: NutsOptions, progress: bool) -> Draws:
    """Return draws from the posterior of a design."""
    if progress:
        print("compiling the model: half a minute to two minutes", file=sys.stderr, flush=True)
    return sample_compiled(compile_design(design), design, seed, options, progress)


def compile_design(design: Design) -> Any:
    """Return nutpie's compiled model; `y`, `root` and `centre` are data that can be exchanged, see `with_data`."""
    with quiet_imports():
        import nutpie

        return nutpie.compile_pymc_model(build(design))


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Hide two warnings that a user can do nothing about: ArviZ's coming refactor, and PyTensor's C code without BLAS.

    The model is compiled by numba, so that PyTensor's C linker does not matter.
    """
    with unannounced(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PyTensor could not link to a BLAS", UserWarning)
        warnings.filterwarnings("ignore", ".*g\\+\\+ not (available|detected)", UserWarning)
        yield


def with_data(compiled: Any, design: Design) -> Any:
    """Return a compiled model with the data of another design of the same model, areas and sources."""
    names = ("y", "root", *(("centre",) if design.links else ()), *(_VARIANCES if design.model.variances else ()))
    data = {name: getattr(design.gaussian, name) for name in names if measured(design)}
    if design.size is not None:
        data |= dict(zip(("counts", "size"), design.counted, strict=True))
    return compiled.with_data(**{name: np.asarray(value, dtype=float) for name, value in data.items()})


def measured(design: Design) -> bool:
    """Return whether something is not counted."""
    return design.size is None or bool((design.covariance != 0).any())


def sample_compiled(compiled: Any, design: Design, seed: int, options: NutsOptions, progress: bool) -> Draws:
    """Sample a compiled model."""
    import nutpie

    sampler = nutpie.sample(
        compiled,
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        cores=options.cores,
        seed=seed,
        target_accept=options.target_accept,
        progress_bar=progress,
        save_warmup=False,
        blocking=False,
    )
    try:
        trace = sampler.wait()
    except BaseException:  # nutpie would return what it has on Ctrl-C; half a sample is no sample
        sampler.cancel()
        raise
    posterior = trace.posterior
    kept = ("eta", "beta", "alpha", "lambda", "tau", "break", "kappa", "omega", "overdispersion", "factor")
    raw = {name: np.asarray(posterior[name].values) for name in kept if name in posterior.data_vars}
    names = [f"{effect.name}.{p.name}" for effect in design.effects for p in effect.parameters]
    divergences = int(np.asarray(trace.sample_stats["diverging"].values).sum())
    return labelled(design, raw, {name: np.asarray(posterior[name].values) for name in names}, divergences)


def build(design: Design) -> pm.Model:
    """Return the PyMC model of a design."""
    with quiet_imports():
        import pymc as pm
        import pytensor.tensor as pt

    width = design.y.shape[-1]
    with pm.Model() as model:
        beta = _coefficients(design, pm, pt)
        effects = [_effect(effect, design, pm, pt) for effect in design.effects if not effect.formula]
        eta = pm.Deterministic("eta", sum(effects, pt.dot(design.x, beta)) + _known(design, pm, pt))
        score = _at_sites(design, eta, pt)
        if design.size is not None:
            _counts(design, score, pm, pt)
        if not measured(design):
            return model
        y = pm.Data("y", design.gaussian.y)
        root, centre = (pm.Data(name, getattr(design.gaussian, name)) for name in ("root", "centre"))
        prediction = score[None]
        if links := design.links:
            # places what is free in the (source, column) table, 0 elsewhere
            place = np.zeros((design.linked.size, int(design.linked.sum())))
            place[np.flatnonzero(design.linked), np.arange(place.shape[1])] = 1.0
            table = (len(design.sources), width)
            alpha, slope, tau = (
                stacked([getattr(link.priors, part) for link in links]).pymc(name, (len(links),))[design.link_of]
                for name, part in (("alpha", "offset"), ("lambda", "slope"), ("tau", "extra"))
            )
            w = pm.Normal("w", 0.0, 1.0, shape=(place.shape[1], len(design.site_codes)))
            offset, slope = (pt.dot(place, p).reshape((table[0], 1, width)) for p in (alpha, slope - 1))
            extra = pt.dot(place, tau[:, None] * w).reshape((*table, -1)).swapaxes(1, 2)
            prediction = centre + offset + (1 + slope) * (score - centre)[None] + extra
        if design.breaks:
            of_breaks = replace(design.offsets, each=design.breaks)
            b = pm.Normal("break", of_breaks.mean, of_breaks.sd, shape=(len(design.breaks),))
            where = of_breaks.table(np.eye(len(design.breaks))).reshape(len(design.breaks), -1).T
            prediction = prediction + pt.dot(where, b).reshape((len(design.sources), 1, width))
        residual = y - prediction
        if design.model.variances is not None:
            h = _log_variances(design, pm, pt)
            residual = residual * pt.exp(-0.5 * h)
        log_determinant = 0.0
        if (design.doubtful > 0).any():
            log_omega = _log_omega(design, pm, pt)
            residual = residual * pt.exp(-0.5 * log_omega)[:, None, :]
            log_determinant = (design.observed.sum(axis=1) * log_omega).sum()
        square = ((root * residual[:, :, :, None]).sum(axis=2) ** 2).sum()
        pm.Potential("likelihood", -0.5 * (square + log_determinant))
    return model


def _coefficients(design: Design, pm: Any, pt: Any) -> Any:
    """Add the coefficients of the formula; return them, (P, W)."""
    width = design.y.shape[-1]
    mean, sd = (part.reshape(len(design.coefficients), -1) for part in design.coefficient_priors)
    if not (over_years := [effect for effect in design.effects if effect.formula]):
        return pm.Normal("beta", mean, sd, shape=(len(mean), width))
    parts = []
    for effect in over_years:
        names = {p.name: f"{effect.name}.{p.name}" for p in effect.parameters}
        values = {p.name: p.prior.pymc(names[p.name], len(design.measures)) for p in effect.parameters}
        for name, value in values.items():
            pm.Deterministic(names[name], value[None])
        z = pm.Normal(f"{effect.name}.z", shape=(effect.sees.shape[1], width))
        parts.append(pt.dot(z, effect.loading(values).T))
    return pm.Deterministic("beta", mean + design.coefficient_unit[:, None] * pt.concatenate(parts, axis=0))


def _counts(design: Design, score: Any, pm: Any, pt: Any) -> None:
    """Add the likelihood of counts, and what ties them together."""
    y, size = (pm.Data(name, part) for name, part in zip(("counts", "size"), design.counted, strict=True))
    outcome, width = design.model.outcome, design.y.shape[-1]
    rho = pt.zeros(width)
    for w, prior in design.overdispersion.items():
        rho = pt.set_subtensor(rho[w], prior.pymc(f"rho_{w}", ()))
    if design.overdispersion:
        pm.Deterministic("overdispersion", rho)
    each = list[tuple[Any, Any, Any]]()
    for one, at in counted_columns(outcome, width):
        of = score[:, at], y[:, at], size[:, at]
        if at[0] in design.overdispersion:
            each.append((at, log_likelihood(*of, rho[at]), dispersed_score(*of, rho[at])))
        else:
            each.append((at, one.log_likelihood(*of), one.score(*of)))
    values = [value for _, value, _ in each]
    pm.Potential("of_counts", sum(values[1:], values[0]))
    if design.correlation is None:
        return
    tie = Tie.of(design)
    z = tie.precision * (tie.y - score)
    for at, _, slope in each:
        z = pt.set_subtensor(z[:, at], slope)
    z = tie.scale * z
    pm.Potential("tie", -0.5 * (z * (tie.matrix * z[:, None, :]).sum(axis=2)).sum())


def _known(design: Design, pm: Any, pt: Any) -> Any:
    """Add the unstructured effects whose covariance is known; return them, (N, W), where there are any."""
    if design.known is None:
        return 0.0
    places = np.flatnonzero(design.known.any(axis=(1, 2)))
    values, vectors = np.linalg.eigh(design.known[places])
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    v = pm.Normal("v_known", shape=root.shape[:2])
    return pt.zeros(design.known.shape[:2])[places].inc((root * v[:, None, :]).sum(axis=2))


def _at_sites(design: Design, eta: Any, pt: Any) -> Any:
    """Return the scores at the sites, shape (K, D): eta itself where every source is known per buurt."""
    wijken = design.sites[len(design.areas) :]
    return pt.concatenate([eta, pt.dot(wijken.toarray(), eta)]) if wijken.shape[0] else eta


def _log_variances(design: Design, pm: Any, pt: Any) -> Any:
    """Add h, with what the variances within buurten say about it; return h, shape (S, K, D).

    Up to a constant the densities are -h / 2 where there is an estimate, and -f (h + s^2 / (S exp(h))) / 2.
    """
    prior = design.model.variances
    assert prior is not None
    ratio, freedom, seen = (pm.Data(name, np.asarray(getattr(design, name), dtype=float)) for name in _VARIANCES)
    kappa = prior.pymc("kappa", (len(design.sources), design.y.shape[-1]))
    z = pm.Normal("z_variance", 0.0, 1.0, shape=design.y.shape)
    h = kappa[:, None, :] * z - 0.5 * kappa[:, None, :] ** 2
    pm.Potential("variances", -0.5 * (seen * h + freedom * (h + ratio * pt.exp(-h))).sum())
    pm.Deterministic("factor", pt.exp(h))
    return h


def _log_omega(design: Design, pm: Any, pt: Any) -> Any:
    """Add the factors of sampling variances with few degrees of freedom; return their logarithms, shape (S, W)."""
    few = design.doubtful > 0
    place = np.eye(few.size)[:, few.ravel()]
    omega = of_freedom(design.doubtful[few]).pymc("omega_", (int(few.sum()),))
    log_omega = pt.dot(place, pt.log(omega)).reshape(few.shape)
    pm.Deterministic("omega", pt.exp(log_omega))
    return log_omega


def _effect(effect: Effect, design: Design, pm: Any, pt: Any) -> Any:
    """Add the priors of an effect; return it, a tensor of shape (N, W)."""
    d, by_year, fields = len(design.measures), list[dict[str, Any]](), []
    width = d * design.periods if effect.joint else d
    for t in range(1 if effect.joint else design.periods):
        year = f"_{design.years[t]}" if design.years and not effect.joint else ""
        by_year.append(
            {
                parameter.name: parameter.prior.pymc(f"{effect.name}.{parameter.name}{year}", d)
                for parameter in effect.parameters
            }
        )
    for parameter in effect.parameters:
        pm.Deterministic(f"{effect.name}.{parameter.name}", pt.stack([values[parameter.name] for values in by_year]))
    for t, values in enumerate(by_year):
        total = 0.0
        if effect.structure is not None:
            x = _unit_field(f"{effect.name}.z{t}", effect, values, width, pm, pt)
            if effect.local is not None:
                x = x * effect.local(f"{effect.name}.local{t}", (effect.structure.nodes, width), values)
            total = _seen(effect.sees, pt.dot(x, effect.loading(values).T), pt)
        if (levels := effect.levels) is not None:
            x = pm.Normal(f"{effect.name}.l{t}", shape=(levels.structure.nodes, width))
            total = total + pt.dot(levels.sees.toarray(), pt.dot(x, levels.loading(values).T))
        if effect.loose is not None:
            v = pm.Normal(f"{effect.name}.v{t}", shape=(len(design.areas), width))
            loose = scaled(effect, values, v, pt)
            if effect.tail is not None:
                half = 0.5 / effect.tail(values)[0]
                loose = loose / pt.sqrt(pm.Gamma(f"{effect.name}.g{t}", half, half, shape=len(design.areas)))[:, None]
            total = total + loose
        fields.append(total)
    return fields[0] if len(fields) == 1 else pt.concatenate(fields, axis=1)


def scaled(effect: Effect, values: Values, v: Any, pt: Any) -> Any:
    """Unstructured effects of unit noise (N, D): D_a C E_a v_a, see `latent.loose`."""
    assert effect.loose is not None
    if effect.dispersion is None or effect.scaling is None:
        return pt.dot(v, effect.loose(values).T)
    k, rows = effect.dispersion.shape[1], effect.scaling(values)
    inner, outer = (pt.exp(pt.dot(effect.dispersion, pt.stack(g))) if g else 1.0 for g in (rows[k:], rows[:k]))
    return pt.dot(v * inner, effect.loose(values).T) * outer


def _seen(sees: sp.csr_array, x: Any, pt: Any) -> Any:
    """What areas see of the nodes: themselves, one each, or weights."""
    if (np.diff(sees.indptr) == 1).all() and (sees.data == 1).all():
        n = sees.shape[1]
        return x if np.array_equal(sees.indices, np.arange(n)) and sees.shape[0] == n else x[sees.indices]
    return pt.dot(sees.toarray(), x)


def _unit_field(name: str, effect: Effect, values: Values, width: int, pm: Any, pt: Any) -> Any:
    """Add unit fields of a structure, one per column, within the constraints; return them, (nodes, D)."""
    structure = effect.structure
    assert structure is not None
    if structure.independent:
        return pm.Normal(name, shape=(structure.nodes, width))
    x = pm.Flat(name, shape=(structure.nodes, width))
    strengths = (1.0,) if effect.strengths is None else effect.strengths(values)
    terms = [s * _quadratic(q, x) for s, q in zip(strengths, structure.parts, strict=True)]
    density = -0.5 * sum(terms[1:], terms[0]).sum()
    if effect.log_determinant is not None:
        density = density + 0.5 * effect.log_determinant(values).sum()
    if not structure.constraints.shape[0]:
        pm.Potential(f"{name}_density", density)
        return x
    a = structure.constraints.toarray()
    level = pt.dot(a, x)
    back = np.linalg.solve(a @ a.T, a)
    # any proper prior of the level will do, for it leaves the model; this one has the scale of the field
    pm.Potential(f"{name}_density", density - 0.5 * (level * pt.dot(np.linalg.inv(a @ a.T), level)).sum())
    return x - pt.dot(back.T, level)


def _quadratic(q: sp.csr_array, x: Any) -> Any:
    """X'Qx per column, by the pairs of nodes and what is left of the diagonal."""
    pairs, rest = sp.triu(q, 1).tocoo(), np.asarray(q.sum(axis=1)).ravel()
    alone = np.flatnonzero(np.abs(rest) > 1e-12 * q.diagonal().max())
    total = (rest[alone, None] * x[alone] ** 2).sum(axis=0) if len(alone) else 0.0
    if pairs.nnz:
        total = total - (pairs.data[:, None] * (x[pairs.row] - x[pairs.col]) ** 2).sum(axis=0)
    return total
