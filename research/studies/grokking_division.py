"""A small Transformer memorises half of a division table, and understands the other half much later (Power et al. 2022)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.config import ConfigError
from research.figures import Figure, Mark, Series
from research.models import transformer
from research.nn.transformer import BlockConfig
from research.optimizers.adamw import AdamW
from research.studies import scanned
from research.studies.base import Findings, Parts, Study

_MODEL = transformer.Config(num_layers=2, max_length=4, pool="last",
                            block=scanned.gpt2(BlockConfig(dim=128, num_heads=4, mlp_dim=512, activation="relu"), 2))


def table(prime: int) -> tuple[np.ndarray, np.ndarray]:
  """All of `a ∘ b =`, b not 0, as tokens (P(P−1), 4), and the c with c·b = a modulo the prime P.

  A number is its own token; P is the operation, P+1 the sign of equality.
  """
  c, b = (x.ravel() for x in np.meshgrid(np.arange(prime), np.arange(1, prime), indexing="ij"))
  signs = np.full((2, len(c)), [[prime], [prime + 1]])
  return np.stack([c * b % prime, signs[0], b, signs[1]], axis=1), c


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrokkingDivision(Study):
  """Trains on a random half of the table, with weight decay until the other half is known, and without.

  Attributes:
    prime: the numbers are 0 to prime−1.
    train_share: share of the table to train on.
    model: the network; it answers at the last position.
    optimizer: of the run that should generalise; the other has its weight decay set to 0.
    batch_size: examples a step, drawn without replacement.
    steps: updates at most; a run ends when `level` is reached.
    steps_without_decay: updates of the run without weight decay.
    evaluate_every: updates between two measurements.
    level: accuracy that counts as learnt.
  """

  prime: int = 97
  train_share: float = 0.5
  model: transformer.Config = _MODEL
  optimizer: AdamW = AdamW(learning_rate=1e-3, b2=0.98, weight_decay=1.0)
  batch_size: int = 512
  steps: int = 6_000
  steps_without_decay: int = 3_000
  evaluate_every: int = 100
  level: float = 0.99

  def __post_init__(self):
    for steps in (self.steps, self.steps_without_decay):
      scanned.check_interval(steps, self.evaluate_every)
    if not 0 < self.train_share < 1 or self.batch_size > self.train_share * self.prime * (self.prime - 1):
      raise ConfigError(f"train_share={self.train_share}: must be below 1, and hold a batch of batch_size={self.batch_size}")

  def _train(self, seed: int, decays: bool) -> scanned.Curves:
    tokens, answers = table(self.prime)
    train, test = np.split(np.random.default_rng(seed).permutation(len(tokens)), [round(self.train_share * len(tokens))])
    train, key = jnp.asarray(train), jax.random.key(seed + 1_000)
    tokens, answers = jnp.asarray(tokens), jnp.asarray(answers)
    inputs = jax.ShapeDtypeStruct((self.batch_size, tokens.shape[1]), tokens.dtype)
    model = dataclasses.replace(self.model, vocab_size=self.prime + 2)
    network, params = scanned.build(model, inputs, self.prime, seed)

    def loss(params, step):
      batch = jax.random.choice(jax.random.fold_in(key, step), train, (self.batch_size,), replace=False)
      return optax.softmax_cross_entropy_with_integer_labels(network(params)(tokens[batch]), answers[batch]).mean()

    def measure(params):
      right = lambda at: jnp.mean(jnp.argmax(network(params)(tokens[at]), axis=1) == answers[at])
      return {"train": right(train), "test": right(test)}

    optimizer = self.optimizer if decays else dataclasses.replace(self.optimizer, weight_decay=0.0)
    return scanned.train(loss, params, optimizer, steps=self.steps if decays else self.steps_without_decay,
                         every=self.evaluate_every, measure=measure, until=lambda found: bool(found["test"] >= self.level))[1]

  def measure(self, seed: int, parts: Parts) -> Findings:
    kinds = {"with weight decay": True, "without": False}
    runs = dict(zip(kinds, parts.each("run", kinds, lambda kind: self._train(seed, kinds[kind]))))
    runs = {kind: {name: np.asarray(curve) for name, curve in run.items()} for kind, run in runs.items()}
    decayed, plain = runs["with weight decay"], runs["without"]
    memorised, learnt = (scanned.first_step(decayed, part, self.level) for part in ("train", "test"))
    return Findings(
        metrics={"best_accuracy": decayed["test"].max(), "train_steps": memorised, "test_steps": learnt,
                 "delay": learnt / memorised, "accuracy_without_decay": plain["test"].max(),
                 "train_accuracy_without_decay": plain["train"].max()},
        figures=(Figure(
            "Accuracy", "step", "accuracy", x_scale="log", marks=(Mark("y", self.level, "learnt"),),
            # The first measurement is at step 0, where a logarithm has no place.
            series=tuple(Series(f"{name} half, {kind}", run["step"][1:], run[part][1:]) for kind, run in runs.items()
                         for part, name in (("train", "trained"), ("test", "other"))),
            caption="The trained half is known at once. The other half follows, late and suddenly, where weights decay."),))
