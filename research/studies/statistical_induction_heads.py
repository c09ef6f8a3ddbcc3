"""In-context learning of Markov chains comes in phases: uniform, unigrams, bigrams (Edelman et al. 2024).

Shapes: B sequences, T positions, K states, D width.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.figures import Figure, Mark, Series
from research.optimizers.adam import Adam
from research.studies import scanned
from research.studies.base import Findings, Parts, Study

STRATEGIES = ("uniform", "unigram", "bigram")


@functools.partial(jax.jit, static_argnames=("num", "length", "num_states"))
def chains(key, num: int, length: int, num_states: int) -> jax.Array:
  """States (num, length): each row of a Markov chain of its own, with rows ~ Dirichlet(1), from its stationary distribution."""
  keys = jax.random.split(key, 2)
  rows_BKK = jax.random.dirichlet(keys[0], jnp.ones(num_states), (num, num_states))
  limits_BKK = jnp.cumsum(rows_BKK, axis=2)[..., :-1]
  start_BK = jnp.cumsum(jnp.linalg.matrix_power(rows_BKK, 64)[:, 0], axis=1)[:, :-1]
  chance_TB = jax.random.uniform(keys[1], (length, num))
  pick = lambda limits_BK, chance_B: jnp.sum(chance_B[:, None] > limits_BK, axis=1)

  def step(state_B, chance_B):
    state_B = pick(jnp.take_along_axis(limits_BKK, state_B[:, None, None], axis=1)[:, 0], chance_B)
    return state_B, state_B

  first_B = pick(start_BK, chance_TB[0])
  _, later_TB = jax.lax.scan(step, first_B, chance_TB[1:])
  return jnp.concatenate([first_B[None], later_TB]).T


@functools.partial(jax.jit, static_argnames="num_states")
def predictions(states_BT, num_states: int) -> dict[str, jax.Array]:
  """What each strategy says after each state, (B, T, K).

  "unigram" counts states so far, "bigram" what followed the present state so far; both count everything once more than it was
  seen, which makes the second the best answer under the prior.
  """
  one_BTK = jax.nn.one_hot(states_BT, num_states)
  followed_BTKK = jnp.pad(one_BTK[:, :-1, :, None] * one_BTK[:, 1:, None, :], ((0, 0), (1, 0), (0, 0), (0, 0)))
  unigram_BTK = jnp.cumsum(one_BTK, axis=1) + 1
  bigram_BTK = jnp.einsum("btkl,btk->btl", jnp.cumsum(followed_BTKK, axis=1), one_BTK) + 1
  share = lambda counts: counts / counts.sum(axis=2, keepdims=True)
  return {"uniform": jnp.full_like(one_BTK, 1 / num_states), "unigram": share(unigram_BTK), "bigram": share(bigram_BTK)}


def by_lag(scores_BTL) -> jax.Array:
  """Moves scores of lags T−1 … 0 to where they belong: out[t, s] is that of lag t−s; nonsense for s > t (Huang et al. 2018)."""
  batch, length, _ = scores_BTL.shape
  return jnp.pad(scores_BTL, ((0, 0), (0, 0), (1, 0))).reshape(batch, length + 1, length)[:, 1:]


def attend(params, states_BT) -> jax.Array:
  """Logits (B, T, K) of layers of attention alone, one head each, with relative positions in the keys (Shaw et al. 2018)."""
  x_BTD = params["embedding"][states_BT]
  mask = jnp.tril(jnp.ones((states_BT.shape[1],) * 2, bool))
  for layer in params["layers"]:
    u_BTD = _normalised(x_BTD, layer)
    q_BTD, k_BTD, v_BTD = (u_BTD @ layer[name] for name in ("query", "key", "value"))
    scores = jnp.einsum("btd,bsd->bts", q_BTD, k_BTD) + by_lag(q_BTD @ layer["lags"].T)
    weights = jax.nn.softmax(jnp.where(mask, scores / np.sqrt(q_BTD.shape[2]), -jnp.inf))
    x_BTD = x_BTD + (weights @ v_BTD) @ layer["out"]
  return _normalised(x_BTD, params) @ params["head"]


def _normalised(x, layer):
  return jax.nn.standardize(x, epsilon=1e-5) * layer["scale"] + layer["shift"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatisticalInductionHeads(Study):
  """Trains attention on fresh Markov chains, and compares its predictions with those of three strategies.

  Attributes:
    num_states: states of a chain (k).
    length: states of a sequence that something is predicted after.
    depths: layers, one run for each.
    dim: width.
    init_deviation: initial weights are N(0, ·²).
    optimizer: of all.
    batch_size: chains a step.
    steps: updates.
    early_step: the unigram phase must hold here.
    evaluate_every: updates between two measurements.
    num_test: chains that are tested on.
  """

  num_states: int = 3
  length: int = 100
  depths: tuple[int, ...] = (2, 1)
  dim: int = 32
  init_deviation: float = 0.02
  optimizer: Adam = Adam(learning_rate=3e-3)
  batch_size: int = 64
  steps: int = 300
  early_step: int = 100
  evaluate_every: int = 10
  num_test: int = 512

  def __post_init__(self):
    scanned.check_interval(self.steps, self.evaluate_every)
    scanned.check_interval(self.early_step, self.evaluate_every)

  def _initial(self, seed: int, depth: int):
    keys = iter(jax.random.split(jax.random.key(seed), 5 * depth + 2))
    normal = lambda *shape: self.init_deviation * jax.random.normal(next(keys), shape, float)
    unit = lambda: {"scale": jnp.ones(self.dim), "shift": jnp.zeros(self.dim)}
    layer = lambda: {**{name: normal(self.dim, self.dim) for name in ("query", "key", "value", "out")},
                     "lags": normal(self.length, self.dim), **unit()}
    return {"embedding": normal(self.num_states, self.dim), "layers": [layer() for _ in range(depth)],
            "head": normal(self.dim, self.num_states), **unit()}

  def _loss(self, key):
    def loss(params, step):
      states = chains(jax.random.fold_in(key, step), self.batch_size, self.length + 1, self.num_states)
      return optax.softmax_cross_entropy_with_integer_labels(attend(params, states[:, :-1]), states[:, 1:]).mean()

    return loss

  def objective(self, seed: int, data_dir=None):
    loss = self._loss(jax.random.key(seed))
    return lambda params: loss(params, 0), jax.tree.map(lambda p: 5 * p, self._initial(seed, self.depths[0]))

  def _train(self, seed: int, depth: int) -> scanned.Curves:
    tests = chains(jax.random.key(seed + 2_000), self.num_test, self.length, self.num_states)
    known = predictions(tests, self.num_states)

    def measure(params):
      said = jax.nn.log_softmax(attend(params, tests))
      return {name: jnp.mean(jnp.sum(p * (jnp.log(p) - said), axis=2)) for name, p in known.items()}

    return scanned.train(self._loss(jax.random.key(seed + 1_000)), self._initial(seed, depth), self.optimizer,
                         steps=self.steps, every=self.evaluate_every, measure=measure)[1]

  def measure(self, seed: int, parts: Parts) -> Findings:
    runs = parts.each("layers", self.depths, lambda depth: self._train(seed, depth))
    early, metrics, figures = self.early_step // self.evaluate_every, {}, []
    for depth, run in zip(self.depths, runs):
      for name in STRATEGIES:
        metrics |= {f"{name}_early_{depth}": run[name][early], f"{name}_late_{depth}": run[name][-1]}
      figures.append(Figure(
          f"Which strategy {depth} layer{'s follow' if depth > 1 else ' follows'}", "step", "KL(strategy ‖ network), nats",
          tuple(Series(name, run["step"], run[name]) for name in STRATEGIES), y_scale="log",
          marks=(Mark("y", 0.04, "follows it"), Mark("x", self.early_step, "early")),
          caption="Unigrams first; then, suddenly, bigrams." if depth > 1 else "One layer stays with unigrams."))
    return Findings(metrics=metrics, figures=tuple(figures))
