"""What each attribution means on functions whose answer is known by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.interpretation import attribution


def _mlp(seed=0, dtype=np.float32):
  rng = np.random.default_rng(seed)
  w1, w2 = (rng.normal(size=shape).astype(dtype) for shape in ((6, 32), (32, 4)))
  x = rng.normal(size=(5, 6)).astype(dtype)
  return (lambda x: jnp.tanh(x @ w1) @ w2), jnp.asarray(x)


def test_integrated_gradients_and_gradient_x_input_of_a_linear_score_are_x_times_w():
  x, w = jnp.arange(12.0).reshape(3, 4) - 5, jnp.array([1.0, -2.0, 0.0, 0.5])
  score = lambda x: x @ w
  np.testing.assert_array_equal(attribution.gradient(score, x), jnp.broadcast_to(w, x.shape))
  np.testing.assert_array_equal(attribution.gradient_x_input(score, x), x * w)
  for num_steps in (1, 2, 4):
    np.testing.assert_array_equal(attribution.integrated_gradients(score, x, 0.0, num_steps), x * w)
  np.testing.assert_array_equal(attribution.integrated_gradients(lambda x: score(x) + 3, x, 1.0, 4), (x - 1) * w)


def test_the_midpoint_rule_is_exact_on_quadratics_and_of_second_order_beyond():
  x = jnp.array([[0.5, -1.0, 2.0]])
  np.testing.assert_allclose(
      attribution.integrated_gradients(lambda x: (x**2).sum(-1), x, 0.0, 1), x**2, rtol=1e-6)
  cube = lambda x: (x**3).sum(-1)
  gaps = [float(attribution.completeness_gap(cube, x, 0.0, attribution.integrated_gradients(cube, x, 0.0, m))[0])
          for m in (1, 2, 4)]
  np.testing.assert_allclose(gaps, [1 / 4, 1 / 16, 1 / 64], rtol=1e-4)  # ∫3α²dα by midpoints is 1 − 1/(4m²)


def test_attributions_sum_to_the_change_of_the_score():
  logits, x = _mlp()
  score = attribution.class_score(logits, np.array([0, 1, 2, 3, 0]))
  baseline = jnp.linspace(-1, 1, 6)
  gaps = [attribution.completeness_gap(score, x, baseline, attribution.integrated_gradients(score, x, baseline, m))
          for m in (1, 1000)]
  assert gaps[0].min() > 1e-2 and gaps[1].max() < 1e-4


def test_an_input_equal_to_its_baseline_gets_exactly_zero():
  logits, x = _mlp()
  x = x.at[:, 2].set(0)
  maps = attribution.integrated_gradients(lambda x: logits(x)[:, 0], x, 0.0, 7)
  assert not maps[:, 2].any() and maps[:, [0, 1, 3, 4, 5]].all()


@pytest.mark.parametrize("fit, taken", [(0.1, 1), (3.5, 3), (7, 5)])  # 7 fit: two calls of 5
def test_the_memory_budget_decides_the_chunks_and_not_the_result(fit, taken):
  logits, x = _mlp()
  labels, sizes, key = np.array([0, 1, 2, 3, 0]), [], jax.random.key(1)

  def seen(x):
    sizes.append(len(x) // 5)
    return logits(x)

  score = attribution.class_score(logits, labels)
  budget = int(fit * attribution._bytes_per_copy(score, x))
  for method in (lambda score, **kw: attribution.integrated_gradients(score, x, 0.0, 10, **kw),
                 lambda score, **kw: attribution.smoothgrad(score, x, key, num_samples=10, **kw)):
    chunked = method(attribution.class_score(seen, labels), memory_budget=budget)
    assert sizes[-1] == taken
    np.testing.assert_allclose(chunked, method(score), rtol=1e-5, atol=1e-6)


def test_memory_of_a_copy_is_that_of_its_examples_and_not_of_the_parameters():
  w = jnp.ones((8, 400))
  score = lambda x: jnp.tanh(jnp.tanh(x @ w) @ w.T).sum(-1)
  of = {n: attribution._bytes_per_copy(score, jnp.ones((n, 8))) for n in (1, 2, 6)}
  np.testing.assert_allclose([of[2], of[6]], [2 * of[1], 6 * of[1]], rtol=0.1)
  assert 400 * 4 < of[1] < w.nbytes


def test_smoothgrad_is_the_gradient_of_a_linear_score_and_of_the_smoothed_one_otherwise():
  x = jnp.array([[1.0, -3.0], [0.5, 2.0]])
  linear = lambda x: x @ jnp.array([2.0, -1.0])
  np.testing.assert_allclose(attribution.smoothgrad(linear, x, jax.random.key(0)), [[2, -1]] * 2, rtol=1e-6)
  # E(x+n)³' = 3(x² + σ²), σ = noise · (max − min)
  smooth = attribution.smoothgrad(lambda x: (x**3).sum(-1), x, jax.random.key(0), noise=0.5, num_samples=20_000)
  sigma = 0.5 * (x.max(-1, keepdims=True) - x.min(-1, keepdims=True))
  np.testing.assert_allclose(smooth, 3 * (x**2 + sigma**2), rtol=0.05)


def test_guided_backpropagation_by_hand():
  """h = relu(x·[[1, -1], [1, 1]]), s = 2h₁ − h₂ at x = (1, 3): h = (4, 2); the −1 coming back to h₂ is stopped."""
  w, v, x = jnp.array([[1.0, -1.0], [1.0, 1.0]]), jnp.array([2.0, -1.0]), jnp.array([[1.0, 3.0], [-3.0, 1.0]])
  score = lambda x: jax.nn.relu(x @ w) @ v
  np.testing.assert_array_equal(attribution.gradient(score, x), [[3, 1], [1, -1]])
  # The second input has h = (0, 4): h₁ is off and what comes back to h₂ is negative, so nothing is left.
  np.testing.assert_array_equal(attribution.guided_backpropagation(score, x), [[2, 2], [0, 0]])
  np.testing.assert_array_equal(jax.jit(lambda x: attribution.guided_backpropagation(score, x))(x), [[2, 2], [0, 0]])


def test_guided_backpropagation_is_the_gradient_where_all_paths_are_positive():
  rng = np.random.default_rng(0)
  w1, w2 = rng.normal(size=(4, 8)), np.abs(rng.normal(size=(8, 3)))
  score = lambda x: jax.nn.relu(x @ w1).dot(w2).sum(-1)
  x = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32)
  np.testing.assert_allclose(
      attribution.guided_backpropagation(score, x), attribution.gradient(score, x), rtol=1e-6)


def test_guided_backpropagation_refuses_a_score_without_relu():
  with pytest.raises(ValueError, match="no relu"):
    attribution.guided_backpropagation(lambda x: jax.nn.gelu(x).sum(-1), jnp.ones((2, 3)))


@pytest.mark.parametrize("method", [
    attribution.gradient, attribution.gradient_x_input, attribution.guided_backpropagation,
    lambda score, x: attribution.integrated_gradients(score, x, 0.0),
    lambda score, x: attribution.smoothgrad(score, x, jax.random.key(0))])
def test_maps_have_the_type_of_the_input_and_integers_are_refused(method):
  score = lambda x: jax.nn.relu(x).sum(-1)
  for dtype in (jnp.float32, jnp.bfloat16):
    assert method(score, jnp.ones((2, 3), dtype)).dtype == dtype
  with pytest.raises(ValueError, match="int32"):
    method(score, jnp.ones((2, 3), jnp.int32))


def test_a_score_that_is_not_one_number_an_example_is_found():
  with pytest.raises(AssertionError, match="one number for each example"):
    attribution.gradient(lambda x: x, jnp.ones((2, 3)))
