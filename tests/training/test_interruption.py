import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from research.training.interruption import Interrupted, Interruption

ROOT = pathlib.Path(__file__).parents[2]


def send(number: int) -> None:
  os.kill(os.getpid(), number)


def start(script: str, *arguments) -> subprocess.Popen:
  env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
  command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
  return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_a_request_that_the_loop_answers(number, exit_code, capfd):
  with Interruption(message="go on so") as interruption:
    interruption.raise_if_requested()
    assert not interruption.agree(4)
    send(number)
    assert interruption.requested and interruption.agree(5) and interruption.agree(6)
    with pytest.raises(Interrupted, match="go on so") as caught:
      interruption.raise_if_requested()
  assert caught.value.exit_code == interruption.exit_code == exit_code
  assert capfd.readouterr().err.splitlines() == [f"{signal.Signals(number).name}: ending after step 5"]


def test_except_exception_does_not_swallow_it():
  assert not issubclass(Interrupted, Exception)


def test_everything_is_as_before_afterwards():
  mine = lambda number, frame: None
  reader, writer = socket.socketpair()
  writer.setblocking(False)
  before = signal.signal(signal.SIGINT, mine), signal.signal(signal.SIGTERM, signal.SIG_IGN)
  descriptor = signal.set_wakeup_fd(writer.fileno())
  threads = threading.active_count()
  try:
    for _ in range(3):
      with pytest.raises(KeyError), Interruption():
        raise KeyError
    assert signal.getsignal(signal.SIGINT) is mine
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    assert threading.active_count() == threads
  finally:
    assert signal.set_wakeup_fd(descriptor) == writer.fileno()
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])
    reader.close()
    writer.close()


def test_a_handler_from_c_is_told_of_the_signal_and_put_back():
  libc, calls = ctypes.CDLL(None), []
  libc.signal.restype = ctypes.c_void_p
  libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
  theirs = ctypes.CFUNCTYPE(None, ctypes.c_int)(calls.append)
  address = ctypes.cast(theirs, ctypes.c_void_p).value
  before = libc.signal(signal.SIGTERM, address)
  try:
    for number in (signal.SIGTERM, signal.SIGINT):  # jax has no notion of SIGINT: the others hear of it in the same way
      calls.clear()
      with Interruption() as interruption:
        send(number)
        assert interruption.requested
      assert set(calls) == {signal.SIGTERM}
  finally:
    assert libc.signal(signal.SIGTERM, before) == address


@pytest.mark.filterwarnings("ignore:os.fork")
def test_a_signal_to_a_forked_worker_is_its_own_affair():
  reader, writer = os.pipe()
  with Interruption(grace=60) as interruption:
    child = os.fork()
    if child == 0:
      os.write(writer, b"!")
      time.sleep(20)
      os._exit(0)
    os.read(reader, 1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    time.sleep(0.7)  # longer than the watcher sleeps
    assert not interruption.requested
  os.close(reader)
  os.close(writer)


@pytest.mark.filterwarnings("ignore:os.fork")
def test_a_forked_worker_that_outlives_the_context_does_not_hold_it_open():
  with Interruption():
    child = os.fork()
    if child == 0:
      time.sleep(20)
      os._exit(0)
  os.kill(child, signal.SIGKILL)
  os.waitpid(child, 0)


# In one call into C++ that never ends; Python's handlers cannot run.
DEEP = """
  import sys, threading, time, jax
  from research.training.interruption import Interruption
  endless = jax.jit(lambda: jax.lax.while_loop(lambda x: x >= 0, lambda x: x * 0.5, 1.0)).lower().compile()
  def finish():
    print("waiting for the save", flush=True)
    time.sleep(0.3)
    print("saved", flush=True)
  with Interruption(grace=0.4, message="go on so") as interruption:
    interruption.finish = finish
    interruption.unsaved = sys.argv[1] == "unsaved"
    print("ready", flush=True)
    jax.block_until_ready(endless())
"""


def test_a_process_deep_in_c_ends_by_itself_if_nothing_is_unsaved():
  with start(DEEP, "saved") as process:
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - begin > 0.4 + 0.3
    assert out.splitlines() == ["waiting for the save", "saved"]
    assert err.splitlines()[-1] == "ended by SIGTERM; go on so"


def test_a_process_with_unsaved_work_is_waited_for_until_a_second_ctrl_c():
  with start(DEEP, "unsaved") as process:
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
      process.wait(timeout=2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130 and out == ""


TWO = """
  import sys, time, jax, jax.numpy as jnp, numpy as np
  from etils import epath
  from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
  folder, port, process, period = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
  jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
  from research.training.checkpoint import Checkpoints
  from research.training.interruption import Interrupted, Interruption
  mesh = Mesh(np.array(jax.devices()), ("data",))
  sharded, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
  make = jax.jit(lambda: {"x": jnp.zeros((4, 3)), "key": jax.random.key(0), "step": jnp.int32(0)},
                 out_shardings={"x": sharded, "key": whole, "step": whole})
  state = make()
  step_function = jax.jit(lambda s: s | {"x": s["x"] + jnp.sum(s["x"]) * 0 + 1, "step": s["step"] + period})
  run = Checkpoints(epath.Path(folder), keep_last=3, keep_best=0, best_metric=None, best_mode="max")
  step = run.latest() or 0
  if step:
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)
    state, facts = run.restore(None, like)
    assert facts == {"step": step} and int(state["step"]) == step
  print("from", step, flush=True)
  try:
    with Interruption() as interruption:
      while True:
        state = step_function(state)
        step += period
        if process:
          time.sleep(0.02)  # one runs ahead of the other where it can
        if interruption.agree(step):
          run.save(step, state, {"step": step}, None)
          run.close()
          print("saved", step, run.latest(), flush=True)
          interruption.raise_if_requested()
  except Interrupted as interrupted:
    jax.distributed.shutdown()
    sys.exit(interrupted.exit_code)
"""


@pytest.mark.heavy
@pytest.mark.parametrize(("number", "period"), [(signal.SIGTERM, 1), (signal.SIGINT, 10)])
def test_a_signal_to_one_of_two_processes_makes_both_save_the_same_step(tmp_path, number, period):
  last = 0
  for receiver in (1, 0):
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      port = free.getsockname()[1]
    processes = [start(TWO, tmp_path, port, index, period) for index in range(2)]
    try:
      for process in processes:
        lines = iter(process.stdout.readline, "")
        assert next(line for line in lines if line.startswith("from")) == f"from {last}\n"  # gloo prints there too
      time.sleep(1)
      processes[receiver].send_signal(number)
      results = [process.communicate(timeout=60) for process in processes]
      codes = [process.returncode for process in processes]
    finally:
      for process in processes:
        process.kill()
    saved = [out.split()[-2:] for out, _ in results]
    assert saved[0] == saved[1] and saved[0][0] == saved[0][1], results
    assert int(saved[0][0]) > last
    last = int(saved[0][0])
    expected = [143, 143]
    expected[receiver] = 128 + number
    assert codes == expected, results
