"""Recalling many pairs at once: attention does at any width, gated convolutions need width (Arora et al. 2024, Zoology).

Shapes: B sequences, T positions, P pairs, D width.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from research.config import ConfigError
from research.figures import Figure, Mark, Series
from research.models import transformer
from research.nn.transformer import BlockConfig
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.studies import scanned
from research.studies.base import Findings, Parts, Study

_SHORT = 3  # taps of the short filters
_DEVIATION = 0.02  # of initial weights, here and in the attention networks


@functools.partial(jax.jit, static_argnames=("num", "length", "vocab_size", "num_pairs", "power"))
def recall(key, num: int, length: int, vocab_size: int, num_pairs: int, power: float) -> tuple[jax.Array, jax.Array]:
  """Sequences of the multi-query associative recall task, and their answers (B, T): −1 where none is asked for.

  Keys and values alternate at the start, keys from the lower half of the vocabulary, values from the upper, none twice. Later
  each key comes again, at a place drawn with probability ∝ (place + 1)^(power − 1), and its value is to be said at once. The
  rest is token 0.
  """
  half, places = vocab_size // 2, (length - 2 * num_pairs) // 2
  weight = jnp.arange(1, places + 1) ** (power - 1.0)

  def one(key):
    keys = jax.random.split(key, 3)
    names = jax.random.choice(keys[0], jnp.arange(1, half), (num_pairs,), replace=False)
    values = jax.random.choice(keys[1], jnp.arange(half, vocab_size), (num_pairs,), replace=False)
    at = 2 * num_pairs + 2 * jax.random.choice(keys[2], places, (num_pairs,), replace=False, p=weight / weight.sum())
    pairs = jnp.stack([names, values], axis=1).ravel()
    tokens = jnp.zeros(length, jnp.int32).at[:2 * num_pairs].set(pairs).at[at].set(names)
    return tokens, jnp.full(length, -1).at[at].set(values)

  return jax.vmap(one)(jax.random.split(key, num))


def filtered(x_BTD, taps_KD) -> jax.Array:
  """Each dimension's own causal convolution: y[t] = Σₖ taps[k] x[t−k], K ≤ T."""
  length = x_BTD.shape[1]
  spectrum = jnp.fft.rfft(x_BTD, 2 * length, axis=1) * jnp.fft.rfft(taps_KD, 2 * length, axis=0)
  return jnp.fft.irfft(spectrum, 2 * length, axis=1)[:, :length]


def gated_convolutions(key, num_layers: int, dim: int, vocab_size: int, length: int) -> tuple[Callable, dict]:
  """Zoology's BaseConv layers, u + conv(u)·linear(u), filters short and long in turn; embeddings also give the answers.

  Returns params -> tokens (B, T) -> logits (B, T, V); and initial parameters.
  """
  keys = iter(jax.random.split(key, 2 * num_layers + 1))
  normal = lambda *shape: _DEVIATION * jax.random.normal(next(keys), shape)
  layer = lambda i: {"linear": normal(dim, dim), "bias": jnp.zeros(dim), "scale": jnp.ones(dim), "shift": jnp.zeros(dim),
                     "taps": normal(length if i % 2 else _SHORT, dim), "offset": jnp.zeros(dim)}
  params = {"embedding": normal(vocab_size, dim), "layers": [layer(i) for i in range(num_layers)],
            "scale": jnp.ones(dim), "shift": jnp.zeros(dim)}

  def apply(params, tokens_BT):
    x_BTD = params["embedding"][tokens_BT]
    for layer in params["layers"]:
      u_BTD = _normalised(x_BTD, layer)
      gate_BTD = u_BTD @ layer["linear"] + layer["bias"]
      x_BTD = x_BTD + u_BTD + gate_BTD * (filtered(u_BTD, layer["taps"]) + layer["offset"])
    return _normalised(x_BTD, params) @ params["embedding"].T

  return lambda params: lambda tokens_BT: apply(params, tokens_BT), params


def _normalised(x, layer):
  return jax.nn.standardize(x, epsilon=1e-5) * layer["scale"] + layer["shift"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MQARRecall(Study):
  """Trains attention of two widths, and gated convolutions of the smaller one, on fresh sequences.

  Attributes:
    vocab_size: tokens.
    length: tokens of a sequence.
    num_pairs: pairs in it.
    power: exponent of the gaps' distribution plus one; 1 would make them uniform.
    attention_dims: widths of the attention networks (two layers, one head, nothing between).
    convolution_dim: width of the gated convolutions.
    convolution_layers: their layers.
    optimizer: of all.
    batch_size: sequences a step.
    steps: updates at most; a run ends when `level` is reached.
    level: accuracy that counts as recall.
    evaluate_every: updates between two measurements.
    num_test: sequences that are tested on.
  """

  vocab_size: int = 256
  length: int = 64
  num_pairs: int = 8
  power: float = 0.01
  attention_dims: tuple[int, ...] = (64, 32)
  convolution_dim: int = 32
  convolution_layers: int = 4
  optimizer: AdamW = AdamW(learning_rate=1e-3, weight_decay=0.1, schedule=Cosine())
  batch_size: int = 256
  steps: int = 2_750
  level: float = 0.99
  evaluate_every: int = 50
  num_test: int = 512

  def __post_init__(self):
    scanned.check_interval(self.steps, self.evaluate_every)
    if self.length < 4 * self.num_pairs or self.num_pairs >= self.vocab_size // 2:
      raise ConfigError(f"num_pairs={self.num_pairs}: too many for length={self.length} or vocab_size={self.vocab_size}")

  def _train(self, seed: int, network, params) -> scanned.Curves:
    draw = lambda key, num: recall(key, num, self.length, self.vocab_size, self.num_pairs, self.power)
    key = jax.random.key(seed + 1_000)
    tests, wanted = draw(jax.random.key(seed + 2_000), self.num_test)

    def loss(params, step):
      tokens, answers = draw(jax.random.fold_in(key, step), self.batch_size)
      each = optax.softmax_cross_entropy_with_integer_labels(network(params)(tokens), jnp.maximum(answers, 0))
      return jnp.sum(each * (answers >= 0)) / jnp.sum(answers >= 0)

    def measure(params):
      right = (jnp.argmax(network(params)(tests), axis=2) == wanted) & (wanted >= 0)
      return {"accuracy": jnp.sum(right) / jnp.sum(wanted >= 0)}

    return scanned.train(loss, params, self.optimizer, steps=self.steps, every=self.evaluate_every, measure=measure,
                         until=lambda found: bool(found["accuracy"] >= self.level))[1]

  def _run(self, seed: int, member: str) -> scanned.Curves:
    if member == "convolution":
      network, params = gated_convolutions(jax.random.key(seed), self.convolution_layers, self.convolution_dim, self.vocab_size,
                                           self.length)
      return self._train(seed, network, params)
    dim = int(member.removeprefix("attention_"))
    block = scanned.gpt2(BlockConfig(dim=dim, num_heads=1, mlp_dim=0), 2)
    config = transformer.Config(num_layers=2, block=block, max_length=self.length, tied=True)
    inputs = jax.ShapeDtypeStruct((self.batch_size, self.length), jnp.int32)
    network, params = scanned.build(config, inputs, self.vocab_size, seed)
    return self._train(seed, network, params)

  def measure(self, seed: int, parts: Parts) -> Findings:
    members = [*(f"attention_{dim}" for dim in self.attention_dims), "convolution"]
    labels = [*(f"attention, width {dim}" for dim in self.attention_dims), f"gated convolutions, width {self.convolution_dim}"]
    runs = parts.each("network", members, lambda member: self._run(seed, member))
    return Findings(
        metrics={name: value for member, run in zip(members, runs)
                 for name, value in ((f"{member}_accuracy", run["accuracy"][-1]), (f"{member}_steps", run["step"][-1]))},
        figures=(Figure(
            "Recall", "step", "accuracy of the values asked for",
            tuple(Series(label, run["step"], run["accuracy"]) for label, run in zip(labels, runs)),
            marks=(Mark("y", 0.99, "attention ≥"), Mark("y", 0.5, "convolutions ≤")),
            caption="Attention looks a pair up, whatever its width; filters, the same for each input, must carry all."),))
