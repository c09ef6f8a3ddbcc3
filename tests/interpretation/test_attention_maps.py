"""The maps are those that the network itself uses."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from research.interpretation.attention_maps import attention_maps
from research.models import transformer
from research.nn.attention import causal_mask
from research.nn.transformer import BlockConfig


def test_maps_times_values_are_what_attention_gives():
  config = transformer.Config(num_layers=1, block=BlockConfig(dim=8, num_heads=2, mlp_dim=0), max_length=6)
  tokens = jax.random.randint(jax.random.key(0), (3, 6), 0, 5)
  model = config.build(jax.ShapeDtypeStruct(tokens.shape, tokens.dtype), 5, nnx.Rngs(0))
  model.embedding.embedding[...] *= 50  # attention that is not even
  [weights] = nnx.jit(attention_maps)(model, tokens)
  np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
  assert np.all(np.triu(weights, 1) == 0) and weights[:, :, -1].std() > 0.05
  x = model.blocks[0].attention_norm(model.embedding(tokens) + model.position_embedding(jnp.arange(6)))
  values = model.blocks[0].attention.value(x).reshape(3, 6, 2, 4)
  mixed = jnp.einsum("bhts,bshk->bthk", weights, values).reshape(3, 6, 8)
  np.testing.assert_allclose(model.blocks[0].attention.out(mixed), model.blocks[0].attention(x, causal_mask(6)), atol=1e-5)
