"""The Transformer's parts: who sees whom, where, and what it costs the vocabulary."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from research.config import ConfigError
from research.nn.activations import ACTIVATIONS
from research.nn.attention import Attention, attend, causal_mask
from research.nn.norms import RMSNorm
from research.nn.relative import Relative, RelativeBias
from research.nn.rotary import Rotary
from research.nn.stack import Stack, StackConfig
from research.nn.transformer import Block, BlockConfig, MLPBlock
from research.nn.vocabulary import TokenScores

KEY = jax.random.key(3)
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
compiled = functools.partial(jax.jit, compiler_options=QUICK)


def normal(*shape, seed=0):
  return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def close(a, b, rtol=1e-5, atol=1e-5):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), a, b)


# --- rotary positions --------------------------------------------------------------------------------------------------------


def test_rotary_products_depend_on_distances_only():
  q, k = normal(1, 1, 5, 8), normal(1, 1, 5, 8, seed=1)
  line = jnp.arange(5)
  turned = compiled(lambda of_q, of_k: jnp.einsum("bhtk,bhsk->ts", Rotary()(q, line + of_q), Rotary()(k, line + of_k)))
  close(turned(0, 0), turned(1000, 1000), atol=3e-4)
  assert not np.allclose(turned(0, 0), turned(0, 1), atol=1e-2)


def test_rotary_turns_pairs_by_position_times_frequency():
  x = np.asarray(normal(2, 3, 4, 6))
  positions = np.array([[0, 1, 2, 3], [7, 7, 0, 5]])
  angles = positions[:, None, :, None] * 100.0 ** (-np.arange(3) / 3)
  pairs = (x[..., :3] + 1j * x[..., 3:]) * np.exp(1j * angles)
  turned, counted = compiled(lambda x: (Rotary(base=100.0)(x, positions), Rotary(base=100.0)(x)))(x)
  close(turned, np.concatenate([pairs.real, pairs.imag], -1))
  close(counted[0], turned[0], rtol=0, atol=1e-6)


def test_rotary_for_longer_texts():
  rotaries = (Rotary(), Rotary(linear=4.0), Rotary(stretch=8.0, low=1.0, high=4.0, original_length=8192))
  plain, linear, stretched = map(np.asarray, compiled(lambda: [rotary.frequencies(64) for rotary in rotaries])())
  close(linear, plain / 4)
  wavelength = 2 * np.pi / plain
  close(stretched[wavelength < 8192 / 4], plain[wavelength < 8192 / 4], rtol=1e-6)
  close(stretched[wavelength > 8192], plain[wavelength > 8192] / 8, rtol=1e-6)
  between = (wavelength > 8192 / 4) & (wavelength < 8192)
  share = (8192 / wavelength[between] - 1) / 3
  assert between.any()
  close(stretched[between], (1 - share) * plain[between] / 8 + share * plain[between])


@pytest.mark.parametrize("wrong", [{"base": 0.0}, {"linear": -1.0}, {"low": 4.0}])
def test_rotary_settings(wrong):
  with pytest.raises(ConfigError, match=next(iter(wrong))):
    Rotary(**wrong)


# --- attention ---------------------------------------------------------------------------------------------------------------


def test_grouped_queries_equal_repeated_heads():
  few = Attention(16, 4, num_kv_heads=2, rotary=Rotary(), rngs=nnx.Rngs(0))
  many = Attention(16, 4, rotary=Rotary(), rngs=nnx.Rngs(1))
  repeat = lambda kernel: jnp.repeat(kernel.reshape(*kernel.shape[:-1], 2, 4), 2, -2).reshape(*kernel.shape[:-1], 16)
  for name in ("query", "out", "key", "value"):
    mine, theirs = getattr(many, name), getattr(few, name)
    for word in ("kernel", "bias"):
      value = getattr(theirs, word)[...] + 0.1
      setattr(mine, word, nnx.Param(repeat(value) if name in ("key", "value") else value))
      setattr(theirs, word, nnx.Param(value))
  x = normal(2, 5, 16)
  run = lambda attention: compiled(lambda x: attention(x, causal_mask(5)))(x)
  close(run(few), run(many))


def test_size_of_heads_and_scale():
  config = BlockConfig(dim=12, num_heads=3, head_dim=6, attention_scale=0.5, bias=False, mlp_dim=0)
  attention = Block(config, rngs=nnx.Rngs(0)).attention
  x = normal(1, 4, 12)
  assert attention.query.kernel.shape == (12, 18) and attention.out.kernel.shape == (18, 12)

  def plain(x):
    heads = lambda layer: (x[0] @ layer.kernel[...]).reshape(4, 3, 6).transpose(1, 0, 2)
    q, k, v = heads(attention.query), heads(attention.key), heads(attention.value)
    want = jax.nn.softmax(0.5 * q @ k.swapaxes(1, 2)) @ v
    return want.transpose(1, 0, 2).reshape(1, 4, 18) @ attention.out.kernel[...]

  close(*compiled(lambda x: (attention(x), plain(x)))(x))


def test_queries_and_keys_are_normalised_head_by_head_before_they_are_turned():
  attention = Attention(8, 2, qk_norm=1e-6, rotary=Rotary(), rngs=nnx.Rngs(0))
  attention.key_norm.scale = nnx.Param(1 + 0.1 * jnp.arange(4.0))
  x = normal(1, 3, 8)
  norm = RMSNorm(4, eps=1e-6)
  norm.scale = attention.key_norm.scale
  turned = lambda x: Rotary()(norm(attention.key(x).reshape(1, 3, 2, 4).swapaxes(1, 2)))
  close(*compiled(lambda x: (attention.keys_values(x).keys, turned(x)))(x))


MASKS = {  # of 2 sentences with 3 rows each, 4 heads, 5 queries, 7 keys
    "none": None, "all": (6, 1, 5, 7), "of memories": (2, 1, 1, 7), "of positions": (1, 1, 5, 7), "of heads": (1, 4, 5, 7)}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("heads", [2, 4])
def test_rows_that_share_keys(name, heads):
  """Beams of a sentence, and grouped heads: the same as with the keys repeated, and so are all derivatives."""
  if heads == 4 and name in ("none", "of positions"):
    pytest.skip("as with 2 heads")
  q, weight = normal(6, 4, 5, 3), normal(6, 4, 5, 3, seed=3)
  k, v = normal(2, heads, 7, 3, seed=1), normal(2, heads, 7, 3, seed=2)
  bias, shape = normal(1, 4, 5, 7, seed=4), MASKS[name]
  mask = None if shape is None else jnp.asarray(np.random.default_rng(0).random(shape) < 0.6).at[..., 0].set(True)
  rows = lambda x: None if x is None else jnp.repeat(x, 3, 0) if x.shape[0] == 2 else x
  repeated = lambda x: jnp.repeat(rows(x), 4 // heads, 1)
  shared = lambda q, k, v, bias: jnp.sum(weight * attend(q, k, v, mask, bias_BHTS=bias))
  plain = lambda q, k, v, bias: jnp.sum(weight * attend(q, repeated(k), repeated(v), rows(mask), bias_BHTS=bias))
  both = compiled(lambda *x: [jax.value_and_grad(f, (0, 1, 2, 3))(*x) for f in (shared, plain)])(q, k, v, bias)
  close(*both, rtol=1e-4)


# --- layers ------------------------------------------------------------------------------------------------------------------


def test_a_gated_network():
  mlp = MLPBlock(6, 10, activation="silu", gated=True, bias=False, dtype=jnp.float32, rngs=nnx.Rngs(0))
  x = normal(2, 6)
  gate, up, down = (layer.kernel[...] for layer in (mlp.gate, mlp.up, mlp.down))
  close(*compiled(lambda x: (mlp(x), (ACTIVATIONS["silu"](x @ gate) * (x @ up)) @ down))(x))


def test_normalising_after_the_sum():
  block = Block(BlockConfig(dim=8, num_heads=2, mlp_dim=12, norm_first=False), rngs=nnx.Rngs(0))

  def plain(x):
    h = block.attention_norm(x + block.attention(x))
    return block.mlp_norm(h + block.mlp(h))

  close(*compiled(lambda x: (block(x), plain(x)))(normal(2, 3, 8)))


def test_initial_values_of_a_branchs_last_weights():
  config = BlockConfig(dim=64, num_heads=2, mlp_dim=128, init="normal", init_scale=0.02, out_scale=0.25, gated=True)
  block = Block(config, rngs=nnx.Rngs(0))
  last = (block.attention.out, block.mlp.down)
  for layer in (block.attention.query, block.attention.key, block.attention.value, block.mlp.up, block.mlp.gate, *last):
    assert np.std(layer.kernel[...]) == pytest.approx(0.005 if layer in last else 0.02, rel=0.06)


def test_a_stack_normalises_last_where_it_should():
  config = StackConfig(num_layers=2, block=BlockConfig(dim=8, num_heads=2, mlp_dim=8, norm="rms"), causal=False)
  stack = Stack(config, dtype=jnp.float32, rngs=nnx.Rngs(0))
  y = compiled(stack.__call__)(normal(1, 3, 8))
  close(jnp.mean(y**2, -1), jnp.ones((1, 3)), rtol=1e-4)


@pytest.mark.parametrize("wrong,message", [
    ({"num_heads": 3}, "num_heads=3"), ({"num_kv_heads": 3}, "num_kv_heads=3"), ({"dropout": 1.0}, r"dropout=1\.0"),
    ({"head_dim": 7, "rotary": Rotary()}, "even size, not 7")])
def test_layer_settings(wrong, message):
  with pytest.raises(ConfigError, match=message):
    BlockConfig(**{"dim": 16, "num_heads": 4, **wrong})


# --- relative positions ------------------------------------------------------------------------------------------------------


def _bucket(distance: int, *, causal: bool, num: int, furthest: int) -> int:
  """Key minus query; Raffel et al. 2020, section 2.1, with the first half of the ranges exact and the others logarithmic."""
  start = 0
  if causal:
    distance = max(-distance, 0)
  else:
    num //= 2
    start, distance = (num if distance > 0 else 0), abs(distance)
  exact = num // 2
  if distance < exact:
    return start + distance
  return start + min(num - 1, exact + int(math.log(distance / exact) / math.log(furthest / exact) * (num - exact)))


@pytest.mark.parametrize("causal", [True, False])
def test_ranges_of_distances(causal):
  bias = RelativeBias(Relative(), 3, causal=causal, dtype=jnp.float32, rngs=nnx.Rngs(0))
  distances = np.array([d for d in range(-200, 201) if abs(d) not in (16, 32, 64, 128)])  # there, rounding decides
  want = [_bucket(int(d), causal=causal, num=32, furthest=128) for d in distances]
  buckets, found = compiled(lambda d: (bias.buckets(d), bias(jnp.arange(4, 6), jnp.arange(7))))(distances)
  np.testing.assert_array_equal(buckets, want)
  assert found.shape == (1, 3, 2, 7)
  bucket = _bucket(2 - 5, causal=causal, num=32, furthest=128)
  close(found[0, :, 1, 2], bias.table.embedding[...][bucket], rtol=0, atol=0)


# --- the vocabulary ----------------------------------------------------------------------------------------------------------


def _scores(dtype="float32", bias=True):
  hidden, table = normal(2, 5, 6), normal(11, 6, seed=1)
  cast = lambda x: jnp.asarray(x, dtype)
  return TokenScores(cast(hidden), cast(table), cast(normal(11, seed=2)) if bias else None)


LABELS = jnp.asarray(np.random.default_rng(5).integers(0, 11, (2, 5)))


def _log_p(scores):
  logits = np.asarray(scores.hidden_BTD, np.float64) @ np.asarray(scores.table_VD, np.float64).T
  logits = logits if scores.bias_V is None else logits + np.asarray(scores.bias_V, np.float64)
  return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_losses_by_their_formula(smoothing):
  scores = _scores()
  log_p = _log_p(scores)
  of_label = np.take_along_axis(log_p, np.asarray(LABELS)[..., None], -1)[..., 0]
  loss, nll, right = compiled(lambda scores: scores.losses(LABELS, smoothing=smoothing))(scores)
  close(nll, -of_label)
  close(loss, -(1 - smoothing) * of_label - smoothing * log_p.mean(-1))
  np.testing.assert_array_equal(right, log_p.argmax(-1) == LABELS)


def test_losses_of_optax_in_float64():
  with jax.enable_x64(True):
    scores = _scores("float64", bias=False)
    losses = lambda hidden, table: TokenScores(hidden, table).losses(LABELS)[0].sum()
    theirs = lambda hidden, table: optax.softmax_cross_entropy_with_integer_labels(hidden @ table.T, LABELS).sum()
    both = compiled(lambda *x: [jax.value_and_grad(f, (0, 1))(*x) for f in (losses, theirs)])
    mine, want = both(scores.hidden_BTD, scores.table_VD)
    assert mine[0].dtype == jnp.float64
    close(mine, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [3, 10, 64])
def test_losses_in_chunks_are_the_same_and_so_are_their_gradients(chunk):
  weight = normal(2, 5, seed=7)

  def total(scores, chunk):
    loss, nll, right = scores.losses(LABELS, smoothing=0.1, chunk=chunk)
    return jnp.sum(weight * loss) + 2 * jnp.sum(weight**2 * nll), right

  found = compiled(lambda s: [jax.value_and_grad(total, has_aux=True)(s, n) for n in (0, chunk)])(_scores())
  close(*found)


def test_equal_scores_are_never_right():
  right = compiled(lambda hidden: TokenScores(hidden, jnp.ones((4, 3))).losses(jnp.array([[0, 3]]))[2])
  assert not np.any(right(jnp.ones((1, 2, 3)))) and not np.any(right(jnp.full((1, 2, 3), jnp.nan)))


def test_scores_in_bfloat16_are_summed_in_float32():
  wide = lambda s: TokenScores(*(x.astype(jnp.float32) for x in (s.hidden_BTD, s.table_VD, s.bias_V)))
  logits, want, losses = compiled(lambda s: (s.logits(), wide(s).logits(), s.losses(LABELS)[0]))(_scores("bfloat16"))
  assert logits.dtype == losses.dtype == jnp.float32
  close(logits, want)
