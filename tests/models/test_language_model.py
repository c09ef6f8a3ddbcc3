"""Decoders: who sees whom, packed texts, decoding, initial values."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_networks import check_decoding, compiled, random_network, unstacked

from research.config import ConfigError
from research.models import gpt2, llama
from research.nn.rotary import Rotary
from research.training.state import merge, split

VOCAB = 13
GPT2 = gpt2.make(dim=16, num_layers=2, num_heads=2, max_length=10)
LLAMA = llama.make(
    dim=16, num_layers=2, num_heads=4, num_kv_heads=2, mlp_dim=24, rotary=Rotary(base=50.0), head_dim=6, qk_norm=True)
CONFIGS = {"gpt2": dataclasses.replace(GPT2, tied=False), "llama": LLAMA}
TOKENS = jnp.arange(1, 10)[None]  # each another one: what moves a token's vector moves one position
SEGMENTS = jnp.array([[1, 1, 1, 2, 2, 2, 2, 0, 0]])


@functools.cache
def network(name):
  return random_network(CONFIGS[name], VOCAB)


@functools.cache
def reach(name):
  """Of each position (rows), which tokens' vectors move its scores: without segments, and with them."""
  definition, params = network(name)

  def scores(table, segments):
    inner = {**params, "embedding": {**params["embedding"], "tokens": {"embedding": table}}}
    return jnp.sum(jnp.sin(merge(definition, inner, {})(TOKENS, segments_BT=segments).logits()[0]), -1)

  jacobian = compiled(jax.jacrev(scores))
  table = params["embedding"]["tokens"]["embedding"]
  return [np.abs(jacobian(table, segments)).max(-1)[:, 1:10] > 0 for segments in (jnp.ones_like(SEGMENTS), SEGMENTS)]


@pytest.mark.parametrize("name", CONFIGS)
def test_no_gradient_flows_from_the_future(name):
  np.testing.assert_array_equal(reach(name)[0], np.tril(np.ones((9, 9), bool)))


@pytest.mark.parametrize("name", CONFIGS)
def test_no_gradient_flows_between_packed_texts(name):
  segments = np.asarray(SEGMENTS[0])
  same = (segments[:, None] == segments) & np.tril(np.ones((9, 9), bool))
  np.testing.assert_array_equal(reach(name)[1][:7], same[:7])


@pytest.mark.parametrize("name", CONFIGS)
def test_packed_texts_are_as_if_alone(name):
  definition, params = network(name)
  first, second = [4, 9, 2], [7, 7, 1, 12]
  tokens = np.array([[*first, *second, 5, 5], [*first, 8, 8, 8, 8, 8, 8], [*second, 3, 3, 3, 3, 3]])
  segments = np.array([[1, 1, 1, 2, 2, 2, 2, 0, 0], [1] * 3 + [0] * 6, [4] * 4 + [0] * 5])
  run = compiled(lambda params, segments: merge(definition, params, {})(jnp.asarray(tokens), segments_BT=segments).logits())
  packed, one, other = np.asarray(run(params, segments))
  np.testing.assert_allclose(packed[:3], one[:3], rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(packed[3:7], other[:4], rtol=1e-5, atol=1e-5)
  unpacked = np.asarray(run(params, np.ones_like(segments)))
  assert not np.allclose(unpacked[0, 3:7], other[:4], atol=1e-2)
  np.testing.assert_allclose(unpacked[1, :3], one[:3], rtol=1e-5, atol=1e-5)  # padding on the right needs no segments


@pytest.mark.parametrize("name", CONFIGS)
def test_decoding_is_the_forward_pass(name):
  full = lambda model, tokens, _: model(tokens).logits()
  check_decoding(network(name), full, None, vocab_size=VOCAB)


@pytest.mark.parametrize("gradients", [False, pytest.param(True, marks=pytest.mark.heavy)])
def test_scanned_layers_equal_those_in_a_row(gradients):
  """Outputs, dropout and gradients, whatever is computed again."""
  block = dataclasses.replace(LLAMA.decoder.block, dropout=0.2, attention_dropout=0.1)
  build = lambda **how: dataclasses.replace(LLAMA, decoder=dataclasses.replace(LLAMA.decoder, block=block, **how))
  stacked, params = random_network(build(remat="dots"), VOCAB)
  single, _ = random_network(build(scan=False), VOCAB)

  def loss(params, definition):
    scores = merge(definition, params, {})(TOKENS, key=jax.random.key(1))
    return jnp.mean(scores.losses(TOKENS)[0])

  apart = unstacked(params, ("decoder", "layers"))
  if not gradients:
    both = compiled(lambda params, apart: (loss(params, stacked), loss(apart, single)))(params, apart)
    np.testing.assert_allclose(*both, rtol=1e-5)
    return
  both = compiled(lambda params, apart: (jax.value_and_grad(loss)(params, stacked), jax.value_and_grad(loss)(apart, single)))
  (value, gradient), (want, gradient_apart) = both(params, apart)
  np.testing.assert_allclose(value, want, rtol=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
               unstacked(gradient, ("decoder", "layers")), gradient_apart)


def test_a_tied_table_serves_both_ends():
  definition, params = random_network(GPT2, VOCAB)
  assert "head" not in params
  scores = compiled(lambda params: merge(definition, params, {})(TOKENS))(params)
  np.testing.assert_array_equal(scores.table_VD, params["embedding"]["tokens"]["embedding"])


def test_the_first_loss_is_that_of_guessing():
  """GPT-2's own size is below."""
  config = gpt2.make(dim=64, num_layers=3, num_heads=2, max_length=16)
  _check_beginning(config, num_layers=3, vocab_size=2000, length=16, rel=0.08)


@pytest.mark.heavy
def test_gpt2_begins_as_in_transformers():
  _check_beginning(gpt2.gpt2(), num_layers=12, vocab_size=50_257, length=64, rel=0.01)


def _check_beginning(config, *, num_layers, vocab_size, length, rel):
  """N(0, 0.02²) everywhere, the branches' last weights smaller by sqrt(2 layers) (Radford et al. 2019), biases 0."""
  create = lambda: split(config.build(jax.ShapeDtypeStruct((8, length), "int32"), vocab_size, nnx.Rngs(0)))
  definition, params = jax.eval_shape(create)[0], compiled(lambda: create()[1])()
  layers = params["decoder"]["layers"]
  small = 0.02 / math.sqrt(2 * num_layers)
  for kernel, deviation in (
      (params["embedding"]["tokens"]["embedding"], 0.02), (params["embedding"]["positions"]["embedding"], 0.02),
      (layers["attention"]["query"]["kernel"], 0.02), (layers["mlp"]["up"]["kernel"], 0.02),
      (layers["attention"]["out"]["kernel"], small), (layers["mlp"]["down"]["kernel"], small)):
    assert np.std(kernel) == pytest.approx(deviation, rel=rel)
  assert not any(np.any(layers["attention"][name]["bias"]) for name in ("query", "key", "value", "out"))
  tokens = np.random.default_rng(0).integers(0, vocab_size, (8, length + 1))
  loss = compiled(lambda params: jnp.mean(merge(definition, params, {})(tokens[:, :-1]).losses(tokens[:, 1:])[0]))(params)
  assert float(loss) == pytest.approx(math.log(vocab_size), rel=0.02)


def test_texts_that_are_too_long():
  with pytest.raises(ConfigError, match="max_length=10: inputs have 11 positions"):
    GPT2.build(jax.ShapeDtypeStruct((1, 11), "int32"), VOCAB, nnx.Rngs(0))
  jax.eval_shape(lambda: LLAMA.build(jax.ShapeDtypeStruct((1, 5000), "int32"), VOCAB, nnx.Rngs(0)))
