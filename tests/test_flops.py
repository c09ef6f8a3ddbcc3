"""Counted operations equal what is known on paper."""

import itertools
import types

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.experimental import pallas as pl
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from research import flops
from research.models import cnn, mlp, resnet, transformer
from research.nn.transformer import BlockConfig


def _abstract(*shape, dtype=jnp.float32):
  return jax.ShapeDtypeStruct(shape, dtype)


def _network(config, inputs, num_outputs=10):
  definition, state = nnx.split(nnx.eval_shape(lambda: config.build(inputs, num_outputs, nnx.Rngs(0))))
  return lambda state, x: nnx.merge(definition, state, copy=True)(x), state


def _training(apply):
  return jax.value_and_grad(lambda state, x: jnp.sum(apply(state, x) ** 2))


def test_mlp_forward_and_backward():
  sizes, batch = (40, 100, 50, 10), 7
  products = [2 * batch * n * m for n, m in itertools.pairwise(sizes)]
  apply, state = _network(mlp.Config(widths=sizes[1:3]), _abstract(batch, 40))
  assert flops.count(apply, state, _abstract(batch, 40)).total == sum(products)
  # Two further products a layer, but no gradient with respect to the first layer's input.
  assert flops.count(_training(apply), state, _abstract(batch, 40)).total == 3 * sum(products) - products[0]


def test_what_nothing_depends_on_is_not_counted():
  def dead(x):
    x @ x
    return x + 1

  assert flops.count(dead, _abstract(4, 4)).total == 0
  # The output itself is not needed for its gradient.
  assert flops.count(jax.grad(lambda w, x: jnp.sum(x @ w)), _abstract(4, 5), _abstract(3, 4)).total == 2 * 3 * 4 * 5


def test_resnet_blocks_forward_and_backward():
  batch, x = 5, _abstract(5, 8, 8, 3)
  config = resnet.Config(depths=(1, 1), channels=(4, 8), stem="cifar")  # two bottlenecks, the second with stride 2
  # Multiplications of an image: taps beyond the border are none, so that 8 places with 3 taps make 22 (11 of 4 with stride 2).
  layers = [22**2 * 3 * 4,
            64 * 4 * 4, 22**2 * 4 * 4, 64 * 4 * 16, 64 * 4 * 16,
            64 * 16 * 8, 11**2 * 8 * 8, 16 * 8 * 32, 16 * 16 * 32,
            32 * 10]
  forward = 2 * batch * sum(layers)
  apply, state = _network(config, x)
  assert flops.count(apply, state, x).total == forward
  assert flops.count(_training(apply), state, x).total == 3 * forward - 2 * batch * layers[0]


def test_a_kernel_counts_at_each_place_of_its_grid():
  def kernel(x, y, out):
    out[...] = x[...] @ y[...]

  product = pl.pallas_call(
      kernel, out_shape=_abstract(32, 64), grid=(4, 2), interpret=True, out_specs=pl.BlockSpec((8, 32), lambda i, j: (i, j)),
      in_specs=[pl.BlockSpec((8, 16), lambda i, j: (i, 0)), pl.BlockSpec((16, 32), lambda i, j: (0, j))])
  assert flops.count(product, _abstract(32, 16), _abstract(16, 64)).total == 2 * 32 * 16 * 64


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_convolution_without_padding_and_its_gradients(stride, groups):
  images, kernel = _abstract(2, 11, 11, 8), _abstract(3, 3, 8 // groups, 12)

  def convolve(kernel, images):
    return jax.lax.conv_general_dilated(images, kernel, (stride,) * 2, "VALID", feature_group_count=groups,
                                        dimension_numbers=("NHWC", "HWIO", "NHWC"))

  side = (11 - 3) // stride + 1
  forward = 2 * (2 * side**2 * 12) * (9 * 8 // groups)
  assert flops.count(convolve, kernel, images) == flops.Flops(convolutions=forward)
  squared = lambda kernel, images: jnp.sum(convolve(kernel, images) ** 2)
  assert flops.count(jax.value_and_grad(squared, (0, 1)), kernel, images).total == 3 * forward


def test_padding_is_no_work():
  convolve = lambda k, x: jax.lax.conv_general_dilated(
      x, k, (1,), [(1, 1)], dimension_numbers=("NHC", "HIO", "NHC"))
  taps = 5 * 3 - 2  # the first and the last output each miss one
  assert flops.count(convolve, _abstract(3, 1, 1), _abstract(1, 5, 1)).convolutions == 2 * taps


def test_cnn_in_one_dimension_counts_as_a_convolution_does():
  config = cnn.Config(channels=(25, 25, 25), kernels=(5, 3, 3), strides=(2, 2, 2), paddings=(1, 1, 1))
  apply, state = _network(config, _abstract(1, 40))
  assert flops.count(apply, state, _abstract(1, 40)).total == 2 * (
      19 * 5 * 25 + 10 * 3 * 25 * 25 + 5 * 3 * 25 * 25 + 125 * 10)


def test_scanned_layers_count_as_unrolled_ones():
  x = _abstract(4, 6, dtype=jnp.int32)
  totals = []
  for scan in (False, True):
    block = BlockConfig(dim=16, num_heads=2, mlp_dim=32)
    config = transformer.Config(num_layers=3, block=block, max_length=6, scan=scan)
    apply, state = _network(config, x)
    totals.append((flops.count(apply, state, x).total, flops.count(_training(apply), state, x).total))
  assert totals[0] == totals[1]
  # Parameters in products, both products of attention, and the output layer (Kaplan et al. 2020, table 1, with both).
  per_token = 3 * (2 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 2 * 6 * 16) + 2 * 16 * 10
  assert totals[0] == (24 * per_token, 3 * 24 * per_token)


def test_recomputation_is_counted():
  layer = lambda w, x: jnp.tanh(x @ w)
  loss = lambda f: lambda w, x: jnp.sum(f(w, f(w, x)))
  w, x = _abstract(8, 8), _abstract(4, 8)
  one = 2 * 4 * 8 * 8
  plain = flops.count(jax.grad(loss(layer), (0, 1)), w, x).total
  again = flops.count(jax.grad(loss(jax.checkpoint(layer)), (0, 1)), w, x).total
  # In all, the output of the last layer is not needed; kept activations save two products, recomputed ones do not.
  assert plain == 6 * one
  assert again == 7 * one


def test_control_flow():
  x = _abstract(4, 4)
  one = 2 * 4**3
  chain = lambda n: lambda x: jax.lax.fori_loop(0, n, lambda _, x: x @ x, x)
  assert flops.count(chain(5), x).total == 5 * one
  assert flops.count(lambda x: jax.lax.cond(x[0, 0] > 0, chain(2), chain(3), x), x).total == 3 * one
  unknown = flops.count(lambda x: jax.lax.while_loop(lambda x: x[0, 0] > 0, lambda x: x @ x, x), x)
  assert unknown.total == one
  assert unknown.notes == ("a while loop is counted as one turn",)
  assert flops.count(jnp.linalg.cholesky, x).notes == ("cholesky is not counted",)


def test_inside_of_jit_and_custom_derivatives():
  @jax.custom_vjp
  def double(x):
    return x @ x

  double.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x.T + x.T @ g,))
  one = 2 * 4**3
  assert flops.count(jax.jit(double), _abstract(4, 4)).total == one
  assert flops.count(jax.value_and_grad(lambda x: jnp.sum(double(x))), _abstract(4, 4)).total == 3 * one


def test_batched_products_and_vmap():
  apply = jax.vmap(lambda a, b: a @ b)
  assert flops.count(apply, _abstract(5, 2, 3), _abstract(5, 3, 4)).products == 5 * 2 * 2 * 3 * 4


def test_elementwise_arithmetic_is_apart_and_integers_are_none():
  got = flops.count(lambda x, i: (jnp.sum(jnp.exp(x) + 1), i + 1), _abstract(3, 4), _abstract(9, dtype=jnp.int32))
  assert got == flops.Flops(elementwise=3 * 12)


def test_all_devices_of_a_shard_map_count():
  mesh = jax.sharding.AbstractMesh((4, 2), ("data", "tensor"), axis_types=(AxisType.Auto,) * 2)
  product = lambda x, w: jax.lax.psum(x @ w, "tensor")
  sharded = jax.shard_map(product, mesh=mesh, in_specs=(P("data", "tensor"), P("tensor")), out_specs=P("data"))
  assert flops.count(sharded, _abstract(8, 6), _abstract(6, 5)).products == 2 * 8 * 6 * 5
  one = Mesh(jax.devices()[:1], ("data",), axis_types=(AxisType.Auto,))
  alone = jax.shard_map(lambda x: x @ x, mesh=one, in_specs=P(), out_specs=P())
  assert flops.count(alone, _abstract(4, 4)).products == 2 * 4**3


@pytest.mark.parametrize("kind,peak", [
    ("TPU v5 lite", 197e12), ("TPU v5", 459e12), ("TPU v5p", 459e12), ("TPU v4", 275e12), ("TPU v6 lite", 918e12),
    ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA A100-SXM4-80GB", 312e12)])
def test_peaks_by_device_kind(kind, peak):
  assert flops.peak(types.SimpleNamespace(device_kind=kind)).flops == peak


def test_there_is_no_peak_for_what_is_unknown():
  assert flops.peak(jax.devices("cpu")[0]) is None
