"""Networks that say of every frame what is said in it: padding and neighbours change nothing, attention is its definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export as jax_export
from small_networks import compiled

from research.config import ConfigError
from research.models import conformer, ctc_recurrent
from research.nn.norms import BatchNorm
from research.nn.relative_attention import RelativeAttention, distances

SMALL = {
    "gru": ctc_recurrent.Config(channels=(6, 6), width=5),
    "lstm": ctc_recurrent.Config(channels=(6,), kernels=(3,), strides=(3,), cell="lstm", width=5, num_layers=2),
    "convolutions": ctc_recurrent.Config(channels=(6, 5), kernels=(3, 3), strides=(2, 2), num_layers=0),
    "conformer": conformer.Config(dim=8, num_layers=2, num_heads=2, kernel=4, dropout=0.2),
}
LENGTHS = np.array([21, 12, 5])
X = np.random.default_rng(0).normal(size=(3, 21, 8)).astype(np.float32)


@functools.cache
def forward(name):
  definition, state = nnx.split(SMALL[name].build(jax.ShapeDtypeStruct((3, 21, 8), jnp.float32), 4, nnx.Rngs(0)))
  return compiled(lambda x, lengths: tuple(nnx.merge(definition, state, copy=True)(x, lengths)))


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.heavy if n == "lstm" else ()) for n in SMALL])
def test_padding_changes_nothing(name):
  run = forward(name)
  logits, lengths = run(X, LENGTHS)
  stride = 3 if name == "lstm" else 4
  assert lengths.tolist() == [-(-n // stride) for n in LENGTHS]
  longer = np.full((3, 29, 8), np.nan, np.float32)  # more of it, and no number
  for b, length in enumerate(LENGTHS):
    longer[b, :length] = X[b, :length]
  found, found_lengths = run(longer, LENGTHS)
  assert found_lengths.tolist() == lengths.tolist()
  for b, length in enumerate(lengths):
    np.testing.assert_allclose(found[b, :length], logits[b, :length], atol=2e-5)


@pytest.mark.parametrize("name", SMALL)
def test_the_number_of_utterances_may_be_open(name):
  """As an exported network's is."""
  definition, state = nnx.split(SMALL[name].build(jax.ShapeDtypeStruct((3, 21, 8), jnp.float32), 4, nnx.Rngs(0)))
  (num,) = jax_export.symbolic_shape("b")
  exported = jax_export.export(jax.jit(lambda x, lengths: nnx.merge(definition, state, copy=True)(x, lengths).logits))(
      jax.ShapeDtypeStruct((num, 21, 8), jnp.float32), jax.ShapeDtypeStruct((num,), jnp.int32))
  assert exported.out_avals[0].shape[0] == num


def test_a_network_hears_both_ways():
  for name in ("gru", "conformer"):
    moved = X.copy()
    moved[:, 9] += 1
    difference = np.abs(forward(name)(moved, LENGTHS)[0] - forward(name)(X, LENGTHS)[0]).max(-1)
    assert difference[0, 0] > 0 and difference[0, -1] > 0, name
  far = np.abs(forward("convolutions")(moved, LENGTHS)[0] - forward("convolutions")(X, LENGTHS)[0]).max(-1)
  assert np.nonzero(far[0])[0].tolist() == [2, 3]  # the frames 4k - 3 to 4k + 3


def test_padding_has_no_part_in_a_conformers_statistics():
  """In training the batch is normalised over frames that are there; the running statistics are theirs."""
  norm, x = BatchNorm(3, decay=0.0), np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
  mask = np.arange(5) < np.array([[5], [2]])
  y = np.asarray(norm(jnp.asarray(x), mask=jnp.asarray(mask), key=jax.random.key(0)))
  real = x[mask]
  np.testing.assert_allclose(y[mask], (real - real.mean(0)) / np.sqrt(real.var(0) + 1e-5), atol=1e-5)
  np.testing.assert_allclose(norm.mean[...], real.mean(0), atol=1e-6)
  np.testing.assert_allclose(norm.variance[...], real.var(0, ddof=1), rtol=1e-5)


def test_relative_attention_by_its_definition():
  attention = RelativeAttention(6, 2, rngs=nnx.Rngs(0))
  state = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(jax.random.key(p.size), p.shape), nnx.state(attention))
  nnx.update(attention, state)
  x, mask = X[:2, :5, :6], np.arange(5) < np.array([[5], [3]])
  found = compiled(lambda x: attention(x, jnp.asarray(mask), distances(5, 6)))(x)
  p = {name: (np.asarray(layer.kernel[...]), 0 if layer.bias is None else np.asarray(layer.bias[...]))
       for name, layer in ((n, getattr(attention, n)) for n in ("query", "key", "value", "out", "position"))}
  project = lambda name, x: (x @ p[name][0] + p[name][1]).reshape(*x.shape[:-1], 2, 3)
  q, k, v = (project(name, x) for name in ("query", "key", "value"))
  u, w = (np.asarray(attention.content_bias[...]), np.asarray(attention.position_bias[...]))
  steps = 10_000.0 ** (-np.arange(0, 6, 2) / 6)
  for b, t in ((0, 0), (0, 3), (1, 1)):
    scores = np.full((5, 2), -np.inf)
    for s in range(5 if not b else 3):
      r = project("position", np.concatenate([np.sin((t - s) * steps), np.cos((t - s) * steps)]))
      scores[s] = (((q[b, t] + u) * k[b, s]).sum(-1) + ((q[b, t] + w) * r).sum(-1)) / np.sqrt(3)
    weights = np.exp(scores - scores.max(0)) / np.exp(scores - scores.max(0)).sum(0)
    expected = np.einsum("sh,shk->hk", weights, v[b]).reshape(6) @ p["out"][0] + p["out"][1]
    np.testing.assert_allclose(found[b, t], expected, atol=1e-5)


def test_settings_that_make_no_network_are_refused():
  with pytest.raises(ConfigError, match="multiple of num_heads=4"):
    conformer.Config(dim=18, num_layers=2)
  with pytest.raises(ConfigError, match="kernels odd"):
    ctc_recurrent.Config(kernels=(4, 5))
  with pytest.raises(ConfigError, match="as many of each"):
    ctc_recurrent.Config(strides=(2,))
