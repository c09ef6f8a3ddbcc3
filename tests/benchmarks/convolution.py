"""Convolutional networks on one CPU core, against torch (channels last) and Keras on TensorFlow, in turns.

    python tests/benchmarks/convolution.py --peer_python=/an/environment/with/torch/and/keras/bin/python

Every library runs in a process of its own, held to the same core; a round is one step of each, the others waiting. Prints the
median over the rounds of each peer's time over ours (above 1: ours is faster), and the processor. Training steps are whole:
loss, gradients, momentum; of everything, or of what stands on a frozen base. The time is what the processor gave the process,
page faults included, so that other work on the machine hardly counts.
"""

import argparse
import importlib
import os
import pathlib
import re
import statistics
import sys

from turns import Worker

# Side of the images, batch, classes.
CASES = {"vgg16_frozen": (96, 16, 8), "vgg16": (96, 16, 8), "resnet50": (224, 8, 1000), "mobilenet_v2_forward": (224, 8, 1000)}


def ours(case: str):
  from research import process

  process.tune_allocator()
  process.widen_vectors()
  import jax
  import jax.numpy as jnp
  from flax import nnx

  from research.config import Duration
  from research.models import mobilenet_v2, resnet, vgg
  from research.optimizers.descent import GradientDescent
  from research.optimizers.schedule import Length
  from research.tasks.classification import Classification
  from research.training import program
  from research.training.settings import Training

  side, size, classes = CASES[case]
  images = jax.random.normal(jax.random.key(0), (size, side, side, 3))
  if case == "mobilenet_v2_forward":
    definition, state = nnx.split(mobilenet_v2.mobilenet_v2().build(images, classes, nnx.Rngs(0)))
    forward = jax.jit(lambda state, images: nnx.merge(definition, state, copy=True)(images))
    return lambda: jax.block_until_ready(forward(state, images))
  model = resnet.resnet50() if case == "resnet50" else vgg.vgg16(widths=(1024,))
  frozen = ((r"block.*", 0.0),) if case == "vgg16_frozen" else ()
  batch = {"inputs": images, "labels": jnp.arange(size) % classes, "mask": jnp.ones(size)}
  training = Training(steps=Duration(1000))
  made = program.build(
      model=model, task=Classification(num_classes=classes), training=training, mesh=training.sharding.mesh(),
      optimizer=GradientDescent(learning_rate=1e-3, momentum=0.9, learning_rate_rules=(*frozen, (".*", 1.0))),
      specs=({name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in batch.items()},),
      length=Length(total_steps=1000, batch_size=size, steps_per_epoch=1))
  state = made.create(jax.random.key(0))

  def step():
    nonlocal state
    state = jax.block_until_ready(made.step(state, batch))

  return step


def torch(case: str):
  torch, torchvision = map(importlib.import_module, ("torch", "torchvision"))  # not of this environment
  torch.set_num_threads(1)
  side, size, classes = CASES[case]
  images = torch.randn(size, 3, side, side).to(memory_format=torch.channels_last)
  labels = torch.arange(size) % classes
  if case.startswith("vgg16"):
    base = torchvision.models.vgg16(weights=None).features
    head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(512 * (side // 32) ** 2, 1024), torch.nn.ReLU(),
                               torch.nn.Dropout(0.5), torch.nn.Linear(1024, classes))
    base.requires_grad_(case == "vgg16")
    model = torch.nn.Sequential(base, head)
  else:
    model = getattr(torchvision.models, case.removesuffix("_forward"))(weights=None)
  model = model.to(memory_format=torch.channels_last)
  if case.endswith("_forward"):
    model.eval()

    def forward():
      with torch.inference_mode():
        model(images)

    return forward
  optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3, momentum=0.9)

  def step():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()

  return step


def keras(case: str):
  os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
  keras, tf, np = map(importlib.import_module, ("keras", "tensorflow", "numpy"))
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  side, size, classes = CASES[case]
  images = tf.constant(np.random.default_rng(0).normal(size=(size, side, side, 3)).astype(np.float32))
  labels = tf.constant(np.arange(size) % classes)
  if case.startswith("vgg16"):
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(side, side, 3))
    base.trainable = case == "vgg16"
    layers = keras.layers
    model = keras.Sequential([base, layers.Flatten(), layers.Dense(1024, "relu"), layers.Dropout(0.5), layers.Dense(classes)])
  else:
    build = keras.applications.ResNet50 if case == "resnet50" else keras.applications.MobileNetV2
    model = build(weights=None, classifier_activation=None)
  model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                jit_compile=False)
  if case.endswith("_forward"):
    forward = tf.function(lambda: model(images, training=False))
    return lambda: forward().numpy()
  return lambda: model.train_on_batch(images, labels)


def source(library: str, case: str) -> str:
  """Code that defines step()."""
  folder = str(pathlib.Path(__file__).resolve().parent)
  return f"import sys; sys.path.append({folder!r}); import convolution; step = convolution.{library}({case!r})"


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--peer_python", default=sys.executable, help="interpreter that has the peers")
  parser.add_argument("--peers", nargs="*", default=["torch", "keras"])
  parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
  args = parser.parse_args()
  os.sched_setaffinity(0, {args.core})  # inherited by the workers
  cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
  print(f"one core of {cpu[1] if cpu else 'an unknown processor'}, {args.rounds} rounds")
  for case in args.cases:
    workers = {}
    try:
      for library in ("ours", *args.peers):
        workers[library] = Worker(sys.executable if library == "ours" else args.peer_python, source(library, case))
      rounds = [{name: worker.step() for name, worker in workers.items()} for _ in range(args.rounds)]
    finally:
      for worker in workers.values():
        worker.process.kill()
        worker.process.wait()
    print(f"{case}: {report(rounds)}", flush=True)


def report(rounds: list[dict[str, float]]) -> str:
  """Median seconds of ours and of the peers, with the median ratio of theirs to ours."""
  median = lambda of: statistics.median(map(of, rounds))
  told = [f"{name} {median(lambda r, n=name: r[n] / r['ours']):.2f} x ({median(lambda r, n=name: r[n]):.3f} s)"
          for name in rounds[0] if name != "ours"]
  return ", ".join([f"ours {median(lambda r: r['ours']):.3f} s", *told])


if __name__ == "__main__":
  main()
