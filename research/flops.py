"""Floating-point operations of a function, counted over its jaxpr; and what devices can do at most.

XLA's own counter takes the body of a scan once; this one multiplies by the length. Counted are products of matrices
and convolutions, a multiplication and an addition as two operations. Elementwise arithmetic is counted apart: it is
bound by memory, and a model's FLOPs by convention leave it out.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr
from jax.interpreters.partial_eval import dce_jaxpr

_ELEMENTWISE = frozenset({
    "add", "sub", "mul", "div", "neg", "abs", "sign", "max", "min", "exp", "exp2", "log", "log1p", "expm1", "sqrt",
    "rsqrt", "cbrt", "pow", "integer_pow", "square", "tanh", "sinh", "cosh", "tan", "sin", "cos", "asin", "acos",
    "atan", "atan2", "logistic", "erf", "erfc", "erf_inv", "lgamma", "digamma", "add_any", "rem", "floor", "ceil",
    "round", "clamp", "select_n",
})
_REDUCTIONS = frozenset({
    "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp",
})
_UNCOUNTED = frozenset({
    "cholesky", "lu", "qr", "householder_product", "geqrf", "eigh", "svd", "eig", "schur", "triangular_solve",
    "tridiagonal_solve", "fft", "ragged_dot", "ragged_dot_general", "ffi_call", "pure_callback",
    "io_callback",
})


@dataclasses.dataclass(frozen=True)
class Flops:
  """Operations of one call, over all devices.

  Attributes:
    products: of matrix products.
    convolutions: of convolutions.
    elementwise: of arithmetic on single entries and of reductions, one an entry.
    notes: what is in the function but could not be counted.
  """

  products: int = 0
  convolutions: int = 0
  elementwise: int = 0
  notes: tuple[str, ...] = ()

  @property
  def total(self) -> int:
    """What utilisation is measured by: products and convolutions."""
    return self.products + self.convolutions

  def __add__(self, other: "Flops") -> "Flops":
    return Flops(self.products + other.products, self.convolutions + other.convolutions,
                 self.elementwise + other.elementwise, tuple(dict.fromkeys(self.notes + other.notes)))

  def __mul__(self, times: int) -> "Flops":
    return Flops(self.products * times, self.convolutions * times, self.elementwise * times, self.notes)


def count(function: Callable, *args: Any) -> Flops:
  """Counts the operations of function(*args), any traceable function of arrays or jax.ShapeDtypeStructs."""
  return count_jaxpr(jax.make_jaxpr(function)(*args))


def count_jaxpr(closed: ClosedJaxpr) -> Flops:
  """Counts the operations of what was traced before.

  What no output depends on is left out, as XLA leaves it out. Of a `cond` the costlier branch counts, but where platforms
  have branches of their own the default: a form that suits a device does not change the count. A `while` whose number
  of turns only the run can tell counts one turn, and a note says so.
  """
  jaxpr, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
  return _jaxpr(jaxpr)


def _operations(jaxpr, times: int = 1) -> Iterator[tuple[Any, int]]:
  """The equations of a jaxpr that compute something themselves, each with how often, over all devices.

  A `while` comes itself besides what is in it.
  """
  for eqn in jaxpr.eqns:
    name, params = eqn.primitive.name, eqn.params
    inner = [getattr(value, "jaxpr", value) for value in params.values()]
    inner = [value for value in inner if hasattr(value, "eqns")]
    if name in _UNCOUNTED:
      yield eqn, times
    elif name == "scan":
      yield from _operations(params["jaxpr"].jaxpr, times * params["length"])
    elif name == "while":
      yield eqn, times
      yield from _operations(params["body_jaxpr"].jaxpr, times)
      yield from _operations(params["cond_jaxpr"].jaxpr, times)
    elif name == "cond" and params.get("branches_platforms"):
      default = next(i for i, platforms in enumerate(params["branches_platforms"]) if platforms is None)
      yield from _operations(params["branches"][default].jaxpr, times)
    elif name == "cond":
      yield from _operations(max((branch.jaxpr for branch in params["branches"]), key=_cost), times)
    elif name == "shard_map":  # the body is what one device does
      axes = next(params[key] for key in ("newly_manual_axes", "manual_axes") if key in params)
      yield from _operations(params["jaxpr"], times * math.prod(params["mesh"].shape[axis] for axis in axes))
    elif name == "pallas_call":  # the kernel runs at each place of its grid
      yield from _operations(params["jaxpr"], times * math.prod(params["grid_mapping"].grid))
    elif inner:  # jit, checkpoint, custom derivatives: a body that runs once
      assert len(inner) == 1, f"{name} has {len(inner)} bodies"
      yield from _operations(inner[0], times)
    else:
      yield eqn, times


def _cost(jaxpr) -> tuple[int, int]:
  found = _jaxpr(jaxpr)
  return found.total, found.elementwise


def _jaxpr(jaxpr) -> Flops:
  return sum((_operation(eqn) * times for eqn, times in _operations(jaxpr)), Flops())


def _operation(eqn) -> Flops:
  name = eqn.primitive.name
  if name == "dot_general":
    return Flops(products=_dot(eqn))
  if name == "conv_general_dilated":
    return Flops(convolutions=_convolution(eqn))
  if name in _UNCOUNTED:
    return Flops(notes=(f"{name} is not counted",))
  if name == "while":
    return Flops(notes=("a while loop is counted as one turn",))
  return Flops(elementwise=_entries(eqn, name))


def _entries(eqn, name: str) -> int:
  of = eqn.outvars[0].aval if name in _ELEMENTWISE else eqn.invars[0].aval if name in _REDUCTIONS else None
  return of.size if of is not None and np.issubdtype(of.dtype, np.inexact) else 0


def _dot(eqn) -> int:
  (contracted, _), _ = eqn.params["dimension_numbers"]
  return 2 * eqn.outvars[0].aval.size * math.prod(eqn.invars[0].aval.shape[dim] for dim in contracted)


def _convolution(eqn) -> int:
  """Products with padding and with the zeros of a dilated input are no operations.

  So a layer's two gradients cost what the layer costs, whatever its stride.
  """
  params, (image, kernel), out = eqn.params, (v.aval.shape for v in eqn.invars), eqn.outvars[0].aval.shape
  dims = params["dimension_numbers"]
  pairs = math.prod(
      _pairs(image[dims.lhs_spec[2 + i]], kernel[dims.rhs_spec[2 + i]], out[dims.out_spec[2 + i]],
             params["window_strides"][i], params["padding"][i][0], params["lhs_dilation"][i], params["rhs_dilation"][i])
      for i in range(len(out) - 2))
  return 2 * out[dims.out_spec[0]] * out[dims.out_spec[1]] * kernel[dims.rhs_spec[1]] * pairs


def _pairs(image: int, kernel: int, out: int, stride: int, pad: int, image_dilation: int, kernel_dilation: int) -> int:
  """In one dimension: how many (output, tap) meet an entry of the image."""
  place = np.arange(out)[:, None] * stride + np.arange(kernel) * kernel_dilation - pad
  return int(np.sum((place >= 0) & (place <= (image - 1) * image_dilation) & (place % image_dilation == 0)))


# --- devices ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Peak:
  """What a device does at most.

  Attributes:
    flops: bfloat16 operations a second, dense (no sparsity).
    bandwidth: bytes a second between the device and its memory.
    source: where the figures are from.
  """

  flops: float
  bandwidth: float
  source: str


_TPU = "Cloud TPU documentation, November 2026, "
_NVIDIA = "NVIDIA data sheet, "

# By jax's device_kind; of several that are contained in it the longest counts. A jax device is one core where a chip
# has two that jax does not join (TPU v3, TPU7x): that has half of the chip's figures.
PEAKS: dict[str, Peak] = {
    "TPU v3": Peak(123e12 / 2, 900e9 / 2, _TPU + "v3, halved"),
    "TPU v4": Peak(275e12, 1200e9, _TPU + "v4"),
    "TPU v5 lite": Peak(197e12, 819e9, _TPU + "v5e"),
    "TPU v5e": Peak(197e12, 819e9, _TPU + "v5e"),
    "TPU v5": Peak(459e12, 2765e9, _TPU + "v5p"),
    "TPU v6 lite": Peak(918e12, 1638e9, _TPU + "v6e"),
    "TPU v6e": Peak(918e12, 1638e9, _TPU + "v6e"),
    "TPU7x": Peak(2307e12 / 2, 7380e9 / 2, _TPU + "tpu7x, halved"),
    "A100-SXM4-40GB": Peak(312e12, 1555e9, _NVIDIA + "A100 40GB SXM"),
    "A100-PCIE-40GB": Peak(312e12, 1555e9, _NVIDIA + "A100 40GB PCIe"),
    "A100-SXM4-80GB": Peak(312e12, 2039e9, _NVIDIA + "A100 80GB SXM"),
    "A100 80GB PCIe": Peak(312e12, 1935e9, _NVIDIA + "A100 80GB PCIe"),
    "H100 80GB HBM3": Peak(989e12, 3350e9, _NVIDIA + "H100 SXM, 1,979e12 with sparsity"),
    "H100 PCIe": Peak(756e12, 2000e9, _NVIDIA + "H100 PCIe, 1,513e12 with sparsity"),
    "H200": Peak(989e12, 4800e9, _NVIDIA + "H200 SXM, 1,979e12 with sparsity"),
    "B200": Peak(2250e12, 8000e9, "NVIDIA Blackwell architecture brief, 2024, HGX B200 at 1000 W, 4,500e12 with sparsity"),
}


def peak(device: jax.Device) -> Peak | None:
  """What jax's device can do, or None for CPUs and those not in the table (then log FLOP/s, not a utilisation)."""
  known = [kind for kind in PEAKS if kind.lower() in device.device_kind.lower()]
  return PEAKS[max(known, key=len)] if known else None
