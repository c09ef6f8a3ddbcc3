"""When a network that writes what it hears heard each token: by its attention to the sound, read off from outside.

Shapes: B recordings, H heads, T tokens, S positions of the encoder.
"""

import jax
import jax.numpy as jnp

from research.decoding.time_warping import first_moments
from research.interpretation.looking_back import attention_to
from research.interpretation.rewriting import NotThere
from research.tasks.application import Heard

_WIDTH = 7  # positions of the median


def begins(heard: Heard) -> jax.Array:
  """The position of the encoder from which each token of a text is heard, and the one behind it, (B, text + 1), as OpenAI's
  Whisper times words: the weights of some heads, set against those that other tokens give the same position, smoothed,
  averaged, and the way through them that never goes back. 0 behind a text's end.

  Raises:
    NotThere: no attention to the sound can be seen, or it has no such head.
  """
  layers, before = attention_to(heard.forward, heard.tokens_BT, heard.num_positions), heard.before - 1
  heads = heard.heads or [(i, head) for i in range(len(layers) // 2, len(layers)) for head in range(layers[i].shape[1])]
  if wrong := [pair for pair in heads if pair[0] >= len(layers) or pair[1] >= layers[pair[0]].shape[1]]:
    raise NotThere(f"alignment_heads={wrong[0]}: the network has {len(layers)} layers of {layers[0].shape[1]} heads")
  weights_BHTS = jnp.stack([layers[layer][:, head] for layer, head in heads], 1).astype(jnp.float32)
  clear_BTS = _clear(weights_BHTS, heard.num_B, heard.positions_B).mean(1)
  # The weights of a token are those to what is said after it: of the text and its end from the last token before them on.
  return first_moments(-clear_BTS[:, before:-1], heard.num_B - before - 1, heard.positions_B)


def _clear(weights_BHTS, num_B, positions_B):
  """How much more than other tokens each looks at a position, by its median over the positions around."""
  num_tokens, num_positions = weights_BHTS.shape[2:]
  heard_BS = jnp.arange(num_positions) < positions_B[:, None]
  counts_BT1 = (jnp.arange(num_tokens) < num_B[:, None])[:, None, :, None]
  weights = jnp.where(heard_BS[:, None, None], weights_BHTS, 0)
  weights /= jnp.maximum(weights.sum(-1, keepdims=True), 1e-30)
  mean = jnp.where(counts_BT1, weights, 0).sum(2, keepdims=True) / num_B[:, None, None, None]
  variance = jnp.where(counts_BT1, (weights - mean) ** 2, 0).sum(2, keepdims=True) / num_B[:, None, None, None]
  return _median((weights - mean) / jnp.sqrt(jnp.maximum(variance, 1e-30)), positions_B)


def _median(x_BHTS, positions_B):
  """Of _WIDTH positions around each; at the ends of a recording they are mirrored."""
  last_B1, half = positions_B[:, None] - 1, _WIDTH // 2
  at_S, around = jnp.arange(x_BHTS.shape[3]), []
  for k in range(-half, half + 1):
    at_BS = jnp.abs(at_S + k)
    at_BS = jnp.clip(jnp.where(at_BS > last_B1, 2 * last_B1 - at_BS, at_BS), 0, last_B1)
    around.append(jnp.take_along_axis(x_BHTS, at_BS[:, None, None], 3))
  for end in range(_WIDTH - 1, half - 1, -1):  # the larger goes up, until the middle one is in its place
    for i in range(end):
      around[i], around[i + 1] = jnp.minimum(around[i], around[i + 1]), jnp.maximum(around[i], around[i + 1])
  return around[half]
