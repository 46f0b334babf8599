r"""NUTS: the reference engine, through PyMC and nutpie.

What the sampler moves in, and why it mixes:

* v and the group effects are non-centred: v = sigma sqrt(1 - phi) (z L'), z ~ N(0, I).
* u = sigma sqrt(phi) (x L'), with x unit ICAR fields: -1/2 sum_c s_c sum_{i~j in c} (x_i - x_j)^2. The level of each
  connected component, which that leaves free, is a nuisance with a proper normal prior; x minus its component mean
  enters the model: the sum to zero is exact and no direction is stiff. An area without neighbours has x ~ N(0, 1).
* What a source adds per site, tau w, and log variances, kappa z - kappa^2 / 2, are non-centred too.
* A correlation matrix is R = L L' with L the rows of T scaled to length 1, T lower triangular with standard normals
  below its diagonal and T_ii^2 ~ chi^2(2 eta + D - i): then R ~ LKJ(eta), all matrices at once, no Jacobian.

References
----------
Hoffman, M. and Gelman, A. (2014). The No-U-Turn Sampler. J. Machine Learning Research 15.
Lewandowski, D., Kurowicka, D. and Joe, H. (2009). J. Multivariate Analysis 100 (the onion method).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from buurtsae.draws import Draws, unannounced
from buurtsae.engines.labels import Whole, labelled, matrices
from buurtsae.model.design import Bym2Block, Design

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
    """Return the parts of a design that this engine cannot fit, by name: none so far but two BYM2 terms."""
    n = sum(isinstance(b, Bym2Block) for b in design.blocks)
    return ["several BYM2 terms"] if n > 1 else []


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
    return compiled.with_data(**{name: np.asarray(getattr(design, name), dtype=float) for name in names})


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
    kept = ("eta", "beta", "sigma", "phi", "root_R", "alpha", "log_lambda", "tau", "kappa", "factor")
    raw = {name: np.asarray(trace.posterior[name].values) for name in kept if name in trace.posterior.data_vars}
    divergences = int(np.asarray(trace.sample_stats["diverging"].values).sum())
    return labelled(design, raw, divergences)


def build(design: Design) -> pm.Model:
    """Return the PyMC model of a design."""
    with quiet_imports():
        import pymc as pm
        import pytensor.tensor as pt

    n_dims = len(design.subdimensions)
    mean, sd = design.coefficient_priors
    with pm.Model() as model:
        y, root, centre = (pm.Data(name, getattr(design, name)) for name in ("y", "root", "centre"))
        beta = pm.Normal("beta", mean[:, None], sd[:, None], shape=(len(mean), n_dims))
        eta = pm.Deterministic("eta", pt.dot(design.x, beta) + (_effects(design, pm, pt) if design.blocks else 0.0))
        score = _at_sites(design, eta, pt)
        prediction = score[None]
        if links := design.links:
            # places what is free in the (source, sub-dimension) table, 0 elsewhere
            place = np.zeros((design.linked.size, len(links)))
            place[np.flatnonzero(design.linked), np.arange(len(links))] = 1.0
            table = (len(design.sources), n_dims)
            priors = [link for _, _, link in links]
            alpha = pm.Normal("alpha", [p.offset.mean for p in priors], [p.offset.sd for p in priors])
            slope = pm.Normal("log_lambda", [p.slope.mean for p in priors], [p.slope.sd for p in priors])
            tau = pm.Exponential("tau", [p.extra.rate for p in priors])
            w = pm.Normal("w", 0.0, 1.0, shape=(len(links), len(design.site_codes)))
            offset, slope = (pt.dot(place, p).reshape((table[0], 1, n_dims)) for p in (alpha, slope))
            extra = pt.dot(place, tau[:, None] * w).reshape((*table, -1)).swapaxes(1, 2)
            prediction = centre + offset + pt.exp(slope) * (score - centre)[None] + extra
        residual = y - prediction
        if design.model.variances is not None:
            h = _log_variances(design, pm, pt)
            residual = residual * pt.exp(-0.5 * h)
        pm.Potential("likelihood", -0.5 * ((root * residual[:, :, :, None]).sum(axis=2) ** 2).sum())
    return model


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
    kappa = pm.Exponential("kappa", prior.rate, shape=(len(design.sources), len(design.subdimensions)))
    z = pm.Normal("z_variance", 0.0, 1.0, shape=design.y.shape)
    h = kappa[:, None, :] * z - 0.5 * kappa[:, None, :] ** 2
    pm.Potential("variances", -0.5 * (seen * h + freedom * (h + ratio * pt.exp(-h))).sum())
    pm.Deterministic("factor", pt.exp(h))
    return h


def _effects(design: Design, pm: Any, pt: Any) -> Any:
    """Add the priors of the random effects; return their sum, a tensor of shape (N, D)."""
    n_dims, stack = len(design.subdimensions), matrices(design)
    stacked = _correlation_roots(stack, n_dims, pm, pt) if n_dims > 1 else [1.0] * len(stack)
    root = {name: stacked[k] for k, (name, _) in enumerate(stack)}
    sigma = _standard_deviations(design, pm, pt)
    total = 0.0
    for b, block in enumerate(design.blocks):
        if isinstance(block, Bym2Block):
            phi = pm.Beta("phi", block.term.mixing.a, block.term.mixing.b, shape=n_dims)
            v = pm.Normal("v", 0.0, 1.0, shape=(len(design.areas), n_dims))
            u = _unit_icar(block, n_dims, pm, pt)
            of_u, of_v = root[block.term.matrices[0]], root[block.term.matrices[-1]]
            effect = _correlated(u, of_u, pt) * pt.sqrt(phi) + _correlated(v, of_v, pt) * pt.sqrt(1 - phi)
        else:
            z = pm.Normal(block.term.group, 0.0, 1.0, shape=(len(block.labels), n_dims))
            effect = _correlated(z, root[block.term.matrices[0]], pt)[block.index]
        total = total + sigma[b] * effect
    return total


def _standard_deviations(design: Design, pm: Any, pt: Any) -> Any:
    """Add the priors of sigma_d = sigma exp(spread z_d) of all blocks; return them, shape (n_blocks, D)."""
    n_dims, rate = len(design.subdimensions), np.array([[b.term.sd.rate] for b in design.blocks])
    if n_dims == 1:
        return pm.Exponential("sigma", rate, shape=rate.shape)
    common = pm.Exponential("common", rate, shape=rate.shape)
    z = pm.Normal("z", 0.0, 1.0, shape=(len(rate), n_dims))
    spread = np.array([[b.term.spread] for b in design.blocks])
    return pm.Deterministic("sigma", common * pt.exp(spread * z))


def _correlated(z: Any, root: Any, pt: Any) -> Any:
    """Give the rows of z the correlation matrix L L'."""
    return z if isinstance(root, float) else pt.dot(z, root.T)


def _unit_icar(block: Bym2Block, n_dims: int, pm: Any, pt: Any) -> Any:
    """Add the density of unit ICAR fields, one per sub-dimension; return them with component means removed."""
    icar = block.icar
    x = pm.Flat("u", shape=(len(icar.component), n_dims))
    i, j = block.edges.T
    scale = icar.scale[icar.component[i]]
    island = np.flatnonzero(icar.size[icar.component] == 1)
    density = -0.5 * (scale[:, None] * (x[i] - x[j]) ** 2).sum() - 0.5 * (x[island] ** 2).sum()
    means = icar.means.toarray()
    level = pt.dot(means, x)
    # any proper prior of the level will do, for it leaves the model; this one has the scale of the field
    pm.Potential("icar", density - 0.5 * (icar.size[icar.constrained][:, None] * level**2).sum())
    return x - pt.dot((means > 0).T.astype(float), level)


def _correlation_roots(stack: list[tuple[str, float]], n_dims: int, pm: Any, pt: Any) -> Any:
    """Add the LKJ priors of all correlation matrices; return their roots L, shape (n_matrices, D, D)."""
    n_below = n_dims * (n_dims - 1) // 2
    below = pm.Normal("below", 0.0, 1.0, shape=(len(stack), n_below))
    degrees = np.array([[2 * eta + n_dims - i for i in range(2, n_dims + 1)] for _, eta in stack])
    square = pm.ChiSquared("square", degrees, shape=degrees.shape)
    # T from its parts: what is below the diagonal, then a 0 for all above it, then the diagonal, whose first entry is 1
    part = np.full((n_dims, n_dims), n_below)
    part[np.tril_indices(n_dims, -1)] = np.arange(n_below)
    part[np.diag_indices(n_dims)] = n_below + 1 + np.arange(n_dims)
    zero, one = np.zeros((len(stack), 1)), np.ones((len(stack), 1))
    t = pt.concatenate([below, zero, one, pt.sqrt(square)], axis=1)[:, part]
    return pm.Deterministic("root_R", t / pt.sqrt((t**2).sum(axis=2, keepdims=True)))
