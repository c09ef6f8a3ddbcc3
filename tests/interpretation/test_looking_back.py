"""Attention to the source, read off a network from outside."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research.interpretation.looking_back import looked_at
from research.interpretation.rewriting import NotThere
from research.models import marian
from research.training.state import merge, split


# Fewer, as many and more than in the source, and a multiple.
@pytest.mark.parametrize("length, scan", [(3, True), (4, False), (8, True)])
def test_the_last_layer_but_one_is_read(length, scan):
  config = marian.make(dim=16, num_layers=3, num_heads=2, mlp_dim=16)
  stacks = {name: dataclasses.replace(getattr(config, name), scan=scan) for name in ("encoder", "decoder")}
  config = dataclasses.replace(config, **stacks)
  spec = jax.ShapeDtypeStruct((2, 4), "int32"), jax.ShapeDtypeStruct((2, length), "int32")
  model = config.build(spec, 11, nnx.Rngs(0))
  source, mask = jnp.array([[5, 6, 7, 8], [9, 4, 0, 0]]), jnp.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)
  targets = jax.random.randint(jax.random.key(1), (2, length), 1, 11)
  definition, params, buffers = split(model)
  forward = lambda params: lambda targets: merge(definition, params, buffers)(source, targets, mask).logits()
  look = jax.jit(lambda params: looked_at(forward(params), targets, 4))
  found = look(params)
  assert found.shape == (2, length, 4)
  np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
  assert not found[1, :, 2:].any()  # padding
  # Attention to keys that are all zero is even.
  even = jnp.where(mask, 1 / mask.sum(1, keepdims=True), 0)[:, None]
  for layer, is_even in ((0, False), (1, True), (2, False)):
    keys = (model.decoder.layers if scan else model.decoder.layers[layer]).cross.key
    whole = keys.kernel[...]
    keys.kernel[...] = whole.at[layer].set(0) if scan else 0 * whole  # their bias is zero
    assert (np.abs(look(split(model)[1]) - even).max() < 1e-6) == is_even
    keys.kernel[...] = whole


def test_no_attention_is_said():
  with pytest.raises(NotThere, match="no attention to its source"):
    looked_at(lambda targets: targets * 2.0, jnp.ones((1, 2), "int32"), 3)
