"""Small Transformers learn to add from fewer sums if the answer comes with its last digit first (Lee et al. 2024).

Lee, Sreenivasan, Lee, Lee, Papailiopoulos 2024, "Teaching arithmetic to small Transformers".

Shapes: N sums, B windows, T positions; a token is the ASCII code of a character.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.config import ConfigError, Duration
from research.figures import Figure, Mark, Series
from research.models import transformer
from research.nn.transformer import BlockConfig
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.studies import scanned
from research.studies.base import Findings, Parts, Study

_ASCII = 128
_FORMATS = {"plain": False, "reversed": True}
_MODEL = transformer.Config(
    num_layers=6, max_length=256, tied=True,
    block=scanned.gpt2(BlockConfig(dim=384, num_heads=6, mlp_dim=1536, bias=False, activation="gelu_tanh", dropout=0.2), 6))
_OPTIMIZER = AdamW(learning_rate=1e-3, b2=0.99, weight_decay=0.1, clip_norm=1.0,
                   penalty_rules=((".*/(kernel|embedding)", 1.0), (".*", 0.0)),
                   schedule=Cosine(warmup=Duration(100), final=0.1))


def carries(pairs_N2) -> np.ndarray:
  """How many columns carry (N,) when two numbers are added: each takes 9 from the sum of the digits."""
  digits = lambda x: sum(x // 10**place % 10 for place in range(19))
  left, right = np.moveaxis(np.asarray(pairs_N2, np.int64), -1, 0)
  return (digits(left) + digits(right) - digits(left + right)) // 9


def balanced(num: int, num_digits: int, rng: np.random.Generator) -> np.ndarray:
  """Pairs of numbers (num, 2), of few digits and of many carries more often than chance has them, as the authors draw them.

  All 100 of one digit; a share of .09 from below 100, and of each further length; the rest from below 10^num_digits. Of each
  number of carries there are at most num/(num_digits + 1).
  """
  most = math.ceil(num / (num_digits + 1))
  found = [np.stack(np.divmod(np.arange(100), 10), axis=1)]
  counts = np.bincount(carries(found[0]), minlength=num_digits + 1)
  between = [int(0.09 * num)] * (num_digits - 2)
  for length, wanted in enumerate([*between, num - 100 - sum(between)], 2):
    taken = []
    while len(taken) < wanted:
      pairs = rng.integers(10**length, size=(wanted, 2))
      for pair, carried in zip(pairs, carries(pairs)):
        if len(taken) < wanted and counts[carried] < most:
          counts[carried] += 1
          taken.append(pair)
    found.append(np.stack(taken))
  return np.concatenate(found)


def others(pairs_N2: np.ndarray, num: int, num_digits: int, rng: np.random.Generator) -> np.ndarray:
  """So many further pairs of numbers below 10^num_digits, all different, drawn evenly."""
  numbers = 10**num_digits
  rest = np.setdiff1d(np.arange(numbers**2), pairs_N2 @ [numbers, 1])
  return np.stack(np.divmod(rng.permutation(rest)[:num], numbers), axis=1)


def written(pairs_N2: np.ndarray, backwards: bool) -> list[str]:
  """A line for each sum: "128+367=495", or "$128+367=594$"."""
  if backwards:
    return [f"${a}+{b}={str(a + b)[::-1]}$\n" for a, b in pairs_N2.tolist()]
  return [f"{a}+{b}={a + b}\n" for a, b in pairs_N2.tolist()]


def rows(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
  """Lines as tokens (N, T), filled up with 0, and which of these are an answer or end it: what comes after the equals sign."""
  length = max(map(len, lines))
  tokens_NT = np.array([np.frombuffer(line.ljust(length, "\0").encode(), np.uint8) for line in lines], np.int32)
  after_NT = np.cumsum(tokens_NT == ord("="), axis=1) > 0
  return tokens_NT, after_NT & (tokens_NT != ord("=")) & (tokens_NT != 0)


def exact(network, tokens_NT, answer_NT) -> jax.Array:
  """Whether greedy decoding after the equals sign writes each line to its end (N,).

  It does if and only if every token of the answer is the likeliest after the true ones before it, which one pass shows.
  """
  likeliest_NT = jnp.argmax(network(tokens_NT[:, :-1]), axis=2)
  return jnp.all((likeliest_NT == tokens_NT[:, 1:]) | ~answer_NT[:, 1:], axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReversedAddition(Study):
  """Trains a small GPT on the same sums in either format, as one long text, and lets it write sums that are not in it.

  Attributes:
    num_digits: of the numbers, at most.
    num_train: sums to train on.
    num_test: sums that are tested on.
    model: the network; windows are as long as it takes.
    optimizer: of both runs.
    batch_size: windows a step, from anywhere in the text.
    plain_steps: updates with answers as people write them.
    reversed_steps: updates with answers written backwards; the authors train half as long.
    evaluate_every: updates between two measurements.
  """

  num_digits: int = 3
  num_train: int = 10_000
  num_test: int = 10_000
  model: transformer.Config = _MODEL
  optimizer: AdamW = _OPTIMIZER
  batch_size: int = 256
  plain_steps: int = 10_000
  reversed_steps: int = 5_000
  evaluate_every: int = 500

  def __post_init__(self):
    for steps in (self.plain_steps, self.reversed_steps):
      scanned.check_interval(steps, self.evaluate_every)
    if not 2 <= self.num_digits <= 3:
      raise ConfigError(f"num_digits={self.num_digits}: must be 2 or 3")
    if self.num_train < 200 or self.num_test < 1 or self.num_train + self.num_test > 100**self.num_digits:
      raise ConfigError(f"num_train={self.num_train}, num_test={self.num_test}: must be at least 200 and 1, and together at "
                        f"most {100**self.num_digits}, the sums that there are")

  def _train(self, seed: int, backwards: bool) -> scanned.Curves:
    rng, length = np.random.default_rng(seed), self.model.max_length
    pairs = balanced(self.num_train, self.num_digits, rng)
    tests = others(pairs, self.num_test, self.num_digits, rng)
    text = "".join(written(rng.permutation(pairs), backwards))
    stream = jnp.asarray(np.frombuffer(text.encode(), np.uint8).astype(np.int32))
    tokens_NT, answer_NT = rows(written(tests, backwards))
    inputs = jax.ShapeDtypeStruct((self.batch_size, length), jnp.int32)
    network, params = scanned.build(self.model, inputs, _ASCII, seed)
    key = jax.random.key(seed + 1_000)

    def loss(params, step):
      place_key, dropout_key = jax.random.split(jax.random.fold_in(key, step))
      starts_B1 = jax.random.randint(place_key, (self.batch_size, 1), 0, len(stream) - length)
      window_BT = stream[starts_B1 + jnp.arange(length + 1)]
      logits_BTV = network(params)(window_BT[:, :-1], key=dropout_key)
      return optax.softmax_cross_entropy_with_integer_labels(logits_BTV, window_BT[:, 1:]).mean()

    return scanned.train(
        loss, params, self.optimizer, steps=self.reversed_steps if backwards else self.plain_steps, every=self.evaluate_every,
        measure=lambda params: {"exact": exact(network(params), tokens_NT, answer_NT).mean()})[1]

  def measure(self, seed: int, parts: Parts) -> Findings:
    runs = dict(zip(_FORMATS, parts.each("format", _FORMATS, lambda name: self._train(seed, _FORMATS[name]))))
    last = {name: run["exact"][-1] for name, run in runs.items()}
    return Findings(
        metrics={**{f"{name}_exact": value for name, value in last.items()}, "gap": last["reversed"] - last["plain"]},
        signatures=dict.fromkeys((f"{name}_exact" for name in _FORMATS), "whole answer with its end|greedy"),
        figures=(Figure(
            "Sums that are right to the last digit", "step", "share of the test sums",
            tuple(Series(name, run["step"], run["exact"]) for name, run in runs.items()),
            marks=(Mark("y", 0.95, "reversed ≥"),),
            caption="Backwards each digit follows from two digits and a carry; forwards the first needs all of them."),))
