r"""Persons by NUTS: the reference for `persons`, on small data; the areas' part is that of `nuts`.

f_k = sigma_k B_k alpha_k + G_k gamma_k, alpha and gamma ~ N(0, I): non-centred. Likelihoods are those of
`model.persons.answer`, per cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from buurtsae.draws import Draws
from buurtsae.engines.labels import labelled
from buurtsae.engines.nuts import NutsOptions, _effect, _known, quiet_imports
from buurtsae.engines.persons import PersonData
from buurtsae.model.design import Design
from buurtsae.model.persons.answer import Ladder, Number
from buurtsae.model.persons.effect import Stacked
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    import pymc as pm


def build(design: Design, stacked: Stacked, data: PersonData) -> pm.Model:
    """Return the PyMC model."""
    with quiet_imports():
        import pymc as pm
        import pytensor.tensor as pt

    mean, sd = (part.reshape(len(design.coefficients)) for part in design.coefficient_priors)
    with pm.Model() as model:
        beta = pm.Normal("beta", mean[:, None], sd[:, None], shape=(len(mean), 1))
        effects = [_effect(effect, design, pm, pt) for effect in design.effects]
        e = pm.Deterministic("eta", sum(effects, pt.dot(design.x, beta)) + _known(design, pm, pt))
        q = e[:, 0][data.area]
        parts = []
        for k, effect in enumerate(stacked.effects):
            f = pt.zeros(len(effect.levels))
            if effect.prior is not None:
                sigma = effect.prior.pymc(f"persons{k}", (1,))
                f = f + sigma * pt.dot(effect.shrunk, pm.Normal(f"alpha{k}", shape=effect.shrunk.shape[1]))
            if effect.free.shape[1]:
                f = f + pt.dot(effect.free, pm.Normal(f"gamma{k}", shape=effect.free.shape[1]))
            parts.append(f)
            q = q + f[data.index[:, k] - stacked.starts[k]]
        pm.Deterministic("f", pt.concatenate(parts) if parts else pt.zeros(0))
        psi = [prior.pymc(f"psi{k}", (n,)) for k, (_, n, prior) in enumerate(data.outcome.parameters(data.y))]
        pm.Potential("likelihood", _log_likelihood(data, q, psi, pt))
    return model


def _log_likelihood(data: PersonData, q: Any, psi: list[Any], pt: Any) -> Any:
    """The log-likelihood of cells up to a constant."""
    y, size = data.y, data.size
    if isinstance(data.outcome, Number):
        squares = (y[:, 1] - 2 * q * y[:, 0] + size * q**2).sum()
        return -size.sum() * pt.log(psi[0][0]) - 0.5 * squares / psi[0][0] ** 2
    if isinstance(data.outcome, Ladder):
        cuts = pt.concatenate([pt.zeros(1), pt.cumsum(psi[0])])
        f = pt.sigmoid(cuts[None] - q[:, None])
        ends = pt.zeros((len(y), 1))
        f = pt.concatenate([ends, f, ends + 1], axis=1)
        return (y * pt.log(f[:, 1:] - f[:, :-1])).sum()
    return (y * q - size * pt.softplus(q)).sum()


def sample(
    design: Design, stacked: Stacked, data: PersonData, seed: int, options: NutsOptions
) -> tuple[Draws, Floats, Floats]:
    """Return draws of the areas' part; f (n, L); and sigma of persons' terms with psi, (chains, draws, size)."""
    with quiet_imports():
        import nutpie

        compiled = nutpie.compile_pymc_model(build(design, stacked, data))
    trace = nutpie.sample(
        compiled, draws=options.draws, tune=options.tune, chains=options.chains, cores=options.cores, seed=seed,
        target_accept=options.target_accept, progress_bar=False, save_warmup=False,
    )  # fmt: skip
    drawn = {str(name): np.asarray(values.values) for name, values in trace.posterior.data_vars.items()}
    names = [f"{effect.name}.{p.name}" for effect in design.effects for p in effect.parameters]
    divergences = int(np.asarray(trace.sample_stats["diverging"].values).sum())
    raw = labelled(design, {name: drawn[name] for name in ("eta", "beta")}, {n: drawn[n] for n in names}, divergences)
    own = [drawn[f"persons{k}"] for k in stacked.sigmas]
    own += [drawn[f"psi{k}"] for k in range(len(data.outcome.parameters(data.y)))]
    joined = np.concatenate([*own, np.zeros((options.chains, options.draws, 0))], axis=2)
    return raw, drawn["f"].reshape(len(raw.flat), -1), joined
