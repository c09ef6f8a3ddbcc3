"""Induction heads: two layers of attention learn to continue what they saw before, one layer does not (Olsson et al. 2022).

Shapes: B sequences, T positions, H heads.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.config import ConfigError
from research.figures import Figure, Mark, Series
from research.interpretation.attention_maps import attention_maps
from research.models import transformer
from research.nn.transformer import BlockConfig
from research.optimizers.adamw import AdamW
from research.studies import scanned
from research.studies.base import Findings, Parts, Study


@functools.partial(jax.jit, static_argnames=("num", "length", "vocab_size", "periods"))
def repeated(key, num: int, length: int, vocab_size: int, periods: tuple[int, int]) -> jax.Array:
  """Random tokens (num, length), each row repeated from its own random period on; periods from the first to the last."""
  period_key, token_key = jax.random.split(key)
  period_B = jax.random.randint(period_key, (num, 1), periods[0], periods[1] + 1)
  tokens = jax.random.randint(token_key, (num, periods[1]), 0, vocab_size)
  return jnp.take_along_axis(tokens, jnp.arange(length) % period_B, axis=1)


def prefix_match(weights_BHTT, tokens_BT, start: int) -> jax.Array:
  """Attention (H,) to tokens that came after earlier occurrences of the present one; mean over positions from `start` on."""
  before_BT = jnp.pad(tokens_BT[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
  after_BTT = before_BT[:, None, :] == tokens_BT[:, :, None]
  return jnp.mean(jnp.sum(weights_BHTT * after_BTT[:, None], axis=3)[:, :, start:], axis=(0, 2))


def previous_token(weights_BHTT) -> jax.Array:
  """Attention (H,) to the position before; mean over positions that have one."""
  return jnp.mean(jnp.diagonal(weights_BHTT, -1, axis1=2, axis2=3), axis=(0, 2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class InductionHeads(Study):
  """Trains attention-only Transformers on repeated random sequences, and looks where their heads look.

  Attributes:
    depths: layers, one run for each.
    dim: width of the model.
    num_heads: heads of a layer.
    vocab_size: tokens.
    length: tokens of a sequence.
    periods: a sequence repeats itself after a random number of tokens between these. A single period one layer could learn
      by position.
    optimizer: of all.
    batch_size: fresh sequences a step.
    steps: updates.
    evaluate_every: updates between two measurements.
    num_test: sequences that are tested on.
  """

  depths: tuple[int, ...] = (2, 1)
  dim: int = 64
  num_heads: int = 4
  vocab_size: int = 64
  length: int = 48
  periods: tuple[int, int] = (8, 24)
  optimizer: AdamW = AdamW(learning_rate=1e-3)
  batch_size: int = 32
  steps: int = 3_000
  evaluate_every: int = 100
  num_test: int = 256

  def __post_init__(self):
    scanned.check_interval(self.steps, self.evaluate_every)
    if not 0 < self.periods[0] <= self.periods[1] <= self.length // 2:
      raise ConfigError(f"periods={self.periods}: the second half of length={self.length} must be a repetition")

  def _train(self, seed: int, depth: int) -> scanned.Curves:
    draw = lambda key, num: repeated(key, num, self.length, self.vocab_size, self.periods)
    key, half = jax.random.key(seed + 1_000), self.length // 2
    tests = draw(jax.random.fold_in(key, self.steps), self.num_test)
    block = scanned.gpt2(BlockConfig(dim=self.dim, num_heads=self.num_heads, mlp_dim=0), depth)
    config = transformer.Config(num_layers=depth, block=block, max_length=self.length)
    inputs = jax.ShapeDtypeStruct((self.batch_size, self.length - 1), jnp.int32)
    network, params = scanned.build(config, inputs, self.vocab_size, seed)

    def losses(params, tokens):
      return optax.softmax_cross_entropy_with_integer_labels(network(params)(tokens[:, :-1]), tokens[:, 1:])

    def measure(params):
      each = losses(params, tests)
      maps = attention_maps(network(params), tests)
      return {"second_half": each[:, half - 1:].mean(), "first_half": each[:, :half - 1].mean(),
              "prefix_match": jnp.max(jnp.stack([prefix_match(weights, tests, half) for weights in maps])),
              "previous_token": jnp.max(jnp.stack([previous_token(weights) for weights in maps]))}

    loss = lambda params, step: losses(params, draw(jax.random.fold_in(key, step), self.batch_size)).mean()
    return scanned.train(loss, params, self.optimizer, steps=self.steps, every=self.evaluate_every, measure=measure)[1]

  def measure(self, seed: int, parts: Parts) -> Findings:
    runs = dict(zip(self.depths, parts.each("layers", self.depths, lambda depth: self._train(seed, depth))))
    metrics = {f"{name}_{depth}": run[name][-1] for depth, run in runs.items()
               for name in ("second_half", "prefix_match", "previous_token")}
    name_of = lambda depth: f"{depth} layer{'s' if depth > 1 else ''}"
    curve = lambda what: tuple(Series(name_of(depth), run["step"], run[what]) for depth, run in runs.items())
    labels = {"prefix_match": "to what followed last time", "previous_token": "to the token before"}
    heads = tuple(Series(f"{label}, {name_of(depth)}", run["step"], run[name])
                  for depth, run in runs.items() for name, label in labels.items())
    return Findings(metrics=metrics, figures=(
        Figure("Loss where the sequence repeats itself", "step", "nats a token, second half", curve("second_half"),
               marks=(Mark("y", float(np.log(self.vocab_size)), "chance"), Mark("y", 0.1, "solved")),
               caption="Two layers fall suddenly to almost nothing; one layer cannot."),
        Figure("Where the best heads look", "step", "attention", heads,
               marks=(Mark("y", 0.7, "induction head"), Mark("y", 0.4, "previous-token head")),
               caption="The fall is when a head begins to look at what followed the token the last time.")))
