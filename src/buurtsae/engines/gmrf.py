r"""The posterior given its hyperparameters: a Gaussian Markov random field with a sparse precision.

Latent x = (eta, u, g, beta, alpha), all but alpha vectors over sub-dimensions. With D = diag(sigma sqrt(phi)), R the
correlation matrices, K = diag(sigma sqrt(1 - phi)) R_v diag(...), and Q the scaled ICAR structure,

    eta_a - x_a' beta - g_[a] - D u_a ~ N(0, K),   u ~ N(0, Q^- (x) R_u),   g ~ N(0, I (x) R_g),   beta, alpha normal,
    y_[s,a] - lambda_s (eta_a - c) - alpha_s ~ N(0, V_[s,a] + diag(tau_s^2)):

every line adds B' W B to the precision, B sparse. u sums to zero per component: conditioning on A x = 0 takes
P^{-1} A' (A P^{-1} A')^{-1} A P^{-1} from the covariance P^{-1}.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from buurtsae.draws import Draws
from buurtsae.model.design import Bym2Block, Design
from buurtsae.sparse import Floats, factor

NUGGET = 1e-6  # variance of eta about its mean in a model without an effect per buurt
JITTER = 1e-7  # makes the precision of u proper before it is conditioned on its sums


@dataclass(frozen=True)
class Hyper:
    """Values of all hyperparameters.

    Attributes
    ----------
    sigma : ndarray, shape (n_blocks, D)
    phi : ndarray, shape (D,)
    correlation : mapping of name to ndarray, shape (D, D)
    slope, extra : ndarray, shape (S, D)
        lambda and tau; 1 and 0 for references.
    factor : ndarray, shape (S, N, D), or 1
        exp(h), by which sampling variances differ from those given.
    """

    sigma: Floats
    phi: Floats
    correlation: Mapping[str, Floats]
    slope: Floats
    extra: Floats
    factor: Floats | float = 1.0

    @classmethod
    def means(cls, draws: Draws, design: Design) -> Hyper:
        """Return the posterior means of a fit with this design."""
        mean = {name: values.mean(axis=(0, 1)) for name, (_, values) in draws.hyper.items()}
        d = len(design.subdimensions)
        names = ["sigma" if isinstance(b, Bym2Block) else f"sigma_{b.term.group}" for b in design.blocks]
        slope, extra = np.ones(design.linked.shape), np.zeros(design.linked.shape)
        if design.linked.any():
            slope[design.linked], extra[design.linked] = mean["lambda"], mean["tau"]
        return cls(
            np.array([mean[name] for name in names]).reshape(-1, d),
            mean.get("phi", np.zeros(d)),
            {name: mean.get(name, np.eye(d)) for b in design.blocks for name in b.term.matrices},
            slope,
            extra,
            1.0 if draws.factor is None else draws.factor,
        )


def posterior_sd(design: Design, hyper: Hyper) -> Floats:
    """Return the posterior standard deviations of eta given the hyperparameters, shape (N, D)."""
    n, d = len(design.areas), len(design.subdimensions)
    precision, constraints = _posterior(design, hyper)
    found = factor(precision)
    variance = found.marginal_variances()[: n * d]
    if constraints.shape[0]:
        gain = found.solve(constraints.T.toarray())
        root = np.linalg.cholesky(np.linalg.inv(constraints @ gain))
        variance = variance - ((gain[: n * d] @ root) ** 2).sum(axis=1)
    return np.sqrt(variance).reshape(n, d)


def _posterior(design: Design, hyper: Hyper) -> tuple[sp.csc_array, sp.csr_array]:
    """Precision of x, and the rows of its constraints A x = 0."""
    n, d = len(design.areas), len(design.subdimensions)
    eye, k = sp.eye_array(d), NUGGET * np.eye(d)
    columns, priors = [sp.eye_array(n * d)], [sp.csr_array((n * d, n * d))]
    constraint, start = sp.csr_array((0, 0)), 0
    for block, sigma in zip(design.blocks, hyper.sigma, strict=True):
        if isinstance(block, Bym2Block):
            structured, loose = sigma * np.sqrt(hyper.phi), sigma * np.sqrt(1 - hyper.phi)
            of_u, of_v = (hyper.correlation[block.term.matrices[i]] for i in (0, -1))
            k = k + np.outer(loose, loose) * of_v
            columns.append(-sp.kron(sp.eye_array(n), np.diag(structured)))
            jitter = JITTER * sp.diags_array((block.icar.size[block.icar.component] > 1).astype(float))
            priors.append(sp.kron(block.icar.precision + jitter, np.linalg.inv(of_u)))
            constraint, start = sp.kron(block.icar.means, eye), sum(p.shape[0] for p in priors[:-1])
        else:
            member = sp.csr_array((np.ones(n), (np.arange(n), block.index)), shape=(n, len(block.labels)))
            columns.append(-sp.kron(member, eye))
            covariance = np.outer(sigma, sigma) * hyper.correlation[block.term.matrices[0]]
            priors.append(sp.kron(sp.eye_array(len(block.labels)), np.linalg.inv(covariance)))
    columns.append(-sp.kron(sp.csr_array(design.x), eye))
    priors.append(sp.kron(sp.diags_array(design.coefficient_priors[1] ** -2.0), eye))
    links = design.links
    columns.append(sp.csr_array((n * d, len(links))))
    priors.append(sp.diags_array(np.array([link.offset.sd**-2.0 for *_, link in links])))
    residual = sp.hstack(columns)
    precision = sp.block_diag(priors) + residual.T @ sp.kron(sp.eye_array(n), np.linalg.inv(k)) @ residual

    source, dimension = np.nonzero(design.linked)
    information = design.information(np.ones_like(hyper.slope), hyper.extra, hyper.factor)
    rest = precision.shape[0] - n * d  # of x after eta
    for s, w in enumerate(information):
        own = np.flatnonzero(source == s)
        alpha = sp.csr_array((np.ones(len(own)), (dimension[own], own)), shape=(d, len(links)))
        slopes = sp.kron(sp.eye_array(n), np.diag(hyper.slope[s]))
        between = sp.csr_array((n * d, rest - len(links)))
        reads = sp.hstack([slopes, between, sp.kron(np.ones((n, 1)), alpha)])
        precision = precision + reads.T @ _blocks(w) @ reads
    rows = constraint.shape[0]
    after = sp.csr_array((rows, precision.shape[0] - start - constraint.shape[1]))
    constraints = sp.hstack([sp.csr_array((rows, start)), constraint, after])
    return sp.csc_array(precision), sp.csr_array(constraints)


def _blocks(w: Floats) -> sp.bsr_array:
    """Block-diagonal matrix of n blocks (D, D)."""
    n, d, _ = w.shape
    return sp.bsr_array((w, np.arange(n), np.arange(n + 1)), shape=(n * d, n * d))
