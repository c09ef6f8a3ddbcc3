"""From hidden vectors to a vocabulary: scores, and losses that never hold all of them.

Shapes: B examples, T positions, N positions of all examples, D model, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TokenScores:
  """What a language model says of the next token: hidden vectors, and the matrix that scores them, not yet multiplied.

  Attributes:
    hidden_BTD: the last layer's output.
    table_VD: a vector for each token.
    bias_V: added to the scores, or None.
  """

  hidden_BTD: jax.Array
  table_VD: jax.Array
  bias_V: jax.Array | None = None

  def logits(self) -> jax.Array:
    """(B, T, V), in float32 at least."""
    scores = _scores(self.hidden_BTD.reshape(-1, self.hidden_BTD.shape[-1]), self.table_VD, self.bias_V)
    return scores.reshape(*self.hidden_BTD.shape[:-1], -1)

  def losses(self, labels_BT: jax.Array, *, smoothing: float = 0.0, chunk: int = 0) -> tuple[jax.Array, ...]:
    """Cross-entropies in nats.

    Args:
      labels_BT: the tokens that come.
      smoothing: share of the probability that is spread evenly over the vocabulary.
      chunk: positions whose scores are held at once, and computed again in the backward pass; 0 for all, and once.

    Returns:
      The loss; -log p of the label, which is the same where nothing is smoothed; whether the label scored highest, of equals
      never. Each (B, T).
    """
    shape, dim = labels_BT.shape, self.hidden_BTD.shape[-1]
    hidden_ND, labels_N = self.hidden_BTD.reshape(-1, dim), labels_BT.reshape(-1)

    def of(hidden_ND, labels_N):
      logits_NV = _scores(hidden_ND, self.table_VD, self.bias_V)
      nll_N, spread_N = _entropies(logits_NV, labels_N)
      label = jnp.take_along_axis(logits_NV, labels_N[:, None], 1)
      right = jnp.sum(~(logits_NV < label), -1) <= 1
      return (nll_N if not smoothing else (1 - smoothing) * nll_N + smoothing * spread_N), nll_N, right

    if not chunk or chunk >= labels_N.size:
      found = of(hidden_ND, labels_N)
    else:
      short = -labels_N.size % chunk
      parts = (jnp.pad(hidden_ND, ((0, short), (0, 0))).reshape(-1, chunk, dim),
               jnp.pad(labels_N, (0, short)).reshape(-1, chunk))
      found = jax.lax.map(jax.checkpoint(lambda part: of(*part), prevent_cse=False), parts)
      found = tuple(x.reshape(-1)[:labels_N.size] for x in found)
    return tuple(x.reshape(shape) for x in found)


def _scores(hidden_ND, table_VD, bias_V):
  wide = jnp.promote_types(hidden_ND.dtype, jnp.float32)
  scores = jnp.einsum("nd,vd->nv", hidden_ND, table_VD.astype(hidden_ND.dtype), preferred_element_type=wide)
  return scores if bias_V is None else scores + bias_V.astype(wide)


@jax.custom_vjp
def _entropies(logits_NV, labels_N):
  """-log p of the label, and the mean of -log p over the vocabulary."""
  return _entropies_forward(logits_NV, labels_N)[0]


def _entropies_forward(logits_NV, labels_N):
  total_N = jax.nn.logsumexp(logits_NV, -1)
  label_N = jnp.take_along_axis(logits_NV, labels_N[:, None], 1)[:, 0]
  return (total_N - label_N, total_N - jnp.mean(logits_NV, -1)), (logits_NV, total_N, labels_N)


def _entropies_backward(kept, cotangents):
  # In one pass over the scores: the gather's own derivative would be a scatter into as many zeros.
  (logits_NV, total_N, labels_N), (of_label, of_mean) = kept, cotangents
  p_NV = jnp.exp(logits_NV - total_N[:, None])
  is_label = jax.lax.broadcasted_iota(labels_N.dtype, logits_NV.shape, 1) == labels_N[:, None]
  return (p_NV * (of_label + of_mean)[:, None] - jnp.where(is_label, of_label[:, None], 0)
          - of_mean[:, None] / logits_NV.shape[-1]), None


_entropies.defvjp(_entropies_forward, _entropies_backward)
