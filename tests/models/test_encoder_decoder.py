"""Encoders with decoders: what a target sees of its source, decoding, tables that are shared."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_networks import check_decoding, compiled, random_network

from research.config import ConfigError
from research.models.encoder_decoder import Config
from research.nn.relative import Relative
from research.nn.stack import StackConfig
from research.nn.token_embedding import EmbeddingConfig
from research.nn.transformer import BlockConfig
from research.training.state import merge

VOCAB = 13
INPUTS = (jax.ShapeDtypeStruct((3, 7), "int32"), jax.ShapeDtypeStruct((3, 9), "int32"))


def config(block, *, embedding, relative=None, num_layers=2, **others):
  stack = lambda causal: StackConfig(
      num_layers=num_layers, block=dataclasses.replace(block, cross=causal), causal=causal, relative=relative)
  return Config(embedding=embedding, encoder=stack(False), decoder=stack(True), **others)


CONFIGS = {
    # As T5: relative positions, no scale of the scores, no biases, heads of a size of their own.
    "relative": config(
        BlockConfig(dim=16, num_heads=2, head_dim=6, mlp_dim=20, norm="rms", bias=False, gated=True, attention_scale=1.0),
        embedding=EmbeddingConfig(dim=16), relative=Relative(num_buckets=8, max_distance=6), num_layers=1, output_scale=0.25),
    # As BART, but for two vocabularies.
    "learned": config(
        BlockConfig(dim=16, num_heads=4, num_kv_heads=2, mlp_dim=20, norm_first=False),
        embedding=EmbeddingConfig(dim=16, positions="learned", max_length=12, offset=2, scaled=True, norm_eps=1e-5),
        output_bias=True, source_size=17, tied=False),
}
SOURCE = np.array([[3, 4, 5, 6, 7, 8, 9], [4, 4, 1, 2, 10, 11, 12], [6, 2, 1, 1, 1, 1, 1]])
LENGTHS = np.array([7, 4, 2])
MASK = np.arange(7) < LENGTHS[:, None]
TARGET = np.arange(1, 10)[None].repeat(3, 0)


@functools.cache
def network(name):
  return random_network(CONFIGS[name], VOCAB, INPUTS)


@functools.cache
def runner(name):
  definition, _ = network(name)
  return compiled(lambda params, source, mask, target: merge(definition, params, {})(source, target, mask).logits())


def run(name, source=SOURCE, mask=MASK, target=TARGET):
  return np.asarray(runner(name)(network(name)[1], jnp.asarray(source), jnp.asarray(mask), jnp.asarray(target)))


@pytest.mark.parametrize("name", CONFIGS)
def test_padding_of_the_source_changes_nothing(name):
  plain = run(name)
  np.testing.assert_array_equal(run(name, source=np.where(MASK, SOURCE, 9)), plain)
  np.testing.assert_array_equal(run(name, source=SOURCE[[1, 0, 2]], mask=MASK[[1, 0, 2]])[1], plain[0])
  assert not np.allclose(run(name, mask=np.ones_like(MASK))[1], plain[1], atol=1e-3)
  if name == "learned":
    return
  definition, params = network(name)
  short = compiled(lambda params: merge(definition, params, {})(jnp.asarray(SOURCE[1:2, :4]), jnp.asarray(TARGET[:1])).logits())
  np.testing.assert_allclose(short(params)[0], plain[1], rtol=0, atol=1e-5 * np.abs(plain).max())


@pytest.mark.parametrize("name", CONFIGS)
def test_an_empty_source_gives_numbers_and_leaves_the_others_alone(name):
  empty = run(name, mask=MASK & (np.arange(3) != 1)[:, None])
  assert np.isfinite(empty).all()
  np.testing.assert_array_equal(empty[[0, 2]], run(name)[[0, 2]])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_target_sees_what_came_before_it_and_all_of_its_source(name):
  plain = run(name)
  later = run(name, target=np.where(np.arange(9) < 5, TARGET, TARGET + 3))
  np.testing.assert_array_equal(later[:, :5], plain[:, :5])
  assert np.all(np.abs(later[:, 5:] - plain[:, 5:]).max(-1) > 0)
  other = run(name, source=np.where(np.arange(7) == 6, 2, SOURCE))
  assert np.all(np.abs(other[0] - plain[0]).max(-1) > 0)  # also the first
  np.testing.assert_array_equal(other[1:], plain[1:])


@pytest.mark.parametrize("name", CONFIGS)
def test_decoding_is_the_forward_pass(name):
  source, mask = jnp.asarray(SOURCE), jnp.asarray(MASK)
  full = lambda model, tokens, sentences: model(source[sentences], tokens, mask[sentences]).logits()
  check_decoding(network(name), full, {"inputs": source, "lengths": jnp.asarray(LENGTHS)}, vocab_size=VOCAB)


def test_one_table_or_two():
  _, params = network("relative")
  tables = {"target_embedding", "source_embedding"} & {name for name, part in params.items() if "tokens" in part}
  assert len(tables) == 1 and "head" not in params
  _, params = network("learned")
  assert params["source_embedding"]["tokens"]["embedding"].shape == (17, 16)
  assert params["target_embedding"]["tokens"]["embedding"].shape == (VOCAB, 16)
  assert params["head"]["embedding"].shape == (VOCAB, 16) and params["output_bias"].shape == (VOCAB,)


def test_table_and_bias_of_the_scores():
  definition, params = network("learned")
  scores = compiled(lambda params: merge(definition, params, {})(jnp.asarray(SOURCE), jnp.asarray(TARGET)))(params)
  want = np.asarray(scores.hidden_BTD) @ np.asarray(params["head"]["embedding"]).T + np.asarray(params["output_bias"])
  np.testing.assert_allclose(run("learned", mask=np.ones_like(MASK)), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes,message", [
    ({"decoder": CONFIGS["learned"].encoder}, "decoder.block.cross must be True"),
    ({"encoder": dataclasses.replace(CONFIGS["learned"].encoder, causal=True)}, "encoder.causal False")])
def test_settings(changes, message):
  with pytest.raises(ConfigError, match=message):
    dataclasses.replace(CONFIGS["learned"], **changes)


def test_texts_that_are_too_long():
  for shapes in ((13, 2), (2, 13)):
    inputs = tuple(jax.ShapeDtypeStruct((1, n), "int32") for n in shapes)
    with pytest.raises(ConfigError, match="max_length=12: inputs have 13 positions"):
      CONFIGS["learned"].build(inputs, VOCAB, nnx.Rngs(0))
