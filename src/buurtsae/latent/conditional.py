r"""The posterior given hyperparameters: a Gaussian Markov random field, exactly.

With e_a = m_a + C_v v_a, v_a ~ N(0, I) (see `field` for m_a), and the observations quadratic in e and the offsets
alpha of sources,

    -1/2 sum_a (e_a' W_a e_a + 2 e_a' H_a alpha - 2 e_a' b_a) - 1/2 alpha' A alpha + alpha' h + constant,

v is integrated out inside each area: with S_a = I + C_v' W_a C_v and N_a = I - W_a C_v S_a^{-1} C_v', the information
about m_a is M_a = N_a W_a. The field z then has the sparse precision P = Q (x) I + sum J_a' M_a J_a, and beta and alpha
form a dense border, with the coefficients C_g b_p of groups of covariates: with G the loadings, 1 where there is none,
and K what data say of it, the border has the precision I + G'K G. Conditioning on A z = 0 and eliminating the border
are low-rank corrections of P^{-1}; only blocks of P^{-1} on the pattern of P are ever formed. A P that the data leave
near singular, as with several intrinsic fields of whose constants they tell the sum, is raised by 1 at one node per
constraint, which an auxiliary vector in the border takes off again. By Fisher's identity, with s_a = N_a (b_a - H_a
alpha) - M_a m_a and expectations over the posterior,

    d log p(y) / d C_t = sum_a E[s_a z_t(a)'],      d log p(y) / d S_a = G_a / 2,  G_a = E[s_a s_a'] - M_a,
    d log p(y) / d C_g = sum_p E[(k - K G b)_p b_p'],    k and K of the border with all else eliminated,
    d log p(y) / d s_kd = (tr(Q_d^{-1} Q_k) - E[z_d' Q_k z_d]) / 2      for a structure Q_d = sum_k s_kd Q_k.

with S_a = C_v C_v'. Several unstructured parts are one, and their standard deviations may differ between areas:

    S_a = S0_a + sum_v D_av C_v C_v' D_av,      D_av = diag exp(sum_k t_avk g_vkd),

S0 known, t what standard deviations depend on (the logarithm of residents, say). Where sites see several areas S_a^{-1}
is the prior precision of nodes, one per area, and G_a = S_a^{-1} (E[v_a v_a'] - S_a) S_a^{-1}.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 2.3. Rue, H., Martino, S. and Chopin, N. (2009).
Approximate Bayesian inference for latent Gaussian models. JRSS B 71. Rao and Molina (2015), ch. 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from buurtsae.latent.field import Field
from buurtsae.sparse import Factor, Floats, Ints, lazy

GROUNDED_BELOW = 1e-6  # mean information on a constraint's null space, beside an ICAR precision of order 1


@dataclass(frozen=True)
class Loadings:
    """What hyperparameters do to the field.

    Attributes
    ----------
    terms : ndarray, shape (T, D, D)
        C_t.
    loose : ndarray, shape (V, D, D)
        C_v of each unstructured part.
    scaling : tuple of ndarray, shape (K_v, D) each
        g_v of each unstructured part.
    strengths : tuple of ndarray, shape (K, D) each
        s_k of structures that vary.
    groups : ndarray, shape (G, D, D)
        C_g of groups of covariates.
    """

    terms: Floats
    loose: Floats
    scaling: tuple[Floats, ...] = ()
    strengths: tuple[Floats, ...] = ()
    groups: Floats = field(default_factory=lambda: np.zeros((0, 1, 1)))

    @property
    def parts(self) -> tuple[Floats, ...]:
        """All of them, one after another."""
        return self.terms, self.loose, self.groups, *self.scaling, *self.strengths

    def like(self, parts: Sequence[Floats]) -> Loadings:
        """Return loadings of such parts."""
        terms, loose, groups, *rest = parts
        return Loadings(terms, loose, tuple(rest[: len(self.scaling)]), tuple(rest[len(self.scaling) :]), groups)


@dataclass(frozen=True)
class Local:
    """What observations say about e_a, less the prior mean of the predictor, and about the offsets of sources.

    Attributes
    ----------
    w : ndarray, shape (K, D, D)
    b : ndarray, shape (K, D)
    cross : ndarray, shape (K, D, L)
        H_a, with alpha in units of its prior standard deviation.
    own : ndarray, shape (K, L, L)
        A, per area.
    linear : ndarray, shape (K, L)
        h, per area.
    constant : float
        Log-likelihood at e = m0, alpha at its prior mean.
    """

    w: Floats
    b: Floats
    cross: Floats
    own: Floats
    linear: Floats
    constant: float


@dataclass(frozen=True)
class Conditional:
    """The posterior of the field given hyperparameters; see `condition`.

    Attributes
    ----------
    log_likelihood : float
        log p(y), everything but hyperparameters integrated out.
    """

    field: Field
    local: Local
    loadings: Loadings
    log_likelihood: float
    factor: Factor
    terms: Floats  # C_t, and the identity for unstructured effects that are nodes
    half: Floats  # L^{-1} P [A', B, r], columns of A' shared by parts
    root_a: Floats  # Cholesky root of A P^{-1} A'
    root_t: Floats  # of the precision of the border, in units of its loadings
    border: Floats  # posterior mean of the border, ground included
    load: Floats  # G
    known: tuple[Floats, Floats]  # K and k
    shrink: Floats  # N_a
    m: Floats  # M_a
    nh: Floats  # N_a H_a
    root_k: Floats  # of K_a = C_v S_a^{-1} C_v'
    roots: Floats  # C_v of each area

    @lazy
    def _counts(self) -> tuple[int, int, int]:
        """Columns of A', of beta and alpha, and of all of the border."""
        f = self.field
        free = (f.x.shape[1]) * f.width + self.local.cross.shape[2]
        return f.parts.width, free, len(self.root_t)

    @lazy
    def _corrections(self) -> tuple[Floats, Floats, Floats]:
        """U_A, U_B and T^{-1/2}: Cov(z, border) = diag(P^{-1} - U_A U_A', 0) + [-U_B; T^{-1/2}] [-U_B; T^{-1/2}]'."""
        k, parts = self._counts[0], self.field.parts
        full = self._full[:, :-1]
        inverse_a = _inverse_lower(self.root_a)
        u_a, u_b, tm = parts.corrected(full, inverse_a), full[:, k:], self.load @ _inverse_lower(self.root_t).T
        if k:
            u_b = u_b - parts.spread(u_a, inverse_a @ parts.against(self.half, self.half[:, k:-1]))
        return u_a, u_b @ tm, tm

    @lazy
    def _full(self) -> Floats:
        """P^{-1} [A', B, r]."""
        return self.factor.back(self.half)

    @lazy
    def _inverse(self) -> Floats:
        """Blocks of P^{-1} on the pattern of P."""
        return self.factor.selected_inverse()

    def _fields(self, noise: Floats, border: Floats) -> Floats:
        """Return z given the border (nb, n): its mean and noise ~ N(0, I) (nodes * D, n), with A z = 0."""
        k, parts = self._counts[0], self.field.parts
        x = np.asarray(self.half[:, k:] @ np.vstack([-border, np.ones((1, border.shape[1]))]))
        x += noise
        if k:
            of_a = parts.against(self.half, x)
            parts.subtract(self.half, np.linalg.solve(self.root_a.T, np.linalg.solve(self.root_a, of_a)), x)
        return self.factor.back(x)

    @lazy
    def mean_field(self) -> Floats:
        """Posterior mean of z, shape (nodes, D)."""
        f, (k, _, nb), parts = self.field, self._counts, self.field.parts
        if "_corrections" not in self.__dict__:
            return self._fields(np.zeros((f.nodes * f.width, 1)), self.border[:, None]).reshape(f.nodes, f.width)
        mean = self._full[:, -1:] - self._full[:, k : k + nb] @ self.border[:, None]  # there already
        if k:
            right = self.half[:, -1:] - self.half[:, k : k + nb] @ self.border[:, None]
            of_a = np.asarray(np.linalg.solve(self.root_a, parts.against(self.half, right)), dtype=float)
            mean -= parts.spread(self._corrections[0], of_a)
        return mean.reshape(f.nodes, f.width)

    def predictor(self, z: Floats, border: Floats) -> Floats:
        """Return m - m0, shape (K, D), of a field (nodes, D) and a border (nb,)."""
        f = self.field
        total = f.x @ border[: f.x.shape[1] * f.width].reshape(-1, f.width)
        for c, sees in zip(self.terms, f.sees, strict=True):
            total = total + (sees @ z) @ c.T
        return np.asarray(total)

    @property
    def alpha(self) -> Floats:
        """Posterior mean of the offsets of sources, less the prior mean, in units of its standard deviation, (L,)."""
        start = self.field.x.shape[1] * self.field.width
        return self.border[start : start + self.local.cross.shape[2]]

    def coefficients(self, columns: Ints) -> tuple[Floats, Floats]:
        """Return means (P, D) of coefficients of columns of x, and a root (P, D, nb) of their covariance."""
        rows = (columns[:, None] * self.field.width + np.arange(self.field.width)).ravel()
        mean, root = self.border[rows], self._corrections[2][rows]
        return mean.reshape(len(columns), -1), root.reshape(len(columns), self.field.width, -1)

    def _given(self, z: Floats, border: Floats, noise: Floats) -> Floats:
        """Scores e, (n, K, D), of fields (nodes, D, n), borders (nb, n) and noise ~ N(0, I) (K, D, n)."""
        from buurtsae.latent.loops import scores

        f, local = self.field, self.local
        args = (f.x, f.offset, f.seen, local.w, local.b, local.cross, self.root_k)
        return np.asarray(scores(z, border, noise, self.terms, *args))

    @lazy
    def mean(self) -> Floats:
        """Posterior mean of e, shape (K, D)."""
        noise = np.zeros((*self.local.b.shape, 1))
        return np.asarray(self._given(self.mean_field[:, :, None], self.border[:, None], noise)[0])

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        """Return the mean, then n draws, of e, (1 + n, K, D), and of the border in units of prior sds, (1 + n, nb)."""
        f, d = self.field, self.field.width
        sizes = (len(self.root_t), f.nodes * d, self.local.b.size if self.root_k.any() else 0)
        border, z, noise = (_noise(rng, size, n) for size in sizes)
        border = self.border[:, None] + self.load @ np.linalg.solve(self.root_t.T, border)
        z = self._fields(z, border).reshape(f.nodes, d, n + 1)
        noise = noise.reshape(-1, d, n + 1) if noise.size else np.zeros((*self.local.b.shape, n + 1))
        return self._given(z, border, noise), border.T

    @lazy
    def moments(self) -> Moments:
        """Posterior moments of what each area sees."""
        from buurtsae.latent.loops import covariances

        f, d = self.field, self.field.width
        (_, free, nb), p = self._counts, f.x.shape[1]
        u_a, u_b, tm = self._corrections
        of_x, alpha = np.ascontiguousarray(tm[: p * d].reshape(p, d, nb).swapaxes(1, 2)), tm[p * d : free]
        at_nodes = [np.ascontiguousarray(u).reshape(f.nodes, d, u.shape[1]) for u in (u_a, u_b)]
        is_diagonal = np.zeros(len(self._inverse), dtype=bool)
        is_diagonal[f.diagonal] = True
        m_m, m_z, m_alpha, z_alpha = covariances(
            (0,) * d, self.terms, f.x, of_x, np.ascontiguousarray(alpha.T), self._inverse,
            *at_nodes, is_diagonal, f.seen, f.pairs
        )  # fmt: skip
        return Moments(
            m=self.predictor(self.mean_field, self.border),
            z=tuple(sees @ self.mean_field for sees in f.sees),
            alpha=self.alpha,
            m_m=m_m,
            m_z=m_z,
            m_alpha=m_alpha,
            z_alpha=z_alpha,
            alpha_alpha=alpha @ alpha.T,
        )

    @lazy
    def gradient(self) -> Loadings:
        """Derivatives of the log-likelihood with respect to the loadings."""
        q, local = self.moments, self.local
        s = np.einsum("nde,ne->nd", self.shrink, local.b - local.cross @ q.alpha)
        s -= np.einsum("nde,ne->nd", self.m, q.m)
        terms = np.zeros_like(self.loadings.terms)
        for t in range(len(terms)):
            terms[t] = s.T @ q.z[t] - np.einsum("nde,nef->df", self.m, q.m_z[t])
            terms[t] -= np.einsum("ndl,nel->de", self.nh, q.z_alpha[t])
        free = self.field.free
        by_loose = self._by_loose(s) if free is None else self._by_prior(free)
        loose, scaling = self.field.loose.gradient(by_loose, self.loadings.loose, self.loadings.scaling)
        return Loadings(terms, loose, scaling, self._by_strengths(), self._by_groups())

    def _by_loose(self, s: Floats) -> Floats:
        """G_a of unstructured effects that are integrated out, (K, D, D), from the means of s."""
        q = self.moments  # Cov(s) = [N H, M] Cov(alpha, m) [N H, M]'
        mixed = self.nh @ q.m_alpha.swapaxes(1, 2) @ self.m
        second = s[:, :, None] * s[:, None, :] + self.m @ q.m_m @ self.m + mixed + mixed.swapaxes(1, 2) - self.m
        return np.asarray(second + self.nh @ q.alpha_alpha @ self.nh.swapaxes(1, 2))

    def _by_prior(self, nodes: slice) -> Floats:
        """G_a of unstructured effects that are nodes, (N, D, D)."""
        field, d = self.field, self.field.width
        u_a, u_b = (u.reshape(field.nodes, d, u.shape[1])[nodes] for u in self._corrections[:2])
        mean, inverse = self.mean_field[nodes], self._inverse[field.diagonal[nodes]]
        expected = inverse - u_a @ u_a.swapaxes(1, 2) + u_b @ u_b.swapaxes(1, 2) + mean[:, :, None] * mean[:, None, :]
        precision = np.linalg.inv(self.roots @ self.roots.swapaxes(1, 2))
        return np.asarray(precision @ expected @ precision - precision)

    def _by_groups(self) -> Floats:
        """Derivatives of the log-likelihood with respect to the loadings of groups of covariates."""
        derivatives, d = np.zeros_like(self.loadings.groups), self.field.width
        (information, linear), inverse = self.known, _inverse_lower(self.root_t)
        unit = inverse.T @ (inverse @ (self.load.T @ linear))
        for g, group in enumerate(self.field.groups):
            at = slice(group.start * d, group.stop * d)
            rest = information[at] @ self.load
            score = np.outer(linear[at] - information[at] @ self.border, unit[at]) - rest @ inverse.T @ inverse[:, at]
            derivatives[g] = np.einsum("pdpe->de", score.reshape(-1, d, score.shape[1] // d, d))
        return derivatives

    def _by_strengths(self) -> tuple[Floats, ...]:
        """Derivatives of the log-likelihood with respect to the strengths of structures that vary."""
        field, d, derivatives = self.field, self.field.width, list[Floats]()
        if not field.varying:
            return ()
        blocks = np.einsum("edd->ed", self._inverse)
        u_a, u_b = (u.reshape(field.nodes, d, u.shape[1]) for u in self._corrections[:2])
        for effect, strengths in zip(field.varying, self.loadings.strengths, strict=True):
            twice = np.full(len(effect.entries), 2.0)
            twice[-effect.symbolic.n :] = 1.0
            expected = effect.values @ (twice[:, None] * blocks[effect.entries])
            for k, part in enumerate(effect.parts):
                for sign, columns in ((1.0, self.mean_field[..., None]), (-1.0, u_a), (1.0, u_b)):
                    c = columns[effect.nodes]
                    turned = (part @ c.reshape(len(c), d * c.shape[2])).reshape(c.shape)
                    expected[k] += sign * np.einsum("ndc,ndc->d", c, turned)
            derivatives.append(0.5 * (effect.traces(strengths) - expected))
        return tuple(derivatives)

    @lazy
    def scores(self) -> Scores:
        """Posterior moments of e and of the offsets."""
        q, kt = self.moments, self.root_k @ self.root_k.swapaxes(1, 2)
        through = np.swapaxes(self.shrink, 1, 2)  # e = N' m - K H alpha + K b + noise of covariance K
        of_alpha = -kt @ self.local.cross
        e_alpha = through @ q.m_alpha + of_alpha @ q.alpha_alpha
        mixed = through @ q.m_alpha @ of_alpha.swapaxes(1, 2)
        covariance = through @ q.m_m @ self.shrink + mixed + mixed.swapaxes(1, 2)
        covariance = covariance + of_alpha @ q.alpha_alpha @ of_alpha.swapaxes(1, 2) + kt
        return Scores(self.mean - self.field.offset, covariance, e_alpha, q.alpha, q.alpha_alpha)

    @property
    def sd(self) -> Floats:
        """Posterior standard deviations of e, shape (K, D)."""
        return np.sqrt(np.einsum("ndd->nd", self.scores.covariance))


@dataclass(frozen=True)
class Moments:
    """Posterior means, and covariances x_y, of m, zeta_t and alpha; terms first, then sites."""

    m: Floats
    z: tuple[Floats, ...]
    alpha: Floats
    m_m: Floats
    m_z: Floats
    m_alpha: Floats
    z_alpha: Floats
    alpha_alpha: Floats


@dataclass(frozen=True)
class Scores:
    """Posterior moments of e - m0 (K, D), and of alpha in units of prior standard deviations."""

    mean: Floats
    covariance: Floats
    with_alpha: Floats
    alpha: Floats
    alpha_covariance: Floats


def condition(field: Field, local: Local, loadings: Loadings) -> Conditional:
    """Return the posterior of a field given hyperparameters.

    Raises
    ------
    NotPositiveDefiniteError
        If the precision has a pivot that is not positive.
    """
    from buurtsae.latent.loops import add_information
    from buurtsae.multifrontal import invert_each

    (n, d), p, n_alpha = local.b.shape, field.x.shape[1], local.cross.shape[2]
    free, k = p * d + n_alpha, field.summed.shape[2]
    blocks, log_structure = field.prior(loadings.strengths)
    roots = field.loose.roots(loadings.loose, loadings.scaling, field.areas)
    terms, inside_sites = np.ascontiguousarray(loadings.terms), roots
    if field.free is not None:
        precision, logdet = invert_each(roots @ roots.swapaxes(1, 2))
        blocks[field.diagonal[field.free]] += precision
        log_structure -= logdet
        terms = np.concatenate([terms, np.eye(d)[None]])
        inside_sites = np.zeros((n, d, d))
    before, columns = blocks[field.diagonal], np.zeros((field.nodes, d, k + free + 1))
    columns[..., :k] = field.summed
    shrink, m, nh, nb, root_k, kb, kh, log_inner = add_information(
        (0,) * d, local.w, local.b, local.cross, terms, inside_sites, field.x, field.seen, field.pairs,
        field.symbolic.position, k, columns, blocks
    )  # fmt: skip
    inside = float((local.b * kb).sum())
    # the border: x' M x, x' N H and A - H' K H; x' N b and h - H' K b
    of_x = _weighed(field.x, m)
    both = (field.x.T @ nh.reshape(n, d * n_alpha)).reshape(p * d, n_alpha)
    flat = local.cross.reshape(n * d, n_alpha)
    of_alpha = local.own.sum(axis=0) - flat.T @ kh.reshape(n * d, n_alpha)
    ground = field.ground if _nearly_singular(field, blocks[field.diagonal] - before) else field.shared
    n_border = free + len(ground) * d
    information = np.zeros((n_border, n_border))
    information[:free, :free] = np.block([[of_x, both], [both.T, of_alpha]])
    linear = np.zeros(n_border)
    linear[: p * d] = (field.x.T @ nb).ravel()
    linear[p * d : free] = local.linear.sum(axis=0) - flat.T @ kb.ravel()
    if len(ground):
        blocks[field.diagonal[ground]] += np.eye(d)
        raised = np.zeros((field.nodes, d, len(ground) * d))
        raised[field.symbolic.position[ground][:, None], np.arange(d), np.arange(len(ground) * d).reshape(-1, d)] = 1.0
        columns = np.concatenate([columns[..., :-1], raised, columns[..., -1:]], axis=2)

    factor = field.symbolic.factor(blocks)
    half = factor.halve(columns.reshape(field.nodes * d, k + n_border + 1))
    gram, of_a = field.parts.gram(half), field.parts.rows
    root_a = np.asarray(np.linalg.cholesky(gram[:of_a, :of_a]), dtype=float)
    into = np.linalg.solve(root_a, gram[:of_a, of_a:])
    reduced = gram[of_a:, of_a:] - into.T @ into
    information, linear = information - reduced[:n_border, :n_border], linear - reduced[:n_border, n_border]
    load = field.load(loadings.groups, n_border)
    root_t = np.asarray(np.linalg.cholesky(np.eye(n_border) + load.T @ information @ load), dtype=float)
    target = np.linalg.solve(root_t, load.T @ linear)
    logdet = factor.logdet + 2 * np.log(np.diag(root_a)).sum() + 2 * np.log(np.diag(root_t)).sum()
    quadratic = reduced[n_border, n_border] + target @ target + inside
    log_likelihood = local.constant + 0.5 * (quadratic - logdet - log_inner + log_structure)
    border = load @ np.linalg.solve(root_t.T, target)
    through = (factor, terms, half, root_a, root_t, border, load, (information, linear), shrink, m, nh, root_k, roots)
    return Conditional(field, local, loadings, float(log_likelihood), *through)


def _weighed(x: Floats, m: Floats) -> Floats:
    """sum_a x_a x_a' (x) M_a, shape (P D, P D)."""
    (n, p), d = x.shape, m.shape[1]
    flat, whole = m.reshape(n, d * d), np.empty((p, p, d, d))
    for q in range(p):  # M is symmetric
        whole[q, : q + 1] = ((x[:, : q + 1] * x[:, q : q + 1]).T @ flat).reshape(q + 1, d, d)
        whole[: q + 1, q] = whole[q, : q + 1]
    return whole.swapaxes(1, 2).reshape(p * d, p * d)


def _nearly_singular(field: Field, information: Floats) -> bool:
    """Whether some constrained part is hardly informed, (nodes, D, D), so that P is nearly singular there."""
    if not len(field.ground):
        return False
    d = field.width
    mean = (np.abs(field.means) @ information.reshape(field.nodes, d * d)).reshape(-1, d, d)
    return bool(np.linalg.eigvalsh(mean).min() < GROUNDED_BELOW)


def _noise(rng: np.random.Generator, size: int, n: int) -> Floats:
    """A column of zeros, for the mean, then n of standard normal numbers."""
    noise = np.zeros((size, 1 + n))
    noise[:, 1:] = rng.standard_normal((size, n))
    return noise


def _inverse_lower(root: Floats) -> Floats:
    return np.asarray(np.linalg.solve(root, np.eye(len(root))))
