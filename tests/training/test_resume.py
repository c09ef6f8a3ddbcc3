"""A run that was killed and started again by the same command is the run that was left alone, bit for bit."""

import json
import math
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import jax
import numpy as np
import pytest
import recipes
from etils import epath

from research.training import digests
from research.training.checkpoint import Checkpoints

SHORT = "--training.steps=120"
VARIANTS = {
    "average": ["--data.eval_batch_size=1", "--training.steps=200"],  # most of its time goes into evaluations
    "stopping": ["--training.best_metric=test/loss", "--training.evaluate_with=best", "--training.stopping.patience=4",
                 "--training.stopping.plateau=40", "--optimizer.learning_rate=0.02"],
    "chunks": ["--training.steps_per_call=4", "--training.evaluate_with=checkpoints", "--training.keep_last=3",
               "--training.save_every=5%"],
    "images": [],
    "texts": [],
    "sounds": [],
}
EXPERIMENTS = {"images": recipes.IMAGES, "texts": recipes.TEXTS, "sounds": recipes.SOUNDS}  # the others are variants of one


def last_state(run: pathlib.Path) -> tuple[int, dict[str, bytes]]:
  """The newest checkpoint: its step, and the bits of every leaf by its path."""
  checkpoints = Checkpoints(epath.Path(run) / "checkpoints", keep_last=1, keep_best=0, best_metric=None, best_mode="max")
  step = checkpoints.steps()[-1]
  leaves = json.loads((run / "checkpoints" / str(step) / "facts.json").read_text())["leaves"]
  like = {}
  for path, text in leaves.items():
    dtype, shape = re.fullmatch(r"(.*)\[(.*)\]", text).groups()
    like[path] = jax.ShapeDtypeStruct(
        tuple(map(int, filter(None, shape.split(", ")))), jax.random.key(0).dtype if dtype == "key<fry>" else dtype,
        sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]))
  state, _ = checkpoints.restore(step, like)
  raw = lambda leaf: jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
  return step, {path: np.asarray(raw(leaf)).tobytes() for path, leaf in state.items()}


def curves(run: pathlib.Path) -> list[dict]:
  """The rows of metrics.jsonl without the speeds; each step is there once, and in order."""
  rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  rows = [{name: value for name, value in row.items() if not name.startswith("speed/")} for row in rows]
  for kind in ("train/loss", "test/loss"):
    steps = [row["step"] for row in rows if kind in row]
    assert steps == sorted(set(steps)), (kind, steps)
  return rows


def found(run: pathlib.Path) -> dict:
  """The findings but for the time they took."""
  findings = json.loads((run / "findings.json").read_text())
  return {name: value for name, value in findings.items() if name not in ("seconds", "compute")}


def assert_same_run(run: pathlib.Path, other: pathlib.Path) -> None:
  (step, state), (other_step, other_state) = last_state(run), last_state(other)
  assert step == other_step and state.keys() == other_state.keys()
  assert [path for path in state if state[path] != other_state[path]] == []
  assert curves(run) == curves(other)
  assert found(run) == found(other)
  kept = lambda run: sorted(path.name for path in (run / "checkpoints").iterdir() if ".damaged" not in path.name)
  assert kept(run) == kept(other)


def check_end(code: int, error: str, sent: signal.Signals | None, run: pathlib.Path) -> None:
  """The exit code and the last line are what the signal and the moment call for."""
  # Python cleans up after worker processes, and says so after the last line; one whose parent dies while it starts says more.
  error = re.sub(r"\S*resource_tracker\.py:\d+: UserWarning: .*\n.*\n", "", error)
  assert "Traceback" not in error or sent == signal.SIGKILL, error
  began, measured = "small in " in error, (run / "findings.json").exists()
  if code == 0:
    assert (run / "record.json").exists()
  elif sent == signal.SIGTERM and code == 143:
    assert re.search(r"(^|\n)ended by SIGTERM; the same command goes on where it was \(.*\)\n$", error), error
    assert error.count("ended by") == 1
  else:  # nothing had begun, or all but the report was done: the signal kills as it kills everything
    assert code == -sent and (sent == signal.SIGKILL or not began or measured), (code, sent, error)


def kill(process: subprocess.Popen, sent: signal.Signals, seconds: float) -> tuple[int, str]:
  """Sends a signal after so many seconds, if the process is still there. Returns its exit code and its last words."""
  try:
    _, error = process.communicate(timeout=seconds)
  except subprocess.TimeoutExpired:
    process.send_signal(sent)
    _, error = process.communicate(timeout=120)
  return process.returncode, error


def wait_for(process: subprocess.Popen, words: str) -> str:
  """Reads standard error up to a line that holds these words."""
  read = ""
  for line in process.stderr:
    read += line
    if words in line:
      return read
  raise AssertionError(read)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> pathlib.Path:
  """A short run that was left alone."""
  home = tmp_path_factory.mktemp("undisturbed")
  done = recipes.launch(home, f"--experiment={recipes.write(home)}", f"--workdir={home / 'run'}", SHORT)
  assert done.returncode == 0, done.stderr
  return home / "run"


# --- killed ----------------------------------------------------------------------------------------------------------


def test_killed_and_started_again_is_as_if_left_alone(tmp_path, undisturbed):
  command = [f"--experiment={recipes.write(tmp_path)}", SHORT]  # no --workdir: it finds what it had begun
  runs = tmp_path / "fieldwork" / "small"
  for sent, words in ((signal.SIGKILL, "step 20/"), (signal.SIGTERM, "step 60/")):
    with recipes.start(tmp_path, *command) as process:
      read = wait_for(process, words)
      code, error = kill(process, sent, 0.1)
    run, = runs.iterdir()
    check_end(code, read + error, sent, run)
    assert code == (143 if sent == signal.SIGTERM else -signal.SIGKILL)
  done = recipes.launch(tmp_path, *command)
  assert done.returncode == 0 and "goes on at step" in done.stderr, done.stderr
  assert list(runs.iterdir()) == [run]
  assert_same_run(run, undisturbed)


@pytest.mark.heavy
@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_at_many_random_moments_is_as_if_left_alone(tmp_path, variant):
  command = [f"--experiment={recipes.write(tmp_path, experiment=EXPERIMENTS.get(variant, recipes.SMALL))}", *VARIANTS[variant]]
  generator = random.Random(variant)
  alone = tmp_path / "alone"
  assert recipes.launch(tmp_path, *command, f"--workdir={alone}").returncode == 0  # also fills the compilation cache
  if variant == "stopping":
    assert found(alone)["stopped"]
  begin = time.monotonic()
  assert recipes.launch(tmp_path, *command, f"--workdir={tmp_path / 'second'}").returncode == 0
  longest = time.monotonic() - begin
  assert_same_run(tmp_path / "second", alone)
  kills, ends, code = 0, [], None
  while kills < 7 or code != 0:
    run = tmp_path / f"run{len(ends)}"
    sent = (signal.SIGKILL, signal.SIGTERM)[kills % 2]
    moment = generator.uniform(0, longest) if kills < 7 else math.inf
    with recipes.start(tmp_path, *command, f"--workdir={run}") as process:
      code, error = kill(process, sent, min(moment, 300))
    check_end(code, error, sent, run)
    print(f"{sent.name} after {moment:.1f} s of {longest:.1f}: {code}, {error.splitlines()[-1:]}")
    kills += code != 0
    if code == 0:
      assert_same_run(run, alone)
      ends.append(run)
  assert ends


def free_port() -> int:
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


def start_two(home: pathlib.Path, *command) -> list[subprocess.Popen]:
  port = free_port()
  return [recipes.start(home, *command, f"--coordinator=127.0.0.1:{port}", "--num_processes=2", f"--process_id={number}")
          for number in range(2)]


def end(processes: list[subprocess.Popen], timeout: float) -> list[tuple[int, str]]:
  """Waits for all of them. Returns exit codes and what they said."""
  try:
    said = [process.communicate(timeout=timeout)[1] for process in processes]
  finally:
    for process in processes:
      process.kill()
  return [(process.returncode, error) for process, error in zip(processes, said)]


@pytest.mark.heavy
def test_two_processes_that_are_killed_go_on_as_if_left_alone(tmp_path):
  command = [f"--experiment={recipes.write(tmp_path)}", "--training.steps=240"]
  for code, error in end(start_two(tmp_path, *command), 120):
    assert code == 2 and "processes that train together need --workdir" in error, error
  alone, run = tmp_path / "alone", tmp_path / "run"
  for code, error in end(start_two(tmp_path, *command, f"--workdir={alone}"), 300):
    assert code == 0, error
  generator = random.Random(0)
  # None: both are killed. A number: that one alone gets SIGTERM. The first two are compiling, the others between two lines.
  for words, receiver in (("small in ", None), ("small in ", 1), ("step 40/", None), ("step 100/", 0), ("step 160/", 1)):
    processes = start_two(tmp_path, *command, f"--workdir={run}")
    read = wait_for(processes[0], words)
    time.sleep(generator.uniform(0, 0.5))
    if receiver is None:
      for process in processes:
        process.kill()
      assert [code for code, _ in end(processes, 60)] == [-signal.SIGKILL] * 2
    else:
      processes[receiver].send_signal(signal.SIGTERM)
      results = end(processes, 120)
      assert [code for code, _ in results] == [143, 143], (read, results)
      assert results[0][1].splitlines()[-1].startswith("ended by SIGTERM; the same command goes on where it was")
      steps = {re.search(r"SIGTERM: ending after step (\d+)", error)[1] for _, error in results}
      assert len(steps) == 1, steps
      print(f"SIGTERM to process {receiver} after {words!r}: both ended after step", *steps)
  for code, error in end(start_two(tmp_path, *command, f"--workdir={run}"), 300):
    assert code == 0, error
  assert_same_run(run, alone)


# --- elsewhere -------------------------------------------------------------------------------------------------------


def as_if_killed(run: pathlib.Path, to: pathlib.Path, step: int) -> pathlib.Path:
  """A copy of a finished run as it would be, had it been killed after it saved this step."""
  shutil.copytree(run, to)
  for name in ("findings.json", "record.json", "report.html"):
    (to / name).unlink()
  for path in (to / "checkpoints").iterdir():
    if int(path.name) > step:
      shutil.rmtree(path)
  return to


def losses(run: pathlib.Path, first: int, last: int) -> np.ndarray:
  rows = [row for row in curves(run) if "train/loss" in row and first <= row["step"] <= last]
  assert len(rows) == last - first + 1
  return np.array([row["train/loss"] for row in rows])


@pytest.mark.heavy
def test_goes_on_with_other_numbers_of_devices(tmp_path):
  command = [f"--experiment={recipes.write(tmp_path)}", "--training.steps=36", "--training.log_every=1",
             "--training.keep_last=9"]
  eight = tmp_path / "8"
  done = recipes.launch(tmp_path, *command, f"--workdir={eight}", **recipes.devices(8))
  assert done.returncode == 0, done.stderr
  for number in (1, 4):
    run = as_if_killed(eight, tmp_path / str(number), 12)
    done = recipes.launch(tmp_path, *command, f"--workdir={run}", **recipes.devices(number))
    assert done.returncode == 0 and "goes on at step 12" in done.stderr, done.stderr
    np.testing.assert_allclose(losses(run, 13, 32), losses(eight, 13, 32), rtol=2e-5)


@pytest.mark.heavy
def test_eight_devices_compute_what_one_computes(tmp_path):
  path = recipes.write(tmp_path, '{"x64": True}')
  command = [f"--experiment={path}", "--training.precision=float64", "--training.steps=200", "--training.log_every=1",
             "--training.save_every=0", "--training.evaluate_every=0"]
  for number in (1, 8):
    done = recipes.launch(tmp_path, *command, f"--workdir={tmp_path / str(number)}", **recipes.devices(number))
    assert done.returncode == 0, done.stderr
  np.testing.assert_allclose(losses(tmp_path / "8", 1, 200), losses(tmp_path / "1", 1, 200), rtol=1e-9)


# --- what can go wrong -----------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_said_and_the_one_before_it_taken(tmp_path, undisturbed):
  run = as_if_killed(undisturbed, tmp_path / "run", 120)
  damaged = max((run / "checkpoints" / "120").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
  data = bytearray(damaged.read_bytes())
  data[len(data) // 2] ^= 1
  damaged.write_bytes(data)
  done = recipes.launch(tmp_path, f"--experiment={recipes.write(tmp_path)}", f"--workdir={run}", SHORT)
  assert done.returncode == 0, done.stderr
  lines = [line for line in done.stderr.splitlines() if " is damaged: " in line]
  assert len(lines) == 1 and "checkpoints/120 is damaged" in lines[0]
  assert "goes on at step 108" in done.stderr
  assert_same_run(run, undisturbed)


def one_error(done: subprocess.CompletedProcess) -> str:
  """The one line that says what was wrong."""
  assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
  lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
  assert len(lines) == 1 and done.stderr.splitlines()[-1] == lines[0], done.stderr
  return lines[0]


def test_a_loss_that_is_not_finite_ends_the_run_and_is_not_saved(tmp_path):
  command = [f"--experiment={recipes.write(tmp_path)}", "--data.shuffle=false"]
  # Steps of 16: the bad example is in step 32, which no log line ends and a save follows (36).
  bad = recipes.launch(tmp_path, *command, "--data.train.bad=500", "--training.log_every=50", f"--workdir={tmp_path / 'bad'}")
  assert re.search(r"error: the .* is not finite at step 32; the last good checkpoint is step 24 in ", one_error(bad))
  digests_of = lambda run: {path.name: digests.find_damage(epath.Path(path)) for path in (run / "checkpoints").iterdir()}
  assert digests_of(tmp_path / "bad") == {"12": None, "24": None}
  steep = recipes.launch(tmp_path, *command, "--optimizer.learning_rate=1e20", "--training.save_every=1",
                         "--training.evaluate_every=0", f"--workdir={tmp_path / 'steep'}")
  line = one_error(steep)
  step = int(re.search(r"is not finite at step (\d+); ", line)[1])
  assert step <= 4
  print(line)
  for path in (tmp_path / "steep" / "checkpoints").iterdir():
    assert int(path.name) < step
  saved, state = last_state(tmp_path / "steep")
  assert saved < step
  for path, data in state.items():
    assert not path.startswith("params/") or np.isfinite(np.frombuffer(data, np.float32)).all()


MOUNT = """
  mount -t tmpfs -o "$1" none "$0" || exit 99
  shift
  "$@"
  code=$?
  cp -r "$0" "$0.after"
  exit $code
"""


@pytest.mark.parametrize("options", ["size=260k", "ro"])
def test_a_disk_that_is_full_or_cannot_be_written(tmp_path, undisturbed, options):
  small = tmp_path / "small_disk"
  small.mkdir()
  prefix = ("unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(small), options)
  if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
    pytest.skip("a small file system cannot be mounted here")
  shutil.rmtree(f"{small}.after")
  command = [f"--experiment={recipes.write(tmp_path)}", SHORT]
  line = one_error(recipes.launch(tmp_path, *command, f"--workdir={small / 'run'}", prefix=prefix))
  print(line)
  after = pathlib.Path(f"{small}.after")
  if options == "ro":
    assert "cannot be written" in line and not list(after.iterdir())
    return
  assert "No space left on device" in line
  done = recipes.launch(tmp_path, *command, f"--workdir={after / 'run'}")
  assert done.returncode == 0 and "goes on at step" in done.stderr, done.stderr
  assert_same_run(after / "run", undisturbed)
