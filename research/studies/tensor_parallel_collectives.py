"""How often a Transformer layer split over devices must speak, counted in what the compiler made of it.

Shapes: B batch, T positions, D model width, H heads, K width of a head, F hidden width of the MLP.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from research.figures import Figure, Mark, Series
from research.studies.base import Findings, Parts, Study
from research.training.collectives import Traffic, collectives
from research.training.sharding import Sharding

_AXIS = "tensor"
_WHOLE = {"norm1": P(), "qkv": P(), "out": P(), "norm2": P(), "up": P(), "down": P()}
_HEADS = {"qkv": P(None, None, _AXIS), "out": P(_AXIS)}
# Which dimension of each kernel is split over the devices.
RULES = {
    "megatron": {**_WHOLE, **_HEADS, "up": P(None, _AXIS), "down": P(_AXIS)},
    "columns only": {**_WHOLE, **_HEADS, "out": P(None, None, _AXIS), "up": P(None, _AXIS), "down": P(None, _AXIS)},
    "MLP rows then columns": {**_WHOLE, **_HEADS, "up": P(_AXIS), "down": P(None, _AXIS)},
    "replicated": _WHOLE,
}


def _norm(x_BTD, scale_D):
  mean = jnp.mean(x_BTD, axis=-1, keepdims=True)
  variance = jnp.var(x_BTD, axis=-1, keepdims=True)
  return (x_BTD - mean) * jax.lax.rsqrt(variance + 1e-6) * scale_D


def apply_layers(layers: list[dict], x_BTD: jax.Array) -> jax.Array:
  """Pre-norm Transformer layers, causal, without biases."""
  causal_TT = jnp.tril(jnp.ones((x_BTD.shape[1], x_BTD.shape[1]), bool))
  for layer in layers:
    y_BTD = _norm(x_BTD, layer["norm1"])
    # One kernel for the three, as in the paper: of three kernels XLA reduces three partial input gradients before it adds
    # them, in one instruction with three times the bytes.
    q_BTHK, k_BTHK, v_BTHK = jnp.einsum("btd,dchk->cbthk", y_BTD, layer["qkv"])
    logits_BHTS = jnp.einsum("bthk,bshk->bhts", q_BTHK, k_BTHK) / np.sqrt(q_BTHK.shape[-1])
    weights_BHTS = jax.nn.softmax(jnp.where(causal_TT, logits_BHTS, -1e30), axis=-1)
    x_BTD += jnp.einsum("bhts,bshk,hkd->btd", weights_BHTS, v_BTHK, layer["out"])
    x_BTD += jax.nn.gelu(_norm(x_BTD, layer["norm2"]) @ layer["up"]) @ layer["down"]
  return x_BTD


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorParallelCollectives(Study):
  """Compiles pre-norm layers under several sharding rules and counts the collectives.

  Attributes:
    num_devices: devices the kernels are split over.
    num_layers: Transformer layers.
    dim: model width; a multiple of num_devices.
    num_heads: attention heads; a multiple of num_devices.
    hidden_dim: hidden width of the MLP; a multiple of num_devices.
    batch_size: sequences.
    length: positions.
  """

  num_devices: int = 8
  num_layers: int = 2
  dim: int = 128
  num_heads: int = 8
  hidden_dim: int = 512
  batch_size: int = 4
  length: int = 32

  def __post_init__(self):
    for name in ("dim", "num_heads", "hidden_dim"):
      if getattr(self, name) % self.num_devices:
        raise ValueError(f"{name}={getattr(self, name)} must be a multiple of num_devices={self.num_devices}")
    if self.dim % self.num_heads:
      raise ValueError(f"dim={self.dim} must be a multiple of num_heads={self.num_heads}")

  def _problem(self, seed: int):
    """Layers and inputs (B, T, D)."""
    heads = self.num_heads, self.dim // self.num_heads
    shapes = {"norm1": (self.dim,), "qkv": (self.dim, 3, *heads), "out": (*heads, self.dim),
              "norm2": (self.dim,), "up": (self.dim, self.hidden_dim), "down": (self.hidden_dim, self.dim)}
    keys = iter(jax.random.split(jax.random.key(seed), self.num_layers * len(shapes) + 1))
    draw = lambda shape: jnp.ones(shape) if len(shape) == 1 else jax.random.normal(next(keys), shape) / np.sqrt(self.dim)
    layers = [{name: draw(shape) for name, shape in shapes.items()} for _ in range(self.num_layers)]
    return layers, jax.random.normal(next(keys), (self.batch_size, self.length, self.dim))

  def objective(self, seed: int, data_dir=None):
    layers, x_BTD = self._problem(seed)
    return lambda layers: jnp.mean(apply_layers(layers, x_BTD) ** 2), layers

  def measure(self, seed: int, parts: Parts) -> Findings:
    mesh = Sharding(data=1, tensor=self.num_devices).mesh(jax.devices()[:self.num_devices])
    layers, x_BTD = self._problem(seed)
    whole = NamedSharding(mesh, P())
    gradient = jax.grad(lambda layers, x_BTD: jnp.mean(apply_layers(layers, x_BTD) ** 2), argnums=(0, 1))
    reference = jax.jit(apply_layers)(layers, x_BTD), jax.jit(gradient)(layers, x_BTD)

    def compile_rule(rule: str) -> dict:
      shardings = [{name: NamedSharding(mesh, spec) for name, spec in RULES[rule].items()}] * self.num_layers
      inputs = jax.device_put(layers, shardings), jax.device_put(x_BTD, whole)
      forward = jax.jit(apply_layers, out_shardings=whole).lower(*inputs).compile()
      backward = jax.jit(gradient, out_shardings=(shardings, whole)).lower(*inputs).compile()
      difference = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - np.asarray(b))) / jnp.max(jnp.abs(a))),
                                reference, (forward(*inputs), backward(*inputs)))
      return {"difference": max(jax.tree.leaves(difference)),
              "forward": _counted(forward), "gradient": _counted(backward)}

    found = dict(zip(RULES, parts.each("rule", list(RULES), compile_rule)))
    megatron, columns = found["megatron"], found["columns only"]
    return Findings(
        metrics={"forward_all_reduces": megatron["forward"]["all-reduce"][0],
                 "gradient_all_reduces": megatron["gradient"]["all-reduce"][0],
                 "forward_bytes": megatron["forward"]["all-reduce"][1],
                 "gradient_bytes": megatron["gradient"]["all-reduce"][1],
                 "other_collectives": _others(megatron),
                 "difference": max(one["difference"] for one in found.values()),
                 "other_collectives_by_columns": _others(columns),
                 "collectives_replicated": sum(count for when in ("forward", "gradient")
                                               for count, _ in found["replicated"][when].values())},
        figures=(self._figure(found),),
        notes=(f"Counted in the programs of XLA for {jax.default_backend()}, jax {jax.__version__}.",))

  def _figure(self, found: dict) -> Figure:
    kinds = sorted({kind for one in found.values() for when in ("forward", "gradient") for kind in one[when]})
    series = tuple(Series(kind, list(found), [one["gradient"].get(kind, (0, 0))[0] for one in found.values()], kind="bars")
                   for kind in kinds)
    return Figure("Collectives by sharding rule", "sharding rule", "collectives of forward and gradient", series,
                  caption="Columns then rows, and attention by heads, need only the all-reduces of the paper.",
                  marks=(Mark("y", 4 * self.num_layers, "2 forward and 2 backward a layer"),))


def _counted(compiled: jax.stages.Compiled) -> dict[str, Traffic]:
  text = compiled.as_text()
  assert text is not None, "the compiler shows no program"
  return collectives(text)


def _others(one: dict) -> int:
  """Collectives that are no all-reduce, forward and gradient together."""
  return sum(count for when in ("forward", "gradient") for kind, (count, _) in one[when].items() if kind != "all-reduce")
