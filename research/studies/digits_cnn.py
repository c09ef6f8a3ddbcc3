"""The small convolutional network on digits that several studies look into: its data, its training."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from research.data.digits import load_digits
from research.figures import Picture
from research.models import cnn
from research.training.state import merge, split

NUM_TRAIN, NUM_CLASSES = 1_297, 10
_SHAPE = (8, 8, 1)
_MODEL = cnn.Config(channels=(32, 64), kernels=(3, 3), strides=(1, 2), paddings=(1, 1), widths=(128,))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """How the network is made and trained.

  Attributes:
    model: the network.
    learning_rate: of Adam.
    batch_size: examples a step; what is left over of an epoch's order is not used in it.
  """

  model: cnn.Config = _MODEL
  learning_rate: float = 1e-3
  batch_size: int = 64

  def __post_init__(self):
    if not 1 <= self.batch_size <= NUM_TRAIN:
      raise ValueError(f"batch_size={self.batch_size}: must be 1 to {NUM_TRAIN}")


RECIPE = Recipe()


@dataclasses.dataclass(frozen=True)
class Digits:
  """Images (N, 8, 8, 1) float32 in 0..1 and labels (N,): 1,297 to train on, 500 to test."""

  images: np.ndarray
  labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray


def load() -> Digits:
  """The digits, split by one fixed permutation."""
  images, labels = load_digits()
  order = np.random.default_rng(0).permutation(len(images))
  images = (images / 16).astype(np.float32).reshape(-1, *_SHAPE)
  train, test = order[:NUM_TRAIN], order[NUM_TRAIN:]
  return Digits(images[train], labels[train], images[test], labels[test])


def random_labels(num: int, seed: int) -> np.ndarray:
  """Labels that say nothing: uniform, independent of the images."""
  return np.random.default_rng((seed, num)).integers(NUM_CLASSES, size=num)


def build(recipe: Recipe, seed: int) -> tuple[Callable, dict]:
  """Returns apply(params, images (B, 8, 8, 1)) -> logits (B, 10), and initial parameters."""
  inputs = jax.ShapeDtypeStruct((recipe.batch_size, *_SHAPE), jnp.float32)
  definition, params, buffers = split(recipe.model.build(inputs, NUM_CLASSES, nnx.Rngs(seed)))
  return (lambda params, images: merge(definition, params, buffers)(images)), params


def layers_from_the_top(recipe: Recipe) -> list[str]:
  """Parameter paths of the network's layers, the head first."""
  count_down = lambda name, items: [f"{name}/{i}" for i in reversed(range(len(items)))]
  return ["head", *count_down("layers", recipe.model.widths), *count_down("convolutions", recipe.model.channels)]


def loss(apply: Callable, params: dict, images: jax.typing.ArrayLike, labels: jax.typing.ArrayLike) -> jax.Array:
  """Mean cross-entropy."""
  return optax.softmax_cross_entropy_with_integer_labels(apply(params, images), labels).mean()


def train(recipe: Recipe, images: jax.Array | np.ndarray, labels: jax.Array | np.ndarray, *, seed: int,
          epochs: int) -> tuple[Callable, dict, np.ndarray]:
  """Trains by Adam, every epoch in a new order.

  Args:
    recipe: network and optimizer.
    images: (N, 8, 8, 1).
    labels: (N,).
    seed: of initial weights and orders.
    epochs: passes over the images.

  Returns:
    apply and parameters as from `build`, and the mean training loss of each epoch (epochs,).
  """
  apply, params = build(recipe, seed)
  optimizer = optax.adam(recipe.learning_rate)
  images, labels, key = jnp.asarray(images), jnp.asarray(labels), jax.random.key(seed)
  num_steps = len(images) // recipe.batch_size

  @jax.jit
  def step(params, state, batch):
    value, grads = jax.value_and_grad(lambda p: loss(apply, p, images[batch], labels[batch]))(params)
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state, value

  # Not one scan over the steps: inside a scan, XLA's convolution gradients are ten times slower on CPU.
  state, losses = optimizer.init(params), []
  for epoch in range(epochs):
    order = jax.random.permutation(jax.random.fold_in(key, epoch), len(images))
    for batch in order[:num_steps * recipe.batch_size].reshape(num_steps, -1):
      params, state, value = step(params, state, batch)
      losses.append(value)
  return apply, params, np.asarray(losses).reshape(epochs, -1).mean(-1)


def accuracy(apply: Callable, params: dict, images: np.ndarray, labels: np.ndarray) -> float:
  """The share of images whose largest logit is the label's."""
  return float(np.mean(np.argmax(jax.jit(apply)(params, images), -1) == labels))


def objective(recipe: Recipe, seed: int) -> tuple[Callable, dict]:
  """The loss on the first training batch, and parameters near the initial ones."""
  digits = load()
  apply, params = build(recipe, seed)
  images = jnp.asarray(digits.images[:recipe.batch_size], float)  # float64 where jax has it: gradients are checked there
  labels = digits.labels[:recipe.batch_size]
  # Where the image is black, a bias of zero puts relu exactly on its kink, where no derivative exists.
  near = jax.tree.map(lambda p: p + 0.01 * jax.random.normal(jax.random.key(seed), p.shape, p.dtype), params)
  return (lambda params: loss(apply, params, images, labels)), near


def picture(label: str, values) -> Picture:
  """|values| (8, 8) as an image large enough to be seen."""
  return Picture.of(label, np.kron(np.abs(np.reshape(values, _SHAPE[:2])), np.ones((6, 6))))
