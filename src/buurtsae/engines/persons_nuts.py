r"""Persons by NUTS: the reference for `persons`, on small data; the areas' part is that of `nuts`.

f_k = sigma_k B_k alpha_k + G_k gamma_k, alpha and gamma ~ N(0, I): non-centred. Likelihoods are those of
`model.persons.answer`, per cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from buurtsae.engines.nuts import NutsOptions, _effect, _known, quiet_imports
from buurtsae.engines.persons import PersonData
from buurtsae.model.design import Design
from buurtsae.model.persons.answer import Ladder, Number
from buurtsae.model.persons.terms import Stacked
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    import pymc as pm


def build(design: Design, stacked: Stacked, data: PersonData) -> pm.Model:
    """Return the PyMC model."""
    with quiet_imports():
        import pymc as pm
        import pytensor.tensor as pt

    mean, sd = design.coefficient_priors
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


def draws(
    design: Design, stacked: Stacked, data: PersonData, seed: int, options: NutsOptions
) -> Mapping[str, Floats]:
    """Return draws: `eta` (n, N), `f` (n, L), `beta` (n, P), and each parameter by the name that reports have."""
    with quiet_imports():
        import nutpie

        compiled = nutpie.compile_pymc_model(build(design, stacked, data))
    trace = nutpie.sample(
        compiled, draws=options.draws, tune=options.tune, chains=options.chains, cores=options.cores, seed=seed,
        target_accept=options.target_accept, progress_bar=False, save_warmup=False,
    )  # fmt: skip

    def flat(name: str) -> Floats:
        values = np.asarray(trace.posterior[name].values)
        return values.reshape(-1, *values.shape[2:])

    out = {"eta": flat("eta")[:, :, 0], "f": flat("f"), "beta": flat("beta")[:, :, 0]}
    for effect in design.effects:
        for p in effect.parameters:
            name = f"{effect.name}.{p.name}"
            out[name] = flat(name).reshape(len(out["eta"]), -1)
    for k, person in enumerate(stacked.effects):
        if person.prior is not None:
            out[f"{person.name}.sigma"] = flat(f"persons{k}")
    for k, (name, _, _) in enumerate(data.outcome.parameters(data.y)):
        out[name] = flat(f"psi{k}")
    return out
