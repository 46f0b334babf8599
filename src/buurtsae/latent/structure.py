r"""Structures: the precision of a unit Gaussian field over the nodes of one effect, up to what parameters say.

    z_d ~ N(0, Q_d^-),  Q_d = sum_k s_kd Q_k,  A z_d = 0,

with fixed sparse parts Q_k, strengths s_k that parameters determine (one part of strength 1 where they do not: the
identity, an ICAR, a random walk), and A the rows that span the null space of Q, none where Q is proper. With N an
orthonormal basis of the null space and E unit vectors that complement the range of Q, G = (Q + E E')^{-1} is a
generalised inverse, and

    Q^+ = M G M,  M = I - N N',    log |Q|_+ = log |Q + E E'| - 2 log |E'N|.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 3.
Sorbye, S. and Rue, H. (2014). Scaling intrinsic Gaussian Markov random field priors. Spatial Statistics 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from buurtsae.sparse import Floats, Ints, factor


@dataclass(frozen=True)
class Structure:
    """A unit Gaussian field over the nodes of one effect.

    Attributes
    ----------
    parts : tuple of sparse, shape (n, n) each
        Q_k.
    constraints : sparse, shape (k, n)
        A, rows that span the null space.
    """

    parts: tuple[sp.csr_array, ...]
    constraints: sp.csr_array

    @classmethod
    def proper(cls, *parts: sp.sparray) -> Structure:
        """Return a structure without null space."""
        return cls(tuple(sp.csr_array(q) for q in parts), sp.csr_array((0, parts[0].shape[0])))

    @classmethod
    def exchangeable(cls, n: int) -> Structure:
        """Return n independent nodes."""
        return cls.proper(sp.eye_array(n, format="csr"))

    @property
    def nodes(self) -> int:
        """Number of nodes, n."""
        return int(self.parts[0].shape[0])

    @property
    def fixed(self) -> bool:
        """Whether no parameter changes it."""
        return len(self.parts) == 1

    @property
    def independent(self) -> bool:
        """Whether its nodes are independent, with variance 1."""
        return self.fixed and (self.parts[0] != sp.eye_array(self.nodes)).nnz == 0

    @property
    def ground(self) -> Ints:
        """A node for each constraint, E: the first of its nodes that is not taken."""
        taken: list[int] = []
        for row in range(self.constraints.shape[0]):
            nodes = self.constraints.indices[self.constraints.indptr[row] : self.constraints.indptr[row + 1]]
            taken.append(int(next(node for node in nodes if node not in taken)))
        return np.array(taken, dtype=np.int64)

    def grounded(self) -> sp.csr_array:
        """Return Q + E E' of a fixed structure."""
        raised = np.zeros(self.nodes)
        raised[self.ground] = 1.0
        q = self.parts[0]
        return sp.csr_array(q - sp.diags_array(q.diagonal()) + sp.diags_array(q.diagonal() + raised))

    @property
    def rest(self) -> float:
        """Log |A A'| + log |Q|_+ - log |Q + E E'|: what conditioning on A z = 0 adds to the constant.

        With N = A'(A A')^{-1/2} it is 2 log |A A'| - 2 log |A E|: 0 where the rows of A are means of parts.
        """
        a = self.constraints
        if not a.shape[0] or np.allclose(a.sum(axis=1), 1.0):
            return 0.0
        return float(
            2 * (np.linalg.slogdet((a @ a.T).toarray())[1] - np.linalg.slogdet(a[:, self.ground].toarray())[1])
        )

    def marginal_variances(self) -> Floats:
        """Return the diagonal of Q^+ of a fixed structure, by selected inversion."""
        grounded = factor(self.grounded())
        if not self.constraints.shape[0]:
            return grounded.marginal_variances()
        n = np.linalg.qr(self.constraints.toarray().T)[0]
        through = grounded.solve(n)
        both = n @ (n.T @ through)
        return np.asarray(grounded.marginal_variances() - 2 * (n * through).sum(axis=1) + (n * both).sum(axis=1))

    def scaled(self) -> Structure:
        """Return a fixed structure with geometric mean 1 of the marginal variances."""
        scale = float(np.exp(np.log(self.marginal_variances()).mean()))
        return Structure((sp.csr_array(scale * self.parts[0]),), self.constraints)
