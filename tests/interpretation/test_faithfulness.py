"""Measures of faithfulness where the truth is known, and a classifier that cheats, which is caught."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from research.interpretation import examination, faithfulness
from research.interpretation.attachment import attach
from research.interpretation.faithfulness import Effects, Estimate
from research.interpretation.methods import Explainer
from research.interpretation.probing import Case, Probe
from research.interpretation.settings import Explain
from research.interpretation.units import units_of
from research.models import cnn
from research.tasks.classification import Classification
from research.training import program

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(3, 12))
COUNTS = np.ones((3, 12), bool)


class Additive:
  """A probe whose score is the sum of what its units are worth."""

  def scores_at_masks(self, weights, case, masks):
    return (masks * VALUES).sum(2)


@pytest.fixture(scope="module")
def effects() -> Effects:
  return faithfulness.effects(Additive(), None, None, COUNTS, num=64, seed=0)


def test_a_map_that_tells_all_scores_best_and_its_opposite_worst(effects):
  assert (effects.subsets_KBU.sum(2) == 9).all()  # a quarter is taken away
  np.testing.assert_allclose(effects.change_B, VALUES.sum(1))
  np.testing.assert_allclose(faithfulness.mu_fidelity(VALUES, effects), 1)
  np.testing.assert_allclose(faithfulness.mu_fidelity(-3 * VALUES, effects), -1)
  np.testing.assert_allclose(faithfulness.infidelity(5 * VALUES, effects), 0, atol=1e-12)
  np.testing.assert_allclose(faithfulness.infidelity(-VALUES, effects), 1)
  random = RNG.random((200, 3, 12))
  assert abs(np.mean([faithfulness.mu_fidelity(m, effects) for m in random])) < 0.05


def test_areas_by_hand():
  areas = lambda m: faithfulness.areas(Additive(), None, None, m, COUNTS, VALUES.sum(1), num_steps=12)
  total, order = VALUES.sum(1), -np.sort(-VALUES, 1)
  inserted = np.concatenate([np.zeros((3, 1)), order.cumsum(1)], 1)
  curve = lambda ys: (ys[:, 1:] + ys[:, :-1]).sum(1) / 24  # trapezoids
  deletion, insertion = areas(VALUES)
  np.testing.assert_allclose(insertion, curve(inserted))
  np.testing.assert_allclose(deletion, curve(total[:, None] - inserted))
  opposite = areas(-VALUES)
  np.testing.assert_allclose(deletion, opposite[1])  # what one takes away last the other brings in first
  assert (insertion > opposite[1]).all() and (deletion < opposite[0]).all()


def test_what_does_not_count_is_neither_taken_away_nor_brought_in():
  counts = COUNTS.copy()
  counts[:, 6:] = False
  its = faithfulness.effects(Additive(), None, None, counts, num=16, seed=0)
  assert (its.subsets_KBU[:, :, 6:] == 1).all() and (its.subsets_KBU.sum(2) == 12 - 2).all()
  np.testing.assert_allclose(its.change_B, VALUES[:, :6].sum(1))


def test_verdicts():
  above, unsure, below = Estimate(0.3, 0.1, 0.5), Estimate(0.3, -0.1, 0.5), Estimate(-0.3, -0.5, -0.1)
  alike, other = Estimate(0.8, 0.7, 0.9), Estimate(0.6, 0.4, 0.8)
  of = lambda a, b, forgotten=None: faithfulness.verdict({"areas": a, "mu_fidelity": b}, forgotten)
  assert of(above, above) == of(above, above, other) == "faithful"
  assert of(above, unsure) == of(below, above) == "no better than random"
  assert of(above, above, alike) == "insensitive to the model"


def test_sensitivity_is_the_largest_relative_change():
  found = faithfulness.sensitivity(np.array([[3.0, 4.0]]), [np.array([[3.0, 4.5]]), np.array([[0.0, 4.0]])])
  np.testing.assert_allclose(found, 0.6)


# --- a planted cause -------------------------------------------------------------------------------------------------


def _images(num, marked, seed):
  """Noise with a faint cross or ring for the class; and a bright corner: of the class where `marked`, else by chance."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 2, num)
  images = rng.normal(0, 0.2, (num, 8, 8, 1))
  images[labels == 1, 3:5, 2:7] += 0.3
  images[labels == 0, 5:7, 2:7] += 0.3
  mark = labels if marked else rng.integers(0, 2, num)
  images[mark == 1, :2, :2] += 2.0
  return images.astype(np.float32), labels


def test_a_classifier_that_cheats_by_a_watermark_is_caught():
  model, task = cnn.Config(channels=(4,), kernels=(3,), strides=(2,), paddings=(1,)), Classification(num_classes=2)
  shapes = {"inputs": jax.ShapeDtypeStruct((8, 8, 8, 1), "float32"), "mask": jax.ShapeDtypeStruct((8,), "float32")}
  network = program.network(model=model, task=task, on_device=(), spec=shapes, precision="float32")
  attachment = attach(network, task, shapes)
  optimizer = optax.adam(1e-2)

  @jax.jit
  def train(x, labels):
    loss = lambda params: optax.softmax_cross_entropy_with_integer_labels(
        attachment.run(params, {}, {"inputs": x}), labels).mean()

    def step(state, _):
      updates, opt = optimizer.update(jax.grad(loss)(state[0]), state[1])
      return (optax.apply_updates(state[0], updates), opt), None

    params = nnx.to_pure_dict(nnx.state(network.construct(nnx.Rngs(0)), nnx.Param))
    return jax.lax.scan(step, (params, optimizer.init(params)), None, length=150)[0][0]

  units = units_of((8, 8, 8, 1), False, 4)
  explainer = Explainer(Probe(attachment, units, 1 << 26), Explain(cells=4, subsets=32, curve_steps=6), ())
  images, labels = _images(8, True, 1)
  names, shares = ("integrated_gradients", "gradient_x_input"), {}
  for marked in (True, False):
    weights = train(*_images(256, marked, 0)), {}
    case = Case({"inputs": jnp.asarray(images), "mask": jnp.ones(8)}, jnp.ones(8, int), None, jnp.zeros(()), jnp.zeros(()))
    found, _ = examination.examine(explainer, weights, case, names, seed=0, disturbances=0)
    mass = {name: np.abs(its)[labels == 1] for name, its in found["maps"].items()}
    shares[marked] = {name: float((its[:, 0] / its.sum(1)).mean()) for name, its in mass.items()}  # unit 0 is the corner
    summary = examination.summarize(range(8), [found], {}, names)
    assert all(summary[name]["verdict"] == "faithful" for name in names)
    assert found["gap"].max() < 0.02
  # One of 16 units: by chance it has a sixteenth.
  assert all(shares[True][name] > 0.5 and shares[False][name] < 0.25 for name in names), shares
  assert shares[True]["random"] < 0.15
