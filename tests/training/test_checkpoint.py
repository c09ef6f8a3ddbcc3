import dataclasses
import errno
import json
import os
import pathlib
import random
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from research.training import digests
from research.training.checkpoint import CheckpointError, Checkpoints

ROOT = pathlib.Path(__file__).parents[2]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  step: jax.Array
  key: jax.Array
  params: Any
  optimizer: Any
  average: Any


def make_state(seed: int) -> State:
  keys = jax.random.split(jax.random.key(seed), 3)
  params = {"layers": [{"kernel": jax.random.normal(keys[0], (8, 16)), "bias": None}, {}],
            "half": (jax.random.normal(keys[1], (5,), jnp.bfloat16), jax.random.normal(keys[2], (2,), jnp.float16))}
  return State(
      step=jnp.int32(seed),
      key=keys[0],
      params=params,
      optimizer=optax.chain(optax.clip(1.0), optax.adamw(1e-3)).init(params),
      average=None,
  )


def raw(leaf) -> np.ndarray:
  return np.asarray(jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


def assert_same_bits(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b)):
    assert x.dtype == y.dtype and x.shape == y.shape, path
    assert raw(x).tobytes() == raw(y).tobytes(), path


def like(state):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)


def checkpoints(folder, **changes) -> Checkpoints:
  settings = {"keep_last": 3, "keep_best": 0, "best_metric": None, "best_mode": "max"}
  return Checkpoints(epath.Path(folder), **settings | changes)


def save(checkpoints: Checkpoints, step: int, facts=None, metrics=None) -> State:
  state = make_state(step)
  checkpoints.save(step, state, facts or {}, metrics)
  checkpoints.wait()
  return state


def start_python(script: str, *arguments, prefix=(), **environment) -> subprocess.Popen:
  env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | environment
  command = [*prefix, sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
  return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def python(*arguments, **settings) -> tuple[list[str], str]:
  """Lines of standard output, and standard error."""
  with start_python(*arguments, **settings) as process:
    out, error = process.communicate(timeout=300)
  return out.splitlines(), error


# --- what goes in comes out ------------------------------------------------------------------------------------------


def test_a_state_comes_back_bit_for_bit(tmp_path):
  nan_with_payload = np.array([0x7FC12345, 0xFF800001, 0x80000000, 1], np.uint32).view(np.float32)
  state = (make_state(1), {
      "odd floats": jnp.asarray(nan_with_payload), "flags": jnp.array([True, False]),
      "bytes": jnp.arange(-3, 3, dtype=jnp.int8), "no elements": jnp.zeros((0, 3), jnp.bfloat16),
      "keys": jax.random.split(jax.random.key(3), (2, 2)),
      "rbg": jax.random.key(1, impl="rbg"), "nothing": {}, "empty": (optax.EmptyState(), None, ())})
  facts = {"data": {"epoch": 2, "position": [1, 2]}, "loss": 0.1 + 0.2, "worst": float("inf"), "note": "é", "no": None}
  first = checkpoints(tmp_path)
  first.save(7, state, facts, None)
  first.close()
  restored, restored_facts = checkpoints(tmp_path).restore(None, like(state))
  assert_same_bits(state, restored)
  assert restored_facts == facts


def test_a_state_may_be_donated_as_soon_as_save_returns(tmp_path):
  spoil = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 - 1, tree), donate_argnums=0)
  state = {"x": jax.random.normal(jax.random.key(0), (500, 1000)), "step": jnp.int32(1)}
  expected = jax.tree.map(lambda x: np.array(x, copy=True), state)
  shapes = like(state)
  run = checkpoints(tmp_path)
  run.save(1, state, {}, None)
  for _ in range(5):
    state = spoil(state)
  run.wait()
  restored, _ = run.restore(1, shapes)
  assert_same_bits(expected, restored)


class Moments(NamedTuple):
  mu: Any
  nu: Any


def test_containers_may_change_their_type(tmp_path):
  x, y = jnp.arange(3.0), jnp.arange(4)
  run = checkpoints(tmp_path)
  run.save(1, {"optimizer": (Moments(mu=[x], nu={"0": y}), optax.EmptyState())}, {}, None)
  restored, _ = run.restore(1, like({"optimizer": [{"mu": (x,), "nu": [y]}]}))
  assert_same_bits({"optimizer": [{"mu": (x,), "nu": [y]}]}, restored)


def test_restores_onto_other_numbers_of_devices_and_other_shardings(tmp_path, request):
  if jax.device_count() < 8:
    lines, error = python("import pytest, sys; pytest.main([sys.argv[1], '-p', 'no:cacheprovider'])",
                          request.node.nodeid, XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert lines[-1].startswith("1 passed"), (lines, error)
    return
  mesh = lambda *shape: Mesh(np.array(jax.devices()[:np.prod(shape)]).reshape(shape), ("data", "fsdp")[:len(shape)])
  x, keys = jax.random.normal(jax.random.key(0), (16, 8)), jax.random.split(jax.random.key(1), 8)
  place = lambda sharding: jax.device_put({"x": x, "keys": keys}, sharding)
  eight, four, one = NamedSharding(mesh(8), P("data")), NamedSharding(mesh(4), P("data")), NamedSharding(mesh(1), P())
  grid, single = NamedSharding(mesh(2, 4), P("fsdp")), jax.sharding.SingleDeviceSharding(jax.devices()[5])
  for number, (written, read) in enumerate([(eight, [eight, grid, four, one, single]), (single, [eight])]):
    run = checkpoints(tmp_path / str(number))
    run.save(1, place(written), {}, None)
    for wanted in read:
      target = place(wanted)
      restored, _ = run.restore(1, like(target))
      assert_same_bits(target, restored)
      assert restored["x"].sharding == wanted
      assert restored["keys"].sharding.is_equivalent_to(wanted, 1)


def test_a_state_that_does_not_fit_is_described_at_once(tmp_path):
  run = checkpoints(tmp_path)
  key, zeros = jax.random.key(0), jnp.zeros
  run.save(1, {"params": {"a": zeros((2, 3)), "b": zeros(2), "c": zeros(1)}, "key": key}, {}, None)
  other = {"params": {"a": zeros((2, 4)), "b": zeros(2, jnp.int32), "d": zeros(1)}, "key": key}
  with pytest.raises(CheckpointError) as caught:
    run.restore(1, like(other))
  assert str(caught.value).splitlines() == [
      f"{tmp_path}/1 does not fit this state:",
      "  params/a: float32[2, 3] in the checkpoint, float32[2, 4] in the state",
      "  params/b: float32[2] in the checkpoint, int32[2] in the state",
      "  params/c: float32[1] in the checkpoint, absent in the state",
      "  params/d: absent in the checkpoint, float32[1] in the state"]


# --- damage ----------------------------------------------------------------------------------------------------------


def damages():
  """Every way to damage a file: name to a function of its bytes."""
  flip = lambda data, at, bit: data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]
  yield "flipped first", lambda data: flip(data, 0, 1)
  yield "flipped middle", lambda data: flip(data, len(data) // 2, 64)
  yield "flipped last", lambda data: flip(data, len(data) - 1, 128)
  yield "truncated", lambda data: data[:-1]
  yield "longer", lambda data: data + b"\0"
  yield "missing", lambda data: None


def test_damage_to_any_file_is_reported_and_the_step_before_is_used(tmp_path, caplog):
  run = checkpoints(tmp_path)
  older, _ = save(run, 1, {"at": 1}), save(run, 2, {"at": 2})
  newest = tmp_path / "2"
  names = sorted(str(path.relative_to(newest)) for path in newest.rglob("*") if path.is_file())
  assert {digests.MANIFEST, "facts.json", "_CHECKPOINT_METADATA", "state/_METADATA"} <= set(names)
  assert any(name.startswith("state/ocdbt.process_0/d/") for name in names)
  for name in names:
    whole = (newest / name).read_bytes()
    for kind, change in damages():
      if not whole and kind != "longer" and kind != "missing":
        continue
      path = newest / name
      changed = change(whole)
      path.unlink() if changed is None else path.write_bytes(changed)
      caplog.clear()
      fresh = checkpoints(tmp_path)
      if kind == "flipped middle":
        restored, facts = fresh.restore(None, like(older))
        assert_same_bits(older, restored)
        assert facts == {"at": 1}
      else:
        assert fresh.latest() == 1
      assert len(caplog.messages) == 1
      assert caplog.messages[0].startswith(f"{tmp_path}/2 is damaged: {name} "), (kind, caplog.messages)
      assert not newest.exists()
      (tmp_path / "2.damaged").rename(newest)
      path.write_bytes(whole)
  (newest / "state" / "extra").write_bytes(b"")
  assert checkpoints(tmp_path).latest() == 1
  assert "state/extra does not belong there" in caplog.messages[-1]


def test_a_damaged_step_is_kept_aside_and_its_number_is_free(tmp_path):
  for round_ in range(3):
    run = checkpoints(tmp_path)
    state = save(run, 1)
    (tmp_path / "1" / "facts.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"no whole checkpoint; there are 1\.damaged"):
      checkpoints(tmp_path).restore(None, like(state))
    assert len(list(tmp_path.glob("1.damaged*"))) == round_ + 1
  assert json.loads((tmp_path / "1.damaged-2" / "facts.json").read_text()) == {}


def test_a_step_asked_for_by_number_is_never_replaced_by_another(tmp_path):
  run = checkpoints(tmp_path)
  state = save(run, 1)
  save(run, 2)
  (tmp_path / "2" / "facts.json").write_text("{}")
  with pytest.raises(CheckpointError, match=r"no whole checkpoint of step 2; there are 1, 2\.damaged"):
    run.restore(2, like(state))
  with pytest.raises(CheckpointError, match="no whole checkpoint of step 5"):
    run.restore(5, like(state))
  assert_same_bits(run.restore(1, like(state))[0], state)


def test_an_empty_and_an_absent_folder_hold_nothing(tmp_path):
  for folder in (tmp_path, tmp_path / "absent"):
    run = checkpoints(folder)
    assert run.steps() == [] and run.latest() is None
    with pytest.raises(CheckpointError, match="has no whole checkpoint; there are none"):
      run.restore(None, {})


# --- saves that are under way, killed or impossible ------------------------------------------------------------------


def test_a_save_is_written_behind_the_loop_and_counts_when_its_manifest_stands(tmp_path, monkeypatch):
  go_on, write, order = threading.Event(), digests.write_manifest, []
  def slow(folder):
    assert go_on.wait(30)
    write(folder)
    order.append(folder.name)
  monkeypatch.setattr(digests, "write_manifest", slow)
  run = checkpoints(tmp_path)
  run.save(1, make_state(1), {}, None)
  assert run.steps() == [] and checkpoints(tmp_path).latest() is None
  threading.Timer(0.2, go_on.set).start()
  run.save(2, make_state(2), {}, None)
  assert order == ["1"] and 1 in run.steps()
  run.close()
  assert run.steps() == [1, 2]


def test_an_error_elsewhere_does_not_cost_the_save_under_way(tmp_path):
  with pytest.raises(KeyError), checkpoints(tmp_path) as run:
    run.save(1, make_state(1), {}, None)
    raise KeyError
  assert checkpoints(tmp_path).latest() == 1


def test_leftovers_of_killed_saves_and_deletions_are_ignored_then_removed(tmp_path):
  run = checkpoints(tmp_path)
  for step in (1, 2, 3):
    save(run, step)
  (tmp_path / "3" / digests.MANIFEST).unlink()  # killed between Orbax's commit and the manifest
  (tmp_path / "3.unfinished").touch()
  (tmp_path / "1" / "facts.json").unlink()  # killed while it was deleted
  (tmp_path / "1.unfinished").touch()
  (tmp_path / "4.unfinished").touch()  # killed while Orbax was writing
  (tmp_path / "4.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
  run = checkpoints(tmp_path)
  assert run.steps() == [2] and run.latest() == 2
  save(run, 3)
  assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_a_disk_that_fills_is_one_line_and_costs_nothing_saved(tmp_path, monkeypatch):
  run = checkpoints(tmp_path, keep_last=1)
  state = save(run, 1)
  with monkeypatch.context() as patch:
    def full(folder):
      assert (tmp_path / "1" / digests.MANIFEST).exists()  # the older one goes only after the newer one is whole
      raise OSError(errno.ENOSPC, "No space left on device")
    patch.setattr(digests, "write_manifest", full)
    run.save(2, make_state(2), {}, None)
    with pytest.raises(CheckpointError) as caught:
      run.wait()
  start = f"step 2 could not be saved to {tmp_path}"
  assert str(caught.value) == f"{start} (No space left on device); the last good step is 1"
  assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]
  assert_same_bits(run.restore(None, like(state))[0], state)
  run.wait()  # it is said once
  save(run, 2)
  assert run.steps() == [2]


FILL = """
  import resource, sys, jax, jax.numpy as jnp
  from etils import epath
  from research.training.checkpoint import CheckpointError, Checkpoints
  folder, limit = epath.Path(sys.argv[1]), int(sys.argv[2])
  state = lambda size: {"x": jax.random.normal(jax.random.key(0), (size, 1000), jnp.float64), "n": jnp.int64(2**40)}
  new = lambda: Checkpoints(folder, keep_last=3, keep_best=0, best_metric=None, best_mode="max")
  run = new()
  run.save(1, state(100), {"at": 1}, None)
  run.wait()
  if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
  for _ in range(2):
    run.save(2, state(1000), {}, None)
    try:
      run.wait()
    except CheckpointError as error:
      print(error)
  like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state(100))
  restored, facts = new().restore(None, like)
  for name, array in state(100).items():
    assert array.dtype.itemsize == 8 and restored[name].dtype == array.dtype
    assert restored[name].tobytes() == array.tobytes()
  run.save(3, state(110), {}, None)
  run.close()
  print(run.steps(), sorted(path.name for path in folder.iterdir()))
"""


def test_a_limit_on_file_sizes_is_one_line_each_time_and_float64_comes_back_bit_for_bit(tmp_path):
  lines, error = python(FILL, tmp_path, 4_000_000, JAX_ENABLE_X64="1")
  line = f"step 2 could not be saved to {tmp_path} (File too large); the last good step is 1"
  assert lines == [line, line, "[1, 3] ['1', '3']"], error


@pytest.mark.heavy
def test_a_full_file_system_is_one_line_each_time(tmp_path):
  start = f"step 2 could not be saved to {tmp_path}"
  mount = 'mount -t tmpfs -o size=6m none "$0" && exec "$@"'
  private = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path))
  if subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
    pytest.skip("a small file system cannot be mounted here")
  lines, error = python(FILL, tmp_path, 0, prefix=private, JAX_ENABLE_X64="1")
  line = f"{start} (No space left on device); the last good step is 1"
  assert lines == [line, line, "[1, 3] ['1', '3']"], error


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(CheckpointError, match=r"step 1 could not be saved to .*file/checkpoints \(Not a directory\)"):
    save(checkpoints(tmp_path / "file" / "checkpoints"), 1)
  run = checkpoints(tmp_path)
  save(run, 1)
  with pytest.raises(CheckpointError, match="never overwritten"):
    save(run, 1)


KILLED = """
  import sys, jax, jax.numpy as jnp
  from etils import epath
  from research.training.checkpoint import Checkpoints
  def state(step):
    return {"step": jnp.int32(step), "x": jax.random.normal(jax.random.key(step), (1000, 1000))}
  run = Checkpoints(epath.Path(sys.argv[1]), keep_last=2, keep_best=0, best_metric=None, best_mode="max")
  start = run.latest() or 0
  print("start", start, flush=True)
  for step in range(start + 1, 1000):
    run.save(step, state(step), {"step": step}, None)
    print("saving", step, flush=True)
"""


def kill_at_moments(folder, moments):
  """Kills a run again and again, each time so many seconds into its third save; each starts from what it finds."""
  state = lambda step: {"step": jnp.int32(step), "x": jax.random.normal(jax.random.key(step), (1000, 1000))}
  found = 0
  for moment in moments:
    process = start_python(KILLED, folder)
    lines = [process.stdout.readline() for _ in range(4)]
    time.sleep(moment)
    process.kill()
    _, error = process.communicate()
    assert lines == [f"start {found}\n", *(f"saving {found + n}\n" for n in (1, 2, 3))], error
    run = checkpoints(folder)
    restored, facts = run.restore(None, like(state(0)))
    assert facts["step"] >= found + 2  # `save` has waited for the one before it
    found = facts["step"]
    assert_same_bits(restored, state(found))
  save(checkpoints(folder, keep_last=1), found + 1)
  assert [path.name for path in folder.iterdir()] == [str(found + 1)]


def test_a_run_that_is_killed_while_it_saves_goes_on_from_whole_steps(tmp_path):
  kill_at_moments(tmp_path, [0.03])


@pytest.mark.heavy
def test_a_run_that_is_killed_at_many_moments_goes_on_from_whole_steps(tmp_path):
  generator = random.Random(0)
  kill_at_moments(tmp_path, [generator.uniform(0, 0.25) for _ in range(20)])


# --- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kept"), [("max", [2, 4, 8, 9]), ("min", [1, 5, 8, 9])])
def test_the_newest_and_the_best_are_kept(tmp_path, mode, kept):
  scores = {1: 0.1, 2: 0.9, 3: None, 4: 0.8, 5: 0.2, 6: float("nan"), 7: 0.5, 8: None, 9: 0.3}
  for step, score in scores.items():
    # A fresh object each time: a resumed run knows the metrics of the steps before it.
    run = checkpoints(tmp_path, keep_last=2, keep_best=2, best_metric="accuracy", best_mode=mode)
    save(run, step, metrics=None if score is None else {"accuracy": score, "loss": 1.0})
  assert run.steps() == kept


def test_a_best_metric_that_is_not_measured_is_said(tmp_path):
  run = checkpoints(tmp_path, keep_best=1, best_metric="acuracy")
  with pytest.raises(CheckpointError, match="'acuracy', which is not measured; there are accuracy, loss"):
    save(run, 1, metrics={"loss": 1.0, "accuracy": 0.5})
