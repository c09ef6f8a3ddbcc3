"""How good features are, judged without training the network: nearest neighbours, ridge and logistic regression.

All take features (N, D) as arrays and labels (N,) as integers. N training examples, M others, D features, C classes.
Memory beyond the features stays bounded: they are worked on in blocks.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

_BLOCK = 1 << 24  # numbers of a block's largest array: 64 MiB


def accuracy(predictions_M: np.ndarray, labels_M: np.ndarray) -> float:
  return float(np.mean(predictions_M == labels_M))


def nearest_neighbours(train_ND: np.ndarray, labels_N: np.ndarray, test_MD: np.ndarray, *, num_classes: int, k: int = 20,
                       temperature: float | None = 0.07) -> np.ndarray:
  """Predictions (M,) by the k nearest in cosine similarity.

  Args:
    train_ND: features of the neighbours.
    labels_N: their classes.
    test_MD: features of what is to be classified.
    num_classes: classes.
    k: neighbours; all of them where there are fewer.
    temperature: votes count exp(similarity / temperature) (Wu et al. 2018, equation 8; Caron et al. 2021); None: one each. Of
      classes with equal votes the first is taken.
  """
  k = min(k, len(train_ND))
  neighbours_ND, classes_N = _unit(jnp.asarray(train_ND)), jnp.asarray(labels_N)

  @jax.jit
  def classify(block_BD, neighbours_ND, classes_N):
    similarity_BN = jnp.matmul(_unit(block_BD), neighbours_ND.T, precision="highest")
    nearest_Bk, at_Bk = jax.lax.top_k(similarity_BN, k)
    # From the nearest one's: exp of the similarities themselves would overflow at a small temperature.
    vote_Bk = jnp.ones_like(nearest_Bk) if temperature is None else jnp.exp((nearest_Bk - nearest_Bk[:, :1]) / temperature)
    votes_BC = jax.vmap(lambda at, vote: jnp.zeros(num_classes, vote.dtype).at[at].add(vote))(classes_N[at_Bk], vote_Bk)
    return jnp.argmax(votes_BC, axis=1)

  size = max(1, min(len(test_MD), _BLOCK // len(train_ND)))
  blocks = (_padded(test_MD[at:at + size], size) for at in range(0, len(test_MD), size))
  return np.concatenate([np.asarray(classify(block, neighbours_ND, classes_N)) for block in blocks])[:len(test_MD)]


def _unit(x):
  return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _padded(x: np.ndarray, size: int) -> np.ndarray:
  return x if len(x) == size else np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])


# --- linear probes ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Linear:
  """A linear classifier: argmax of features @ kernel (D, C) + bias (C,)."""

  kernel: np.ndarray
  bias: np.ndarray

  def predict(self, features_MD: np.ndarray) -> np.ndarray:
    size = max(1, _BLOCK // max(self.kernel.shape))
    blocks = (features_MD[at:at + size] for at in range(0, len(features_MD), size))
    return np.concatenate([np.argmax(block @ self.kernel + self.bias, axis=1) for block in blocks])


# The penalties that are tried, the strongest first, so that the others can start where it ended.
PENALTIES = tuple(10.0 ** (half / 2) for half in range(4, -13, -1))


def probe(fit: Callable[[np.ndarray, np.ndarray, int, Sequence[float]], list[Linear]],
          train: tuple[np.ndarray, np.ndarray], valid: tuple[np.ndarray, np.ndarray], *, num_classes: int,
          penalties: Sequence[float] = PENALTIES) -> tuple[Linear, float]:
  """The linear classifier whose penalty is best on validation data, fitted again on both (Kornblith et al. 2019).

  Args:
    fit: `ridge` or `logistic`.
    train: features (N, D) and labels (N,).
    valid: features and labels on which the penalty is chosen; of equally good ones the strongest.
    num_classes: classes.
    penalties: what is tried.

  Returns:
    The classifier and its penalty.
  """
  penalties = sorted(penalties, reverse=True)
  fitted = fit(*train, num_classes, penalties)
  best = int(np.argmax([accuracy(linear.predict(valid[0]), valid[1]) for linear in fitted]))
  both = [np.concatenate(parts) for parts in zip(train, valid, strict=True)]
  return fit(both[0], both[1], num_classes, penalties[:best + 1])[-1], penalties[best]


def ridge(features_ND: np.ndarray, labels_N: np.ndarray, num_classes: int, penalties: Sequence[float]) -> list[Linear]:
  """Least squares to targets ±1: minimises mean ‖Wᵀx + b − y‖² + penalty · ‖W‖², for each penalty above 0.

  In float64 from sums over blocks and one eigendecomposition for all penalties: small penalties need the digits.
  """
  num, dim = features_ND.shape
  mean_D = features_ND.mean(0, dtype=np.float64)
  gram_DD, cross_DC = np.zeros((dim, dim)), np.zeros((dim, num_classes))
  size = max(1, _BLOCK // max(dim, num_classes))
  mean_C = 2 * np.bincount(labels_N, minlength=num_classes) / num - 1
  for at in range(0, num, size):
    block = features_ND[at:at + size] - mean_D
    gram_DD += block.T @ block
    cross_DC += block.T @ (2 * np.eye(num_classes)[labels_N[at:at + size]] - 1 - mean_C)
  values_D, vectors_DD = np.linalg.eigh(gram_DD / num)
  turned_DC = vectors_DD.T @ cross_DC / num
  kernels = (vectors_DD @ (turned_DC / (np.maximum(values_D, 0) + penalty)[:, None]) for penalty in penalties)
  return [Linear(kernel, mean_C - mean_D @ kernel) for kernel in kernels]


def logistic(features_ND: np.ndarray, labels_N: np.ndarray, num_classes: int, penalties: Sequence[float], *,
             max_steps: int = 1000, tolerance: float = 1e-5) -> list[Linear]:
  """Multinomial logistic regression on standardised features: minimises mean cross-entropy + penalty/2 · ‖W‖².

  L-BFGS until no entry of the gradient is above the tolerance. The penalties are taken in their order, each from where the one
  before ended. scikit-learn's C is 1 / (N · penalty), on features of mean 0 and variance 1.
  """
  num, dim = features_ND.shape
  mean_D, scale_D = features_ND.mean(0, dtype=np.float64), features_ND.std(0, dtype=np.float64)
  scale_D = np.where(scale_D > 0, scale_D, 1)
  standard_ND = ((features_ND - mean_D) / scale_D).astype(features_ND.dtype)
  size = max(1, min(num, _BLOCK // max(dim, num_classes)))
  num_blocks = math.ceil(num / size)
  whole = lambda x: jnp.asarray(_padded(x, num_blocks * size)).reshape(num_blocks, size, *x.shape[1:])
  blocks = whole(standard_ND), whole(labels_N), whole(np.ones(num, standard_ND.dtype))

  weights = {"kernel": jnp.zeros((dim, num_classes), standard_ND.dtype), "bias": jnp.zeros(num_classes, standard_ND.dtype)}
  found = []
  for penalty in penalties:
    weights = _solve(weights, blocks, num, penalty, max_steps, tolerance)
    kernel, bias = (np.asarray(weights[name], np.float64) for name in ("kernel", "bias"))
    found.append(Linear(kernel / scale_D[:, None], bias - mean_D / scale_D @ kernel))
  return found


@jax.jit
def _solve(weights, blocks, num, penalty, max_steps, tolerance):
  """L-BFGS from `weights`; blocks of features, labels and ones, with zeros in place of the last for padding."""

  @jax.checkpoint  # so that the gradient keeps no block's logits
  def block_loss(weights, features_BD, labels_B, real_B):
    logits = jnp.matmul(features_BD, weights["kernel"], precision="highest") + weights["bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels_B) @ real_B

  def loss(weights):
    add = lambda total, block: (total + block_loss(weights, *block), None)
    total, _ = jax.lax.scan(add, jnp.zeros_like(weights["bias"][0]), blocks)
    return total / num + penalty / 2 * jnp.sum(weights["kernel"] ** 2)

  solver, value_and_grad = optax.lbfgs(), optax.value_and_grad_from_state(loss)

  def step(carry):
    weights, state, count, _ = carry
    value, gradient = value_and_grad(weights, state=state)
    updates, state = solver.update(gradient, state, weights, value=value, grad=gradient, value_fn=loss)
    return optax.apply_updates(weights, updates), state, count + 1, optax.tree.norm(gradient, ord=jnp.inf)

  going_on = lambda carry: (carry[2] < max_steps) & ~(carry[3] < tolerance)
  return jax.lax.while_loop(going_on, step, (weights, solver.init(weights), 0, jnp.full_like(weights["bias"][0], jnp.inf)))[0]
