"""A one-layer Transformer learns to add modulo a prime by a few waves, which show in it before it generalises.

Nanda, Chan, Lieberum, Smith, Steinhardt 2023, "Progress measures for grokking via mechanistic interpretability".

Shapes: P the prime, E pairs, T = 3 tokens of a pair, D width, H heads, K size of a head, M measurements, F frequencies 1 to
(P−1)/2: the waves cos(2πkn/P) and sin(2πkn/P) over the numbers n = 0 … P−1.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.config import ConfigError, Duration
from research.figures import Figure, Mark, Series
from research.nn.attention import attend
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Constant
from research.studies import scanned
from research.studies.base import Findings, Parts, Study


def initial(key, prime: int, dim: int, num_heads: int, mlp_dim: int) -> dict[str, jax.Array]:
  """The authors' initial weights: N(0, 1/dim) all, but N(0, 1/prime) the last layer's, and biases of 0."""
  keys = iter(jax.random.split(key, 9))
  normal = lambda *shape, over=dim: jax.random.normal(next(keys), shape, jnp.float32) / np.float32(np.sqrt(over))
  heads = (dim, num_heads, dim // num_heads)
  return {"embedding": normal(prime + 1, dim), "position": normal(3, dim), "query": normal(*heads), "key": normal(*heads),
          "value": normal(*heads), "out": normal(*heads[1:], dim), "up": normal(dim, mlp_dim), "down": normal(mlp_dim, dim),
          "up_bias": jnp.zeros(mlp_dim, jnp.float32), "down_bias": jnp.zeros(dim, jnp.float32),
          "head": normal(dim, prime, over=prime)}


def logits(params, pairs_E2) -> jax.Array:
  """(E, P): which sum the network sees at the last token of "a b =". A layer without normalisation, and without biases but for
  its two dense layers, which are all of it that the paper's interpretation has to explain."""
  signs_E1 = jnp.full_like(pairs_E2[:, :1], len(params["embedding"]) - 1)
  x_ETD = params["embedding"][jnp.concatenate([pairs_E2, signs_E1], axis=1)] + params["position"]
  heads = lambda x_ETD, name: jnp.einsum("etd,dhk->ehtk", x_ETD, params[name])
  last_E1D = x_ETD[:, -1:]  # nothing follows that would ask what the others see
  seen_EHTK = attend(heads(last_E1D, "query"), heads(x_ETD, "key"), heads(x_ETD, "value"))
  x_ED = last_E1D[:, 0] + jnp.einsum("ehtk,hkd->ed", seen_EHTK, params["out"])
  inner = jax.nn.relu(x_ED @ params["up"] + params["up_bias"])
  return (x_ED + inner @ params["down"] + params["down_bias"]) @ params["head"]


def losses(logits, labels) -> jax.Array:
  """Cross-entropies, in float64: in float32 those below 1e-7 are 0, or jump between two values, and so do their gradients."""
  wide = jnp.asarray(logits).astype(jnp.float64)
  assert wide.dtype == jnp.float64, 'needs PROCESS = {"x64": True}'
  return optax.softmax_cross_entropy_with_integer_labels(wide, labels)


# --- Fourier -----------------------------------------------------------------------------------------------------------


def wave_power(embedding_PD) -> jax.Array:
  """The power (F,) of each frequency in a table of vectors, a constant left out; P is odd."""
  return jnp.sum(jnp.abs(jnp.fft.rfft(embedding_PD, axis=0)[1:]) ** 2, axis=1)


def key_frequencies(power_F, share: float) -> np.ndarray:
  """The fewest frequencies that together hold more than a share of the power, the strongest first."""
  strongest = np.argsort(-np.asarray(power_F), kind="stable")
  total = np.cumsum(np.asarray(power_F, np.float64)[strongest])
  return 1 + strongest[:1 + np.searchsorted(total, share * total[-1], side="right")]


def by_sum(logits_PPP) -> jax.Array:
  """(P, P): the mean logits of all pairs (a, b) of each sum modulo P.

  It keeps the waves over a + b, and a constant, of the two-dimensional spectrum, and nothing else.
  """
  prime = len(logits_PPP)
  a = np.arange(prime)
  return jnp.mean(logits_PPP[a, (a[:, None] - a) % prime], axis=1)


def restricted(by_sum_MPP, frequencies) -> np.ndarray:
  """The same with waves of some frequencies only, and the constant: (…, P, P)."""
  spectrum = np.fft.rfft(np.asarray(by_sum_MPP, np.float64), axis=-2)
  kept = np.isin(np.arange(spectrum.shape[-2]), [0, *frequencies])
  return np.fft.irfft(spectrum * kept[:, None], np.shape(by_sum_MPP)[-2], axis=-2)


def restricted_loss(by_sum_MPP, frequencies) -> np.ndarray:
  """The loss (M,), over all pairs, of the logits that are left."""
  left_MPP = restricted(by_sum_MPP, frequencies)
  return np.asarray(losses(left_MPP, np.broadcast_to(np.arange(left_MPP.shape[-1]), left_MPP.shape[:-1])).mean(axis=-1))


# --- the study ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrokkingCircuit(Study):
  """Trains on a share of the table, all of it at once, and follows the waves in embedding and logits.

  Attributes:
    prime: the numbers are 0 to prime−1; odd.
    train_share: share of all pairs to train on.
    dim: width of the model.
    num_heads: attention heads.
    mlp_dim: width of the two-layer network.
    optimizer: full-batch.
    steps: updates.
    evaluate_every: updates between two measurements.
    power_share: key frequencies are the fewest that hold more than this of the embedding's power.
  """

  prime: int = 113
  train_share: float = 0.3
  dim: int = 128
  num_heads: int = 4
  mlp_dim: int = 512
  optimizer: AdamW = AdamW(learning_rate=1e-3, b2=0.98, weight_decay=1.0, schedule=Constant(warmup=Duration(10)))
  steps: int = 40_000
  evaluate_every: int = 100
  power_share: float = 0.9

  def __post_init__(self):
    scanned.check_interval(self.steps, self.evaluate_every)
    if self.prime < 3 or self.prime % 2 == 0:
      raise ConfigError(f"prime={self.prime}: must be odd, and 3 or more")
    if self.dim % self.num_heads:
      raise ConfigError(f"dim={self.dim} must be a multiple of num_heads={self.num_heads}")
    for name in ("train_share", "power_share"):
      if not 0 < getattr(self, name) < 1:
        raise ConfigError(f"{name}={getattr(self, name)}: must lie between 0 and 1")

  def _train(self, seed: int) -> dict:
    pairs = np.stack(np.divmod(np.arange(self.prime**2), self.prime), axis=1)
    sums = pairs.sum(axis=1) % self.prime
    train, test = np.split(np.random.default_rng(seed).permutation(len(pairs)), [round(self.train_share * len(pairs))])
    params = initial(jax.random.key(seed), self.prime, self.dim, self.num_heads, self.mlp_dim)

    def measure(params):
      all_EP = logits(params, pairs)
      each_E = losses(all_EP, sums)
      return {"train": each_E[train].mean(), "test": each_E[test].mean(), "power": wave_power(params["embedding"][:-1]),
              "by_sum": by_sum(all_EP.reshape(self.prime, self.prime, self.prime))}

    _, found = scanned.train(lambda params, step: losses(logits(params, pairs[train]), sums[train]).mean(), params,
                             self.optimizer, steps=self.steps, every=self.evaluate_every, measure=measure)
    keys = key_frequencies(found["power"][-1], self.power_share)  # at the end: what it will be, before it is
    weakest = 1 + np.argsort(found["power"][-1], kind="stable")[:len(keys)]
    return {**{name: found[name] for name in ("step", "train", "test")}, "power": found["power"][-1], "keys": keys,
            "frequencies": [len(key_frequencies(power, self.power_share)) for power in found["power"]],
            "restricted": restricted_loss(found["by_sum"], keys), "weakest": restricted_loss(found["by_sum"], weakest)}

  def measure(self, seed: int, parts: Parts) -> Findings:
    (found,) = parts.each("run", [self.prime], lambda _: self._train(seed))
    run = {name: np.asarray(values) for name, values in found.items()}
    level = np.log(self.prime) / 2
    fallen = {name: scanned.first_step({"step": run["step"], "fall": -run[name]}, "fall", -level)
              for name in ("train", "test", "restricted")}
    curves = {"train": "the pairs trained on", "test": "the other pairs", "restricted": "all pairs, key frequencies only",
              "weakest": "all pairs, as many weak frequencies only"}
    share = run["power"] / run["power"].sum()
    return Findings(
        metrics={"train_loss": run["train"][-1], "test_loss": run["test"][-1], "restricted_loss": run["restricted"][-1],
                 "weakest_loss": run["weakest"].min(), "key_frequencies": len(run["keys"]),
                 "key_frequencies_at_start": run["frequencies"][0], "lead": fallen["test"] - fallen["restricted"],
                 **{f"{name}_steps": step for name, step in fallen.items()}},
        notes=(f"Key frequencies, the strongest first: {', '.join(str(k) for k in run['keys'].tolist())}.",),
        figures=(
            Figure("Loss", "step", "nats a pair", y_scale="log",
                   series=tuple(Series(label, run["step"], run[name]) for name, label in curves.items()),
                   marks=(Mark("y", 1e-2, "generalises"), Mark("y", level, "half of guessing")),
                   caption="With the key frequencies' waves alone the loss falls while the network still knows only by heart."),
            Figure("What the embedding is made of", "frequency", "share of its power",
                   (Series("at the end", np.arange(1, len(share) + 1), share, kind="bars"),), alone=True,
                   caption="A few waves hold almost all; which ones is another choice for each seed."),
            Figure("Frequencies that hold the embedding", "step", f"frequencies for {self.power_share:.0%} of its power",
                   (Series("embedding", run["step"], run["frequencies"]),), marks=(Mark("y", 8, "few"),),
                   caption="From nearly all at random to a few.")))
