"""Text encoders: padding, types, what each head sees."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_networks import compiled, random_network

from research.config import ConfigError
from research.models import bert, roberta
from research.training.state import merge

TOKENS = np.array([[3, 4, 5, 6, 7], [8, 9, 10, 2, 2]])
MASK = np.array([[True] * 5, [True] * 3 + [False] * 2])
TYPES = np.array([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
HEADS = ("first", "mean", "each", "tokens")


def config(head):
  return bert.make(bert.Config, vocab_size=11, dim=16, num_layers=2, num_heads=2, mlp_dim=20, max_length=8, head=head)


@functools.cache
def network(head):
  return random_network(config(head), 11 if head == "tokens" else 3)


@functools.cache
def runner(head):
  definition, _ = network(head)

  def run(params, tokens, types):
    model = merge(definition, params, {})
    mask = jnp.asarray(MASK)
    out = model(tokens, mask, types_BT=types)
    return out.logits() if head == "tokens" else out, model.tokens(tokens, mask, types_BT=types)

  return compiled(run)


def run(head, tokens=TOKENS, types=TYPES):
  return [np.asarray(x) for x in runner(head)(network(head)[1], jnp.asarray(tokens), jnp.asarray(types))]


@pytest.mark.parametrize("head", HEADS)
def test_padding_changes_nothing(head):
  plain, other = run(head)[0], run(head, tokens=np.where(MASK, TOKENS, 1))[0]
  np.testing.assert_array_equal(*((x[MASK] if head in ("each", "tokens") else x) for x in (plain, other)))
  assert np.all(run(head, tokens=np.where(TOKENS == 5, 1, TOKENS))[0][0] != plain[0])  # while any other token does


def test_what_each_head_sees():
  logits, x_BTD = run("first")
  params = network("first")[1]
  y = np.tanh(x_BTD[:, 0] @ params["pooler"]["kernel"] + params["pooler"]["bias"])
  np.testing.assert_allclose(logits, y @ params["head"]["kernel"] + params["head"]["bias"], rtol=1e-4, atol=1e-5)
  logits, x_BTD = run("mean")
  params = network("mean")[1]
  y = np.stack([x_BTD[0].mean(0), x_BTD[1, :3].mean(0)])
  np.testing.assert_allclose(logits, y @ params["head"]["kernel"] + params["head"]["bias"], rtol=1e-4, atol=1e-5)
  logits, x_BTD = run("each")
  params = network("each")[1]
  np.testing.assert_allclose(logits, x_BTD @ params["head"]["kernel"] + params["head"]["bias"], rtol=1e-4, atol=1e-5)


def test_types_move_their_own_positions_most():
  moved = np.abs(run("tokens", types=np.zeros_like(TYPES))[0] - run("tokens")[0]).max(-1)
  assert np.all(moved[0] > 0)  # an encoder sees both ways


def test_dropout_follows_its_key():
  still = dataclasses.replace(config("first"), pool_dropout=0.5, head_dropout=0.5)
  definition, _ = random_network(still, 3)
  run_with = compiled(lambda params, key: merge(definition, params, {})(jnp.asarray(TOKENS), jnp.asarray(MASK), key=key))
  params = network("first")[1]
  assert not np.allclose(run_with(params, jax.random.key(0)), run_with(params, jax.random.key(1)), atol=1e-3)


def test_settings():
  with pytest.raises(ConfigError, match="vocab_size=11: must be the number of outputs, 7, with head=tokens"):
    config("tokens").build(jax.ShapeDtypeStruct((1, 5), "int32"), 7, nnx.Rngs(0))
  with pytest.raises(ConfigError, match="max_length=8: inputs have 9 positions"):
    config("first").build(jax.ShapeDtypeStruct((1, 9), "int32"), 3, nnx.Rngs(0))
  with pytest.raises(ConfigError, match=r"pool_dropout=1\.0"):
    dataclasses.replace(config("first"), pool_dropout=1.0)
  with pytest.raises(ConfigError, match=r"encoder\.causal"):
    dataclasses.replace(config("first"), encoder=dataclasses.replace(config("first").encoder, causal=True))
  with pytest.raises(ConfigError, match=r"embedding\.max_length=512: Hugging Face's roberta"):
    roberta.to_huggingface(dataclasses.replace(roberta.roberta_base(), embedding=bert.bert_base().embedding), 11, {})
