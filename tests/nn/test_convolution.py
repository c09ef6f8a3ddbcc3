"""Every form of a convolution equals XLA's own, in value, gradient and second derivative, and counts as it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from research import flops
from research.nn import convolve as forms
from research.nn import winograd
from research.nn.convolution import Conv, ConvNorm
from research.nn.convolve import Window, convolve, window_on
from research.training import gradient_check

KEY = jax.random.key(0)
ONE = ((1, 1), (1, 1))
UNEVEN = ((0, 1), (2, 1))


def plain(x, kernel, window):
  return jax.lax.conv_general_dilated(
      x, kernel, window.stride, window.padding, rhs_dilation=window.dilation, feature_group_count=window.groups,
      dimension_numbers=("NHWC", "HWIO", "NHWC"))


def draw(images, kernel):
  a, b = jax.random.split(KEY)
  return jax.random.normal(a, images), jax.random.normal(b, kernel)


def close(got, want):
  """Within 1e-5 of the largest entry, everywhere."""
  for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    assert g.shape == w.shape and g.dtype == w.dtype
    np.testing.assert_allclose(g, w, rtol=0, atol=1e-5 * np.abs(w).max())


def value_and_gradients(convolution, x, kernel):
  def run(x, kernel):
    y, back = jax.vjp(convolution, x, kernel)
    return y, back(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

  return jax.jit(run)(x, kernel)


CASES = [
    # images, kernel, window, the form it takes
    ((2, 11, 9, 5), (3, 3, 5, 7), Window(padding=ONE), "_by_patches"),
    ((2, 11, 9, 5), (3, 3, 5, 7), Window(), "_by_patches"),
    ((2, 12, 9, 5), (3, 2, 5, 7), Window((2, 1), UNEVEN), "_by_patches"),
    ((3, 13, 13, 3), (7, 7, 3, 8), Window((2, 2), ((3, 3), (3, 3))), "_by_patches"),
    ((2, 13, 11, 4), (3, 3, 4, 6), Window((1, 1), ((2, 2), (2, 2)), (2, 2)), "_by_patches"),
    ((2, 13, 11, 4), (3, 3, 4, 6), Window((3, 2), ONE), "_by_patches"),
    ((2, 4, 4, 3), (1, 1, 3, 5), Window(padding=ONE), "_by_patches"),
    ((2, 7, 6, 3), (1, 1, 3, 5), Window(), "_pointwise"),
    ((2, 7, 6, 3), (1, 1, 3, 5), Window((2, 2)), "_pointwise"),
    ((2, 7, 6, 4), (3, 3, 1, 4), Window(padding=ONE, groups=4), "_depthwise"),
    ((2, 7, 6, 4), (3, 3, 1, 4), Window((2, 2), UNEVEN, groups=4), "_depthwise"),
    ((2, 9, 9, 4), (3, 3, 1, 4), Window((1, 1), ((2, 2), (2, 2)), (2, 2), 4), "_depthwise"),
    ((2, 7, 6, 4), (3, 3, 2, 6), Window(padding=ONE, groups=2), None),
    ((2, 7, 6, 4), (3, 3, 1, 8), Window(padding=ONE, groups=4), None),
    ((2, 12, 12, 64), (3, 3, 64, 64), Window(padding=ONE), "_by_tiles"),
    ((3, 11, 9, 64), (3, 3, 64, 80), Window(padding=UNEVEN), "_by_tiles"),
    ((4, 13, 8, 70), (3, 3, 70, 64), Window(), "_by_tiles"),
]


@pytest.mark.parametrize("images,kernel,window,form", CASES)
def test_value_and_gradients_equal_xlas(images, kernel, window, form, monkeypatch):
  used = []
  for name in ("_by_patches", "_pointwise", "_depthwise", "_by_tiles"):
    original = getattr(forms, name)
    noted = lambda *args, original=original, name=name, **kwargs: used.append(name) or original(*args, **kwargs)
    monkeypatch.setattr(forms, name, noted)
  x, kernel = draw(images, kernel)
  got = value_and_gradients(lambda x, kernel: convolve(x, kernel, window), x, kernel)
  close(got, value_and_gradients(lambda x, kernel: plain(x, kernel, window), x, kernel))
  assert set(used) == ({form} if form else set())


@pytest.mark.parametrize("images,patches", [
    ((4, 12, 6, 3), 27 * 6 * 3), ((4, 12, 6, 3), 27 * 72 * 2), ((4, 7, 7, 3), 1), ((6, 7, 7, 3), 10**9)])
def test_blocks_of_rows_or_of_images_make_no_difference(images, patches, monkeypatch):
  monkeypatch.setattr(forms, "_PATCHES", patches)
  x, kernel = draw(images, (3, 3, 3, 5))
  window = Window(padding=ONE)
  close(forms._in_blocks(x, kernel, window), plain(x, kernel, window))
  got = value_and_gradients(lambda x, k: convolve(x, k, window), x, kernel)
  close(got, value_and_gradients(lambda x, k: plain(x, k, window), x, kernel))


@pytest.mark.parametrize("transformed", [1, 10**9])
def test_blocks_of_tiles_make_no_difference(transformed, monkeypatch):
  monkeypatch.setattr(winograd, "_TRANSFORMED", transformed)
  x, kernel = draw((3, 5, 6, 2), (3, 3, 2, 4))
  close(value_and_gradients(lambda x, k: winograd.convolve(x, k, ONE), x, kernel),
        value_and_gradients(lambda x, k: plain(x, k, Window(padding=ONE)), x, kernel))


@pytest.mark.parametrize("form", [forms._by_patches, forms._pointwise, forms._depthwise, forms._by_tiles])
def test_derivatives_of_every_kind(form):
  """Forward, reverse, forward over reverse and reverse over reverse."""
  size, groups = (1 if form is forms._pointwise else 3), (2 if form is forms._depthwise else 1)
  window = Window(padding=((0, 0),) * 2 if size == 1 else ONE, groups=groups)
  x, kernel = draw((2, 4, 5, 2), (size, size, 2 // groups, 2))
  loss = lambda convolution: lambda args: jnp.sum(jnp.sin(convolution(*args, window)))
  ours, xlas = loss(form), loss(plain)
  toward = (jnp.cos(x), jnp.sin(kernel))
  for derivative in (lambda f: jax.jvp(f, [(x, kernel)], [toward]),
                     lambda f: jax.jvp(jax.grad(f), [(x, kernel)], [toward]),
                     lambda f: jax.grad(lambda args: sum(map(jnp.vdot, jax.grad(f)(args), toward)))((x, kernel)),
                     lambda f: jax.hessian(lambda kernel: f((x, kernel)))(kernel),
                     lambda f: jax.vmap(lambda scale: jax.grad(f)((scale * x, kernel)))(jnp.arange(3.0))):
    close(jax.jit(lambda d=derivative: d(ours))(), jax.jit(lambda d=derivative: d(xlas))())


@pytest.mark.parametrize("form", [forms._by_patches, forms._depthwise, forms._by_tiles])
def test_the_gradient_is_right_in_float64(form):
  groups = 3 if form is forms._depthwise else 1
  with jax.enable_x64(True):
    x, kernel = draw((2, 5, 4, 3), (3, 3, 3 // groups, 3))
    window = Window(padding=ONE, groups=groups)
    rows = gradient_check.check(lambda p: jnp.sum(jnp.sin(form(*p, window))), (x, kernel))
    assert all(row.agrees for row in rows), rows


def test_winograd_is_as_exact_as_the_plain_sum():
  x, kernel = draw((1, 8, 8, 256), (3, 3, 256, 8))
  patches = np.lib.stride_tricks.sliding_window_view(np.asarray(x, np.float64), (3, 3), (1, 2))
  exact = np.einsum("bhwcij,ijck->bhwk", patches, np.asarray(kernel, np.float64), optimize=True)
  error = lambda y: np.abs(y - exact).max() / np.abs(exact).max()
  assert error(jax.jit(winograd.convolve, static_argnums=2)(x, kernel, ((0, 0), (0, 0)))) < 3e-6
  assert error(plain(x, kernel, Window())) < 3e-6


def test_low_precision_does_not_pass_through_tiles():
  program = lambda dtype: jax.jit(lambda x, kernel: convolve(x, kernel, Window(padding=ONE))).lower(
      jax.ShapeDtypeStruct((2, 16, 16, 64), dtype), jax.ShapeDtypeStruct((3, 3, 64, 64), dtype)).as_text()
  assert "stablehlo.convolution" in program(jnp.bfloat16) and "stablehlo.convolution" not in program(jnp.float32)


def test_other_devices_get_xlas_convolution():
  x, kernel = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 16, 16, 64), (3, 3, 64, 64)))
  step = jax.jit(jax.grad(lambda kernel, x: jnp.sum(convolve(x, kernel, Window(padding=ONE)) ** 2)))
  traced = step.trace(kernel, x)
  lowered = {name: traced.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "cuda", "tpu")}
  assert "stablehlo.while" in lowered["cpu"] and "stablehlo.convolution" not in lowered["cpu"]
  for platform in ("cuda", "tpu"):
    assert "stablehlo.while" not in lowered[platform] and "stablehlo.dot" not in lowered[platform]
    assert lowered[platform].count("stablehlo.convolution") == 2


@pytest.mark.parametrize("images,kernel,window,form", CASES)
def test_operations_are_counted_as_of_the_plain_convolution(images, kernel, window, form):
  del form
  args = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (images, kernel)]
  training = lambda convolution: jax.value_and_grad(lambda x, kernel: jnp.sum(convolution(x, kernel, window) ** 2), (0, 1))
  for what in (lambda f: lambda *a: f(*a, window), training):
    got, want = flops.count(what(convolve), *args), flops.count(what(plain), *args)
    assert (got.convolutions, got.products, got.notes) == (want.convolutions, 0, ())


@pytest.mark.parametrize("side", [7, 8, 9])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_same_padding_is_tensorflows(side, stride, size):
  """In all max((ceil(n/s) − 1)·s + k − n, 0), the smaller half before (TensorFlow's documentation of tf.nn.convolution)."""
  window = window_on(jnp.zeros((1, side, side, 1)), (size, size), stride=stride, padding="SAME")
  total = max((-(-side // stride) - 1) * stride + size - side, 0)
  assert window.padding == ((total // 2, total - total // 2),) * 2
  layer = Conv(2, 3, (size, size), stride=stride, padding="SAME", rngs=nnx.Rngs(0))
  assert layer(jnp.zeros((1, side, side, 2))).shape == (1, -(-side // stride), -(-side // stride), 3)


def test_groups_see_their_channels_only():
  layer = Conv(4, 6, (3, 3), padding=1, groups=2, rngs=nnx.Rngs(0))
  assert layer.kernel[...].shape == (3, 3, 2, 6)
  reach = jax.jit(jax.jacobian(lambda x: layer(x[None, None, None])[0, 0, 0]))(jnp.ones(4))
  np.testing.assert_array_equal(np.abs(reach) > 0, np.kron(np.eye(2), np.ones((3, 2))))


@pytest.mark.parametrize("groups,fan_in,deviation", [
    (1, None, (2 / 72) ** 0.5), (8, None, (2 / 9) ** 0.5), (1, 9 * 64, (2 / 576) ** 0.5)])
def test_initial_values_follow_the_inputs_of_one_output(groups, fan_in, deviation):
  kernel = Conv(8, 64, (3, 3), groups=groups, fan_in=fan_in, rngs=nnx.Rngs(0)).kernel[...]
  np.testing.assert_allclose(kernel.std(), deviation, rtol=0.12)


def test_batch_norm_folds_into_the_convolution():
  settings = {"padding": "SAME", "stride": 2, "decay": 0.5, "frozen": False, "rngs": nnx.Rngs(0)}
  layer, folded = ConvNorm(3, 5, 3, eps=1e-3, **settings), ConvNorm(3, 5, 3, eps=None, **settings)
  x = jax.random.normal(KEY, (4, 8, 8, 3))
  layer.norm.scale[...] = jnp.arange(1.0, 6.0)
  layer(x, key=KEY)  # learns statistics
  factor = layer.norm.scale[...] / jnp.sqrt(layer.norm.variance[...] + 1e-3)
  folded.conv.kernel[...] = layer.conv.kernel[...] * factor
  folded.conv.bias[...] = layer.norm.bias[...] - layer.norm.mean[...] * factor
  close(folded(x), layer(x))


def test_frozen_statistics_are_used_in_training_and_stay():
  layer = ConvNorm(3, 5, 3, eps=1e-3, decay=0.5, frozen=True, rngs=nnx.Rngs(0))
  x = 3 + jax.random.normal(KEY, (4, 8, 8, 3))
  np.testing.assert_array_equal(layer(x, key=KEY), layer(x))
  assert not np.any(layer.norm.mean[...]) and np.all(layer.norm.variance[...] == 1)
