import jax.numpy as jnp
import numpy as np
import pytest

from research.interpretation.randomization import cascade, spearman

_PARAMS = {"convs": {0: {"kernel": 1}, 1: {"kernel": 2, "bias": 3}}, "logits": {"kernel": 4}}
_FRESH = {"convs": {0: {"kernel": -1}, 1: {"kernel": -2, "bias": -3}}, "logits": {"kernel": -4}}


def test_layers_are_replaced_from_the_top_and_stay_replaced():
  steps = dict(cascade(_PARAMS, _FRESH, ("logits", "convs/1", "convs/0")))
  assert list(steps) == ["logits", "convs/1", "convs/0"]
  assert steps["logits"] == {**_PARAMS, "logits": {"kernel": -4}}
  assert steps["convs/1"] == {**_FRESH, "convs": {0: {"kernel": 1}, 1: {"kernel": -2, "bias": -3}}}
  assert steps["convs/0"] == _FRESH
  assert _PARAMS["logits"]["kernel"] == 4


@pytest.mark.parametrize("layers, named", [
    (("logits", "convs/1"), "convs/0/kernel"), (("logits", "convs", "dense"), "dense"), (("log", "convs"), "log")])
def test_a_forgotten_or_misspelt_layer_is_an_error(layers, named):
  with pytest.raises(ValueError, match=named):
    list(cascade(_PARAMS, _FRESH, layers))


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_is_scipys(ties):
  from scipy import stats
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 6, 8, 8)).astype(np.float32)
  b += 0.5 * a
  if ties:  # black pixels: many exact zeros
    a, b = (np.maximum(np.round(m, 1), 0) for m in (a, b))
  expected = [stats.spearmanr(p.ravel(), q.ravel()).statistic for p, q in zip(a, b)]
  np.testing.assert_allclose(spearman(jnp.asarray(a), jnp.asarray(b)), expected, atol=1e-6)


def test_spearman_sees_order_only():
  a = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 30)))
  np.testing.assert_allclose(spearman(a, jnp.exp(5 * a)), 1, atol=1e-6)
  np.testing.assert_allclose(spearman(a, -a**3), -1, atol=1e-6)
  assert jnp.isnan(spearman(a, jnp.ones_like(a))).all()
