"""The methods as the mode runs them, through a task and a network: exact where they must be, and Captum's values."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import ConfigError
from research.interpretation import attribution, examination
from research.interpretation.attachment import attach
from research.interpretation.class_activation import grad_cam
from research.interpretation.methods import Explainer
from research.interpretation.probing import Case, Probe
from research.interpretation.rewriting import NotThere
from research.interpretation.settings import METHODS, Explain
from research.interpretation.subject import subject
from research.interpretation.units import units_of
from research.models import cnn, linear, transformer_2017, vit
from research.tasks.classification import Classification
from research.tasks.text_to_text import TextToText
from research.training import program

CAPTUM = pathlib.Path(__file__).parents[1] / "fixtures" / "interpretation" / "captum.npz"


def explainer(model, task, batch, *, baseline=0.0, params=None, budget=1 << 26, question=0, contrast=False, **settings):
  """(explainer, weights, case) of a fresh network on a batch, or of one with these parameters."""
  spec = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
  network = program.network(model=model, task=task, on_device=(), spec=spec, precision="float32")
  if params is None:  # drawn without a compiler; scales of normalisation about 1
    random = np.random.default_rng(0)
    draw = lambda path, p: ("scale" in str(path)) + random.standard_normal(p.shape) / max(1, p.shape[-2:][0]) ** 0.5
    params = jax.tree.map_with_path(lambda path, p: jnp.asarray(draw(path, p), jnp.float32), network.params)
  attachment, settings = attach(network, task, batch), Explain(**settings)
  weights = params, {}
  x = jax.eval_shape(attachment.inputs, *weights, batch)
  answer = jax.jit(lambda weights, batch: (task.questions(attachment.run(*weights, batch), batch), [
      segment.tokens for segment in attachment.segments(*weights, batch)]))
  (targets, against), tokens = answer(weights, batch)
  case = Case(batch, targets[:, question], against[:, question] if contrast else None, jnp.asarray(baseline, jnp.float32),
              jnp.zeros((), jnp.float32))
  units = units_of(x.shape, attachment.is_tokens, settings.cells, attachment.views)
  return Explainer(Probe(attachment, units, budget), settings, tuple(its.shape[1] for its in tokens)), weights, case


@pytest.fixture(scope="module")
def captum():
  """What Captum says, and our explainer of the same network."""
  theirs = dict(np.load(CAPTUM))
  layer = lambda name: {"kernel": jnp.asarray(theirs[name]), "bias": jnp.asarray(theirs[f"{name}_bias"])}
  params = {"convolutions": {0: layer("conv0"), 1: layer("conv1")}, "layers": {0: layer("hidden")}, "head": layer("head")}
  model = cnn.Config(channels=(4, 6), kernels=(3, 3), strides=(1, 2), paddings=(1, 1), widths=(10,))
  batch = {"inputs": jnp.asarray(theirs["x"]), "mask": jnp.ones(4)}
  ours, weights, case = explainer(model, Classification(num_classes=5), batch, baseline=0.25, params=params, cells=4)
  return theirs, ours, weights, Case(batch, jnp.asarray(theirs["labels"], jnp.int32), None, case.baseline, case.shift)


def test_captums_values(captum):
  theirs, ours, weights, case = captum
  methods = {"gradient": attribution.gradient, "gradient_x_input": attribution.gradient_x_input, "grad_cam": grad_cam}
  every = lambda score, x, case: {name: method(score, x) for name, method in methods.items()}
  found = ours.probe.whole("every", every)(weights, case)
  found["integrated_gradients"] = ours.integrated(weights, case, num_steps=32).attributions
  for name, its in found.items():
    np.testing.assert_allclose(its, theirs[name], atol=1e-4 * np.abs(theirs[name]).max(), err_msg=name)
  # Captum gives every place of a window, in every channel, what the window is worth; we share it out.
  places = ours.probe.units.places_of(jnp.asarray(theirs["occlusion"])) / 3
  np.testing.assert_allclose(ours.map("occlusion", weights, case) * 4, places, atol=1e-4 * np.abs(places).max())


def test_maps_are_the_same_whatever_the_memory(captum):
  _, ours, weights, case = captum
  narrow = Explainer(Probe(ours.probe.attachment, ours.probe.units, 1), ours.settings, ())
  for name in ("smoothgrad", "occlusion"):
    np.testing.assert_allclose(narrow.map(name, weights, case), ours.map(name, weights, case), rtol=1e-3, atol=1e-5)
  assert max(narrow.probe._copies.values()) == 1 < min(ours.probe._copies.values())


def test_a_call_takes_no_more_memory_than_its_budget(captum):
  _, ours, weights, case = captum
  budget = 200_000
  probe = Probe(ours.probe.attachment, ours.probe.units, budget)
  Explainer(probe, ours.settings, ()).map("smoothgrad", weights, case)
  copies = probe._copies[next(iter(probe._copies))]
  assert copies > 1
  seeds, counts = np.zeros(copies, np.int32), np.ones(copies, np.float32)
  compiled = probe._functions["noise"].lower(weights, case, seeds, counts, jnp.float32(0.1)).compile()
  assert compiled.memory_analysis().temp_size_in_bytes <= budget


def test_every_contribution_is_exact_on_a_linear_network():
  x = jax.random.normal(jax.random.key(0), (3, 6))
  ours, weights, case = explainer(linear.Config(), Classification(num_classes=4), {"inputs": x, "mask": jnp.ones(3)},
                                  baseline=0.5, rise_masks=400)
  w = next(leaf for leaf in jax.tree.leaves(weights[0]) if leaf.ndim == 2)[:, case.targets].T
  for name in ("gradient_x_input", "integrated_gradients", "occlusion"):
    np.testing.assert_allclose(ours.map(name, weights, case), (x - 0.5) * w, atol=1e-5, err_msg=name)
  np.testing.assert_allclose(ours.map("gradient", weights, case), jnp.abs(w), atol=1e-6)
  np.testing.assert_allclose(ours.map("rise", weights, case), (x - 0.5) * w, atol=0.25)
  assert ours.integrated(weights, case).gap_B.max() < 1e-5 and ours.integrated(weights, case).num_steps == 16
  found, missing = ours.applicable(weights, case)
  assert set(missing) == {"guided_backpropagation", "grad_cam", "attention_rollout", "gradient_attention"}
  assert set(found) | set(missing) == set(METHODS)


def test_steps_are_added_until_attributions_add_up(captum):
  _, ours, weights, case = captum
  coarse = ours.integrated(weights, case, num_steps=1)
  fine = ours.integrated(weights, case)
  assert coarse.gap_B.max() > 0.02 >= fine.gap_B.max() and fine.num_steps in (16, 48, 144, 432)
  at_once = ours.integrated(weights, case, num_steps=48).attributions
  tripled = Explainer(ours.probe, Explain(tolerance=1e-9, max_steps=48), ()).integrated(weights, case)
  assert tripled.num_steps == 48 and sorted(tripled.coarser) == [16, 48] and tripled.coarser[48] is tripled.attributions
  np.testing.assert_allclose(tripled.attributions, at_once, rtol=1e-3, atol=1e-5)


def test_maps_are_compared_at_the_same_number_of_steps(captum):
  _, ours, weights, case = captum
  ours = Explainer(ours.probe, dataclasses.replace(ours.settings, tolerance=1e-9, max_steps=432, compared_steps=20), ())
  made = 0

  def count():
    nonlocal made
    made += 1

  method = "integrated_gradients"
  found, fine = examination.examine(ours, weights, case, (method,), seed=0, disturbances=2, between=count)
  assert made == 3 and found["num_steps"] == 432 and found["compared_steps"] == 16
  pooled = lambda its: ours.probe.units.pool(jnp.asarray(its))
  np.testing.assert_allclose(found["compared"][method], pooled(ours.map(method, weights, case, num_steps=16)), atol=1e-5)
  np.testing.assert_allclose(found["maps"][method], pooled(fine[method]), atol=1e-7)
  assert np.abs(found["maps"][method] - found["compared"][method]).max() > 3e-4  # thirty times the tolerance above
  # A network that forgot nothing has the same map.
  assert examination.alike(ours, weights, case, (method,), found)[method] == pytest.approx([1] * len(case.targets))


def test_views_are_explained_by_their_share_in_the_mean(captum):
  theirs, ours, weights, case = captum
  mirrored = case.batch["inputs"][:, :, ::-1]
  views, _, its = explainer(
      cnn.Config(channels=(4, 6), kernels=(3, 3), strides=(1, 2), paddings=(1, 1), widths=(10,)),
      Classification(num_classes=5, view_mean="logit"),
      {"inputs": jnp.stack([case.batch["inputs"], mirrored], 1), "mask": jnp.ones(4)}, baseline=0.25, params=weights[0],
      cells=4)
  its = dataclasses.replace(its, targets=case.targets)
  other = dataclasses.replace(case, batch={**case.batch, "inputs": mirrored})
  height = theirs["x"].shape[1]
  for name in ("gradient_x_input", "grad_cam", "occlusion"):
    found = views.map(name, weights, its)
    assert found.shape[1:] == (2 * height, theirs["x"].shape[2])
    for part, alone in ((found[:, :height], case), (found[:, height:], other)):
      np.testing.assert_allclose(2 * part, ours.map(name, weights, alone), rtol=1e-3, atol=1e-5, err_msg=name)


def test_what_cannot_be_explained_is_one_line():
  class Twice(Classification):
    def network_inputs(self, batch):
      return batch["inputs"], batch["more"]

  class Silent(Classification):
    def questions(self, outputs, batch):
      return jnp.full((len(outputs), 1), -1), None

  batch = {"inputs": jnp.ones((2, 3)), "more": jnp.ones((2, 3)), "mask": jnp.ones(2)}
  spec = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
  network = program.network(model=linear.Config(), task=Classification(num_classes=2), on_device=(), spec=spec,
                            precision="float32")
  with pytest.raises(ConfigError, match="one array of numbers, or by texts; the network reads inputs, more"):
    attach(network, Twice(num_classes=2), batch)
  weights = jax.tree.map(lambda p: jnp.ones(p.shape, p.dtype), network.params), {}
  with pytest.raises(ConfigError, match="there is no answer to explain"):
    subject(network, Silent(num_classes=2), weights, batch, Explain(), None, lambda: None)


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def translator():
  """A small Transformer whose source and target share a table, which is the last layer too; the second token is explained."""
  batch = {"source": jnp.array([[5, 6, 7, 0], [4, 4, 8, 9]]), "source_length": jnp.array([3, 4]),
           "targets": jnp.array([[3, 6, 2, 0, 0], [5, 7, 8, 9, 2]]), "targets_length": jnp.array([3, 5]), "mask": jnp.ones(2)}
  model = transformer_2017.make(dim=16, num_layers=1, num_heads=2, mlp_dim=16, dropout=0.0)
  task = TextToText(vocab_size=10, start_id=1, end_id=2, pad_id=0)
  return explainer(model, task, batch, question=1)


def test_tokens_are_explained_by_their_vectors(translator):
  ours, weights, case = translator
  attachment, (params, buffers) = ours.probe.attachment, weights
  table = params["source_embedding"]["tokens"]["embedding"]

  @jax.jit
  def of(batch, other):
    x = attachment.inputs(params, buffers, batch)
    score = attachment.score(params, buffers, batch, case.targets)
    known = attachment.scores(attachment.run(params, buffers, batch), case.targets)
    swapped = attachment.score(params, buffers, other, case.targets)(attachment.inputs(params, buffers, other))
    tokens = [segment.tokens for segment in attachment.segments(params, buffers, batch)]
    return tokens, x, score(jnp.concatenate([x, x.at[:, 0].set(table[9])])), jnp.concatenate([known, swapped])

  # In the vectors of other tokens the network sees these tokens, in any number of copies.
  tokens, x, scores, expected = of(case.batch, {**case.batch, "source": case.batch["source"].at[:, 0].set(9)})
  np.testing.assert_array_equal(tokens[0], case.batch["source"])
  np.testing.assert_array_equal(tokens[1], [[1, 3, 6, 2, 0], [1, 5, 7, 8, 9]])
  np.testing.assert_array_equal(x, table[jnp.concatenate(tokens, 1)])
  np.testing.assert_allclose(scores, expected, rtol=1e-4)


_SHORT = ("gradient_attention",)


@pytest.mark.parametrize("names", [_SHORT, pytest.param(tuple(n for n in METHODS if n not in _SHORT), marks=pytest.mark.heavy)])
def test_no_method_sees_padding_or_what_comes_later(translator, names):
  ours, weights, case = translator
  for name in names:
    if name in ("rise", "grad_cam"):  # what is random stays so where nothing matters; texts have no feature map
      continue
    its = ours.map(name, weights, case)
    assert not its[0, 3] and not its[:, 4 + 2:].any(), name  # the source's padding; after the second token
    assert its[:, :3].any(1).all() and its[:, 4:6].any(), name


def test_contrast_is_the_difference_of_two_explanations(captum):
  _, ours, weights, case = captum
  against = jnp.roll(case.targets, 1, 0)
  of = jax.jit(lambda targets, against: attribution.gradient(ours.probe.score(
      weights, Case(case.batch, targets, against, case.baseline, case.shift)), case.batch["inputs"]))
  np.testing.assert_allclose(of(case.targets, against), of(case.targets, None) - of(against, None), atol=1e-6)


@pytest.mark.heavy
def test_attention_of_a_vision_transformer_is_found_in_its_scan_and_read_at_its_class_token():
  config = vit.Config(patch=4, dim=8, num_layers=2, num_heads=2, mlp_dim=8)
  x = jax.random.normal(jax.random.key(0), (2, 8, 12, 3))
  ours, weights, case = explainer(config, Classification(num_classes=3), {"inputs": x, "mask": jnp.ones(2)}, cells=3)
  with pytest.raises(NotThere):
    ours.map("grad_cam", weights, case)
  rolled = ours.map("attention_rollout", weights, case)
  assert rolled.shape == (2, 8, 12) and (rolled > 0).all() and rolled.std() > 0
  assert (ours.map("gradient_attention", weights, case) >= 0).all()
