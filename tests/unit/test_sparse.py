"""The sparse factor against dense linear algebra of numpy, on matrices from a fixed seed.

Tolerances: entries are of order 1 and condition numbers below 1e4, so that double precision leaves 1e-10 with room.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp

from buurtsae.errors import ModelError
from buurtsae.sparse import factor, lazy


def random_spd(n: int, density: float, seed: int) -> sp.csc_array:
    a = sp.random_array((n, n), density=density, rng=np.random.default_rng(seed))
    return sp.csc_array(a @ a.T + sp.eye_array(n))


@pytest.mark.parametrize(
    ("n", "density", "seed"), [(1, 1.0, 0), (5, 0.5, 1), (40, 0.1, 2), (200, 0.01, 3), (60, 1.0, 4)]
)
def test_factor_agrees_with_dense(n: int, density: float, seed: int) -> None:
    q = random_spd(n, density, seed)
    dense, f = q.toarray(), factor(q)
    b = np.random.default_rng(seed).normal(size=(n, 3))
    np.testing.assert_allclose(f.solve(b), np.linalg.solve(dense, b), atol=1e-10)
    np.testing.assert_allclose(f.solve(b[:, 0]), np.linalg.solve(dense, b[:, 0]), atol=1e-10)
    np.testing.assert_allclose(f.logdet, np.linalg.slogdet(dense)[1], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(f.marginal_variances(), np.diag(np.linalg.inv(dense)), rtol=1e-10)


def test_a_chain_has_the_variances_of_its_random_walk() -> None:
    # precision of a random walk with unit steps from 0: Var(x_t) = t
    n = 50
    q = sp.diags_array([np.r_[np.full(n - 1, 2.0), 1.0], -np.ones(n - 1), -np.ones(n - 1)], offsets=[0, 1, -1])
    np.testing.assert_allclose(factor(q).marginal_variances(), np.arange(1, n + 1), rtol=1e-10)
    assert factor(q).logdet == pytest.approx(0.0, abs=1e-10)


def test_entries_of_the_factor_that_cancel_do_not_matter() -> None:
    # an entry of L is exactly zero here though its neighbours in the elimination are not: SuperLU leaves it out, and
    # a recursion on the pattern that is left is wrong by 0.02 (the smallest such matrix of small integers by search)
    q = np.array([[4.0, -1, -1, -2], [-1, 3, -1, 1], [-1, -1, 4, 2], [-2, 1, 2, 4]])
    np.testing.assert_allclose(factor(sp.csc_array(q)).marginal_variances(), np.diag(np.linalg.inv(q)), rtol=1e-10)


@pytest.mark.parametrize(
    "q",
    [
        pytest.param(np.array([[1.0, -1.0], [-1.0, 1.0]]), id="singular"),
        pytest.param(np.array([[1.0, 2.0], [2.0, 1.0]]), id="indefinite"),
        pytest.param(np.array([[0.0, 1.0], [1.0, 0.0]]), id="zero diagonal"),
        pytest.param(-np.eye(3), id="negative"),
        pytest.param(np.array([[1.0, 0.0], [0.0, np.nan]]), id="not a number"),
    ],
)
def test_not_positive_definite_is_refused(q: np.ndarray) -> None:
    with pytest.raises(ModelError, match="not positive definite"):
        factor(sp.csc_array(q))


class Counted:
    def __init__(self) -> None:
        self.calls = 0

    @lazy
    def value(self) -> int:
        """How often it was computed."""
        self.calls += 1
        return self.calls


def test_a_lazy_property_is_computed_once_per_instance() -> None:
    one, other = Counted(), Counted()
    assert [one.value, one.value, other.value] == [1, 1, 1]
    assert one.calls == 1
    assert isinstance(Counted.value, lazy)
    assert Counted.value.__doc__ == "How often it was computed."


def test_lazy_properties_of_two_instances_do_not_wait_for_each_other() -> None:
    """Both are inside their own property at the same time: with a common lock the barrier would break."""
    inside = threading.Barrier(2)

    class Meeting:
        @lazy
        def value(self) -> int:
            return inside.wait(timeout=20)

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda each: each.value, [Meeting(), Meeting()])) == {0, 1}
