"""Tensors find their parameters by a table, both ways; all that does not fit is said at once."""

import dataclasses
import functools
import weakref

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from etils import epath
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from research.config import ConfigError
from research.nn.names import Row, Table
from research.pretrained import safetensors_file
from research.pretrained.files import Tensor, WeightsError, WeightsFile, open_weights
from research.pretrained.mapping import Theirs, fill, plan
from research.pretrained.weights import Pretrained, export, save

RANDOM = np.random.default_rng(0)
QUERY, KEY = (np.arange(16, dtype=np.float32).reshape(4, 4) + start for start in (0, 100))
TENSORS = {
    "net.conv.weight": RANDOM.standard_normal((5, 3, 2, 4), np.float32),
    "net.dw.weight": RANDOM.standard_normal((3, 3, 6, 1), np.float32),
    "net.0.qk": np.concatenate([QUERY, KEY]),
    "net.1.qk": np.concatenate([QUERY + 1000, KEY + 1000]),
    "net.token": RANDOM.standard_normal((1, 1, 4), np.float32),
    "net.mean": np.arange(3, dtype=np.float32),
    "head.weight": RANDOM.standard_normal((7, 4), np.float32),
    "net.steps": np.array(3),
}
TABLE = Table((
    Row("net.conv.weight", "conv/kernel", "conv"), Row("net.dw.weight", "dw/kernel", "depthwise"),
    *(Row(f"net.{i}.qk", f"layers/{i}/{word}/kernel", "linear", part=(k, 2)) for i in range(2) for k, word in enumerate("qk")),
    Row("net.token", "token", shape=(1, 1, -1)), Row("net.mean", "norm/mean"), Row("head.weight", "head/kernel", "linear"),
), unused=(r"net\.steps",), prefix="net.")
PARAMS = {"conv": {"kernel": (2, 4, 3, 5)}, "dw": {"kernel": (3, 3, 1, 6)},
          "layers": {"q": {"kernel": (2, 4, 4)}, "k": {"kernel": (2, 4, 4)}},
          "token": (4,), "head": {"kernel": (4, 7)}}
BUFFERS = {"norm": {"mean": (3,)}}


@dataclasses.dataclass(frozen=True)
class Model:
  table: Table = TABLE

  def tables(self):
    return {"hf": self.table, "timm": Table((Row("stem", "conv/kernel"),))}


def abstract(shapes, dtype="float32"):
  return jax.tree.map(lambda s: jax.ShapeDtypeStruct(s, dtype), shapes, is_leaf=lambda s: isinstance(s, tuple))


def write(folder, tensors=TENSORS):
  safetensors_file.write(epath.Path(folder / "w.safetensors"), tensors, {}, digest=False)
  return folder / "w.safetensors"


def load(folder, tensors=TENSORS, *, model=None, params=None, names="hf", **kwargs):
  pretrained = Pretrained(path=str(write(folder, tensors)), names=names, **kwargs)
  params = abstract(PARAMS) if params is None else params
  pretrained.check(None, model or Model(), params, abstract(BUFFERS))
  return pretrained.load(None, model or Model(), params, abstract(BUFFERS))


def refused(folder, tensors, *words, error=WeightsError, **kwargs) -> str:
  with pytest.raises(error) as caught:
    load(folder, tensors, **kwargs)
  text = str(caught.value)
  assert all(word in text for word in words), text
  return text


def test_each_layout_part_and_layer(tmp_path):
  params, buffers, report = load(tmp_path)
  np.testing.assert_array_equal(params["conv"]["kernel"][1, 2, 0], TENSORS["net.conv.weight"][:, 0, 1, 2])
  np.testing.assert_array_equal(params["dw"]["kernel"][:, :, 0, 4], TENSORS["net.dw.weight"][:, :, 4, 0])
  np.testing.assert_array_equal(params["layers"]["q"]["kernel"], [QUERY.T, QUERY.T + 1000])
  np.testing.assert_array_equal(params["layers"]["k"]["kernel"], [KEY.T, KEY.T + 1000])
  np.testing.assert_array_equal(params["token"], TENSORS["net.token"].ravel())
  np.testing.assert_array_equal(buffers["norm"]["mean"], [0, 1, 2])
  assert "7 arrays (273 numbers)" in report and "not used: net.steps" in report


def test_layers_that_are_not_stacked(tmp_path):
  layer = {"q": {"kernel": (4, 4)}, "k": {"kernel": (4, 4)}}
  params, _, _ = load(tmp_path, params=abstract({**PARAMS, "layers": {0: layer, 1: layer}}))
  np.testing.assert_array_equal(params["layers"][1]["k"]["kernel"], KEY.T + 1000)


def test_files_of_the_bare_network_are_without_its_prefix(tmp_path):
  bare = {name.removeprefix("net."): x for name, x in TENSORS.items() if name != "head.weight"}
  head = jnp.ones((4, 7))
  params = {**abstract(PARAMS), "head": {"kernel": head}}
  loaded, _, report = load(tmp_path, {**bare, "x": np.ones(1, np.float32)}, params=params, fresh=("head/.*",),
                           unused=("x", "steps"))
  assert loaded["head"]["kernel"] is head and "fresh: head/kernel" in report
  np.testing.assert_array_equal(loaded["token"], bare["token"].ravel())


def test_a_new_head_leaves_the_files_own_unused(tmp_path):
  params = {**abstract(PARAMS), "head": {"kernel": jnp.ones((4, 3))}}
  loaded, _, report = load(tmp_path, params=params, fresh=("head/.*",))
  assert loaded["head"]["kernel"].shape == (4, 3) and "not used: head.weight" in report


def test_all_that_does_not_fit_is_said_at_once(tmp_path):
  tensors = {name: x for name, x in TENSORS.items() if name not in ("net.mean", "net.0.qk")}
  tensors |= {"net.conv.weight": TENSORS["net.conv.weight"].transpose(2, 3, 1, 0), "head.weight": np.ones((7, 4), np.int32),
              "net.token": np.ones((1, 1, 5), np.float32), "net.extra": np.ones(2, np.float32)}
  text = refused(
      tmp_path, tensors, "w.safetensors does not fit the network", "missing in the file (3)", "net.0.qk (4, 4)",
      "net.mean (3,) for norm/mean", "net.conv.weight has shape (2, 4, 3, 5), not (5, 3, 2, 4), for conv/kernel",
      "head.weight is of type int32", "net.token has shape (1, 1, 5), not (1, 1, 4)",
      "in the file, but not used (1): net.extra (2,)",
      "rules that match nothing (2): fresh 'haed/.*'; unused 'nothing'", fresh=("haed/.*",), unused=("nothing",))
  assert text.count("\n") == 4


def test_hundreds_of_mismatches_are_told_in_few_lines(tmp_path):
  num = 300
  table = Table(tuple(Row(f"layer.{i}.{word}", f"layers/{i}/{word}") for i in range(num) for word in ("scale", "bias")))
  leaves = {f"layers/{word}": jax.ShapeDtypeStruct((num, 8), "float32") for word in ("scale", "bias")}
  tensors = {row.theirs: Tensor((4,), np.dtype("float32"), lambda: pytest.fail("read")) for row in table.rows}
  with pytest.raises(WeightsError) as error:
    plan(WeightsFile("w", tensors, {}), table, leaves)
  text = str(error.value)
  assert "of the wrong shape or type (600)" in text and "and 299 more like it" in text
  assert len(text) < 500


def test_tables_that_are_wrong_are_found_out():
  tensors = {name: Tensor(x.shape, x.dtype, lambda x=x: x) for name, x in {"a": np.ones(4), "b": np.ones(4)}.items()}
  leaves = {"x": jax.ShapeDtypeStruct((4,), "float64"), "y": jax.ShapeDtypeStruct((2,), "float64")}
  for rows, words in (
      ([Row("a", "x"), Row("b", "x"), Row("a", "y", part=(0, 2))],
       ["filled twice (1): x (again from b)", "used in part only (1): a"]),
      ([Row("a", "x"), Row("b", "z")],
       ["in the table, but not in the network (1): z (from b)", "not in the table (1): y (2,)"])):
    with pytest.raises(WeightsError) as error:
      plan(WeightsFile("w", tensors, {}), Table(tuple(rows)), leaves)
    assert all(word in str(error.value) for word in words), error.value


def test_another_librarys_file_is_recognised(tmp_path):
  refused(tmp_path, {"stem": np.ones((2, 4, 3, 5), np.float32)}, "Its names look like names=timm, not hf")
  refused(tmp_path, TENSORS, "names=keras: this network knows fieldwork, hf, timm", error=ConfigError, names="keras")


def test_an_adapted_tensor_is_said(tmp_path):
  halved = lambda x, shape: x[..., :shape[-1]] if x.shape[-1] == 2 * shape[-1] else (_ for _ in ()).throw(ValueError("odd"))
  rows = tuple(dataclasses.replace(r, adapt=halved) if r.theirs == "net.mean" else r for r in TABLE.rows)
  model = Model(dataclasses.replace(TABLE, rows=rows))
  _, buffers, report = load(tmp_path, {**TENSORS, "net.mean": np.arange(6, dtype=np.float32)}, model=model)
  np.testing.assert_array_equal(buffers["norm"]["mean"], [0, 1, 2])
  assert "norm/mean: (6,) fitted to (3,)" in report
  refused(tmp_path, {**TENSORS, "net.mean": np.ones(5, np.float32)}, "net.mean has shape (5,), not (3,) (odd)", model=model)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_narrow_types_are_widened_exactly(dtype, tmp_path):
  small = {name: x % 8 for name, x in TENSORS.items()}  # the narrowest ends at 448
  tensors = {name: x.astype(dtype) if x.dtype == np.float32 else x for name, x in small.items()}
  params, _, report = load(tmp_path, tensors)
  np.testing.assert_array_equal(params["head"]["kernel"], tensors["head.weight"].T.astype(np.float32), strict=True)
  assert f"{np.dtype(dtype)} became float32" in report


def test_values_that_are_not_finite(tmp_path):
  for bad, dtype in ((np.nan, np.float32), (np.inf, np.float32), (1e300, np.float64)):
    mean = np.array([0, bad, 2], dtype)
    with np.errstate(over="ignore"):
      refused(tmp_path, {**TENSORS, "net.mean": mean}, "'net.mean' holds values that are not finite in float32")


def test_every_leaf_lies_where_it_was_to_lie(tmp_path):
  mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
  spec = {3: P("x", "y"), 4: P(), 2: P("y"), 1: P()}
  params = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=NamedSharding(mesh, spec[len(s.shape)])),
                        abstract(PARAMS))
  whole, _, _ = load(tmp_path)
  pieces, _, _ = load(tmp_path, params=params)
  for one, other, like in zip(*map(jax.tree.leaves, (whole, pieces, params)), strict=True):
    assert other.sharding == like.sharding
    np.testing.assert_array_equal(one, other, strict=True)


def test_only_one_tensor_is_read_at_a_time():
  """What has been read before is gone when the next is read."""
  alive = set()

  def read(value):
    array = np.full(100, value, np.float32)
    alive.add(value)
    weakref.finalize(array, alive.remove, value)
    assert len(alive) <= 2, "a third tensor is read while two are held"
    return array

  tensors = {str(i): Tensor((100,), np.dtype("float32"), functools.partial(read, i)) for i in range(9)}
  leaves = {str(i): jax.ShapeDtypeStruct((100,), "float32") for i in range(9)}
  file = WeightsFile("w", tensors, {})
  found = fill(file, plan(file, Table(tuple(Row(str(i), str(i)) for i in range(9))), leaves), leaves)
  assert [int(found[str(i)][0]) for i in range(9)] == list(range(9))


def test_loaded_arrays_may_be_donated(tmp_path):
  """They are copies: what is done to them in place reaches neither the file nor a second load."""
  params, _, _ = load(tmp_path)
  step = jax.jit(lambda p: jax.tree.map(lambda x: x * 0, p), donate_argnums=0)
  jax.block_until_ready(step(params))
  again, _, _ = load(tmp_path)
  np.testing.assert_array_equal(again["token"], TENSORS["net.token"].ravel())


# --- writing ---------------------------------------------------------------------------------------------------------


def test_the_table_read_backwards(tmp_path):
  params, buffers, _ = load(tmp_path)
  export(tmp_path / "out.safetensors", TABLE, params, buffers)
  out = open_weights(tmp_path / "out.safetensors")
  assert out.metadata == {"format": "pt"} and set(out.tensors) == set(TENSORS) - {"net.steps"}
  for name, tensor in out.tensors.items():
    np.testing.assert_array_equal(tensor.read(), TENSORS[name], strict=True)
  with pytest.raises(ConfigError, match="exported to"):
    export(tmp_path / "out.bin", TABLE, params, buffers)


def test_theirs_knows_only_what_it_has():
  with pytest.raises(KeyError):
    Theirs(Table((Row("a", "x"),)), {"y": jnp.ones(1)})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_our_own_files_bit_for_bit(dtype, tmp_path):
  params = jax.tree.map(lambda s: jnp.asarray(RANDOM.standard_normal(s.shape), dtype), abstract(PARAMS))
  buffers = jax.tree.map(lambda s: jnp.asarray(RANDOM.standard_normal(s.shape)), abstract(BUFFERS))
  save(tmp_path / "ours.safetensors", params, buffers, config_hash="0123456789ab")
  assert open_weights(tmp_path / "ours.safetensors").metadata["config_hash"] == "0123456789ab"
  pretrained = Pretrained(path="ours.safetensors", names="fieldwork")
  found = pretrained.load(tmp_path, object(), abstract(PARAMS, dtype), abstract(BUFFERS))
  for one, other in zip(jax.tree.leaves(found[:2]), jax.tree.leaves((params, buffers)), strict=True):
    np.testing.assert_array_equal(one, other, strict=True)


# --- the setting -----------------------------------------------------------------------------------------------------


def test_mistakes_in_the_setting_are_said_before_anything_is_read(tmp_path):
  for changes, words in (({"fresh": ("(",)}, "regular expressions"), ({"sha256": "abc"}, "64 hexadecimal"),
                         ({"path": ""}, "empty")):
    with pytest.raises(ConfigError, match=words):
      Pretrained(**{"path": "w.npz", "names": "hf", **changes})
  missing = Pretrained(path="w.npz", names="hf")
  for folder, words in ((None, "give --data_dir"), (tmp_path, "there is no file")):
    with pytest.raises(WeightsError, match=words):
      missing.check(folder, Model(), abstract(PARAMS), abstract(BUFFERS))


def test_the_digest_is_compared_before_the_file_is_used(tmp_path):
  refused(tmp_path, TENSORS, "its sha256 is", sha256="0" * 64)
