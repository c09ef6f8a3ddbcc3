"""Each optimizer against its paper's update, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError
from research.optimizers.adafactor import Adafactor
from research.optimizers.adam import Adam
from research.optimizers.adamw import AdamW
from research.optimizers.amsgrad import AMSGrad
from research.optimizers.descent import GradientDescent
from research.optimizers.lamb import Lamb
from research.optimizers.lion import Lion
from research.optimizers.muon import Muon
from research.optimizers.sam import SAM
from research.optimizers.schedule import Length, Linear

LENGTH = Length(total_steps=20, batch_size=1, steps_per_epoch=20)
STEPS = 7


@pytest.fixture(autouse=True)
def _double():
  with jax.enable_x64(True):
    yield


def _problem():
  """A badly scaled quadratic of two parameters: ½ Σ a (w − c)², with gradients that also change sign over time."""
  rng = np.random.default_rng(0)
  draw = lambda: {"kernel": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}
  scale = {"kernel": np.exp(rng.normal(size=(3, 4))), "bias": np.exp(rng.normal(size=4))}
  return draw(), scale, draw()


START, SCALE, CENTRE = _problem()


def gradient(params):
  return {name: SCALE[name] * (params[name] - CENTRE[name]) for name in params}


def ours(optimizer, length=LENGTH, steps=STEPS):
  params = jax.tree.map(jnp.asarray, START)
  transformation = optimizer.build(params, length)

  def step(_, carry):
    params, state = carry
    updates, state = transformation.update(gradient(params), state, params, value=0.0, grad_fn=gradient)
    return jax.tree.map(jnp.add, params, updates), state

  run = jax.jit(lambda params: jax.lax.fori_loop(0, steps, step, (params, transformation.init(params)))[0])
  return run(params)


def reference(update, steps=STEPS):
  """update(t, w, g, memory) -> w for each parameter by itself, t from 1."""
  params, memory = dict(START), {name: {} for name in START}
  for t in range(1, steps + 1):
    grads = gradient(params)
    params = {name: update(t, params[name], grads[name], memory[name]) for name in params}
  return params


def assert_equal(optimizer, update):
  got, want = ours(optimizer), reference(update)
  for name in want:
    assert got[name].dtype == jnp.float64
    np.testing.assert_allclose(got[name], want[name], rtol=1e-12)


def moments(memory, g, b1, b2):
  memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
  memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g**2
  return memory["m"], memory["v"]


def test_gradient_descent():
  assert_equal(GradientDescent(learning_rate=0.1), lambda t, w, g, memory: w - 0.1 * g)


def test_momentum():
  def update(t, w, g, memory):
    memory["m"] = 0.9 * memory.get("m", 0) + g
    return w - 0.1 * memory["m"]

  assert_equal(GradientDescent(learning_rate=0.1, momentum=0.9), update)


def test_nesterov_looks_ahead():
  """Nesterov's own form: the gradient is taken at y = w + momentum·velocity; Sutskever's rewriting keeps y."""
  optimizer = GradientDescent(learning_rate=0.05, momentum=0.9, nesterov=True)
  ahead, velocity = dict(START), dict.fromkeys(START, 0.0)
  weights = dict(START)
  for _ in range(STEPS):
    grads = gradient(ahead)
    velocity = {name: 0.9 * velocity[name] - 0.05 * grads[name] for name in weights}
    weights = {name: weights[name] + velocity[name] for name in weights}
    ahead = {name: weights[name] + 0.9 * velocity[name] for name in weights}
  got = ours(optimizer)
  for name in ahead:
    np.testing.assert_allclose(got[name], ahead[name], rtol=1e-12)


def test_adam():
  def update(t, w, g, memory):
    m, v = moments(memory, g, 0.8, 0.95)
    return w - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)

  assert_equal(Adam(learning_rate=0.1, b1=0.8, b2=0.95, eps=1e-3), update)


def test_amsgrad():
  def update(t, w, g, memory):
    m, v = moments(memory, g, 0.8, 0.5)
    memory["max"] = np.maximum(memory.get("max", 0), v / (1 - 0.5**t))
    return w - 0.5 * (m / (1 - 0.8**t)) / (np.sqrt(memory["max"]) + 1e-8)

  assert_equal(AMSGrad(learning_rate=0.5, b1=0.8, b2=0.5), update)
  assert not np.allclose(ours(AMSGrad(learning_rate=0.5, b1=0.8, b2=0.5))["bias"],
                         ours(Adam(learning_rate=0.5, b1=0.8, b2=0.5))["bias"])


def test_adamw_decays_apart_from_the_gradient():
  def update(t, w, g, memory):
    m, v = moments(memory, g, 0.9, 0.999)
    return w - 0.1 * ((m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + 0.3 * w)

  assert_equal(AdamW(learning_rate=0.1, weight_decay=0.3), update)


def test_adam_with_l2_is_not_adamw():
  def update(t, w, g, memory):
    m, v = moments(memory, g + 0.3 * w, 0.9, 0.999)
    return w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

  assert_equal(Adam(learning_rate=0.1, l2=0.3), update)


def test_lamb():
  def update(t, w, g, memory):
    m, v = moments(memory, g, 0.9, 0.999)
    direction = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6) + 0.3 * w
    return w - 0.1 * np.linalg.norm(w) / np.linalg.norm(direction) * direction

  assert_equal(Lamb(learning_rate=0.1, weight_decay=0.3), update)


def test_lion():
  def update(t, w, g, memory):
    m = memory.get("m", np.zeros_like(w))
    memory["m"] = 0.99 * m + 0.01 * g
    return w - 0.1 * (np.sign(0.9 * m + 0.1 * g) + 0.3 * w)

  assert_equal(Lion(learning_rate=0.1, weight_decay=0.3), update)


def test_adafactor():
  def update(t, w, g, memory):
    decay = float(np.float32(1) - np.float32(t) ** np.float32(-0.8))  # Optax's is in float32 whatever the parameters'
    squares = g**2 + 1e-30
    if w.ndim == 2:
      memory["row"] = decay * memory.get("row", 0) + (1 - decay) * squares.mean(1)
      memory["col"] = decay * memory.get("col", 0) + (1 - decay) * squares.mean(0)
      v = np.outer(memory["row"], memory["col"]) / memory["row"].mean()
    else:
      v = memory["v"] = decay * memory.get("v", 0) + (1 - decay) * squares
    u = g / np.sqrt(v)
    u = u / max(1, np.sqrt(np.mean(u**2)))
    return w - 0.1 * max(1e-3, np.sqrt(np.mean(w**2))) * u

  assert_equal(Adafactor(learning_rate=0.1, min_factored=2), update)


def test_sam_takes_the_gradient_uphill():
  params = dict(START)
  for _ in range(STEPS):
    grads = gradient(params)
    norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
    uphill = gradient({name: params[name] + 0.5 * grads[name] / norm for name in params})
    params = {name: params[name] - 0.1 * uphill[name] for name in params}
  got = ours(SAM(base=GradientDescent(learning_rate=0.1), radius=0.5))
  for name in params:
    np.testing.assert_allclose(got[name], params[name], rtol=1e-12)


def test_muon_steps_are_nearly_orthogonal_and_the_rest_is_adams():
  optimizer = Muon(learning_rate=1.0)
  params = jax.tree.map(jnp.asarray, {"kernel": START["kernel"], "bias": START["bias"], "head": START})
  transformation = optimizer.build(params, LENGTH)
  updates = jax.jit(lambda g: transformation.update(g, transformation.init(g), g)[0])(params)
  singular = np.linalg.svd(updates["kernel"], compute_uv=False) / np.sqrt(4 / 3)
  assert np.all((singular > 0.6) & (singular < 1.3))  # Jordan's polynomial converges to about [0.7, 1.2]
  np.testing.assert_allclose(updates["head"]["kernel"], -np.sign(START["kernel"]), rtol=1e-6)
  np.testing.assert_allclose(updates["bias"], -np.sign(START["bias"]), rtol=1e-6)


def test_muon_sees_stacked_layers_one_by_one():
  kernel, other = jnp.asarray(START["kernel"]), jnp.asarray(START["kernel"] * np.arange(4))
  params = {"stacked": jnp.stack([kernel, other]), "one": kernel, "other": other}
  transformation = Muon(learning_rate=1.0, kinds=((".*", "dense"),)).build(params, LENGTH)
  updates = jax.jit(lambda g: transformation.update(g, transformation.init(g), g)[0])(params)
  np.testing.assert_allclose(updates["stacked"], [updates["one"], updates["other"]], rtol=1e-9, atol=1e-12)


OPTIMIZERS = [
    GradientDescent(learning_rate=0.1),
    GradientDescent(learning_rate=0.1, momentum=0.9),
    GradientDescent(learning_rate=0.1, momentum=0.9, nesterov=True),
    *(make(learning_rate=0.05, schedule=Linear()) for make in (Adam, AMSGrad, Lamb, Lion, Adafactor, Muon)),
    AdamW(learning_rate=0.05, schedule=Linear(), weight_decay=0.0),
    SAM(base=GradientDescent(learning_rate=0.3, schedule=Linear()), radius=0.01),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_comes_near_the_minimum_of_a_quadratic(optimizer):
  distance = lambda params: max(float(jnp.max(jnp.abs(params[name] - CENTRE[name]))) for name in params)
  length = Length(total_steps=400, batch_size=1, steps_per_epoch=1)
  assert distance(ours(optimizer, length, 400)) < 0.03 * distance(START)


@pytest.mark.parametrize("make", [
    lambda: Adam(learning_rate=-1.0), lambda: Adam(learning_rate=0.1, b1=1.0),
    lambda: Adam(learning_rate=0.1, clip_norm=0.0),
    lambda: GradientDescent(learning_rate=0.1, nesterov=True), lambda: GradientDescent(learning_rate=0.1, momentum=1.0),
    lambda: SAM(base=Adam(learning_rate=0.1), radius=0.0), lambda: Adam(learning_rate=0.1, penalty_rules=(("(", 1.0),)),
    lambda: Muon(learning_rate=0.1, kinds=((".*", "dense"),)).build(jax.tree.map(jnp.asarray, START), LENGTH)])
def test_impossible_settings_are_refused(make):
  with pytest.raises(ConfigError):
    make()
