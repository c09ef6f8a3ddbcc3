"""32 steps of integrated gradients on ViT-S/16 at 224 pixels, one core, against Captum.

    python tests/benchmarks/integrated_gradients.py --peer_python=/path/to/python

The peer's interpreter has torch, timm and captum. Both explain one image by the midpoint rule in float32, each in a process of
its own, and take turns on the same core; Captum with the internal batch size, of 4, 8, 16 and 32, at which it is fastest, and
with timm's fused attention or without. Ours is what the mode explain runs. Prints the median ratio of a round, the peer's time
over ours, and the processor.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from turns import compare

OURS = """
from research import process
process.tune_allocator()
process.widen_vectors()
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from research.interpretation.attachment import attach
from research.interpretation.methods import Explainer
from research.interpretation.probing import Case, Probe
from research.interpretation.settings import Explain
from research.interpretation.units import units_of
from research.models import vit
from research.tasks.classification import Classification
from research.training import program
shapes = {"inputs": jax.ShapeDtypeStruct((1, 224, 224, 3), "float32"), "mask": jax.ShapeDtypeStruct((1,), "float32")}
task = Classification(num_classes=1000)
net = program.network(model=vit.vit_s(), task=task, on_device=(), spec=shapes, precision="float32")
params = jax.jit(lambda: nnx.to_pure_dict(nnx.state(net.construct(nnx.Rngs(0)), nnx.Param)))()
params["head"]["kernel"] = jnp.asarray(np.random.default_rng(1).normal(size=(384, 1000)) / 20, jnp.float32)
units, probe = units_of((1, 224, 224, 3), False, 14), None
probe = Probe(attach(net, task, shapes), units, BUDGET << 20)
x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 224, 224, 3)), jnp.float32)
case = Case({"inputs": x, "mask": jnp.ones(1)}, jnp.zeros(1, int), None, jnp.zeros(()), jnp.zeros(()))
explainer = Explainer(probe, Explain(), ())
def step():
  jax.block_until_ready(explainer.integrated((params, {}), case, num_steps=32).attributions)
"""

PEER = """
import time
import timm, torch
from captum.attr import IntegratedGradients
torch.set_num_threads(1)
x = torch.randn(1, 3, 224, 224)
def prepare(fused, size):
  timm.layers.set_fused_attn(fused)
  explain = IntegratedGradients(timm.create_model("vit_small_patch16_224", pretrained=False).eval().requires_grad_(False))
  return lambda: explain.attribute(x, target=0, n_steps=32, method="riemann_middle", internal_batch_size=size)
def cost(step):
  begin = time.perf_counter()
  step()
  return time.perf_counter() - begin
step = min((prepare(fused, size) for fused, size in ((True, 4), (True, 8), (True, 16), (True, 32), (False, 8))), key=cost)
"""


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--peer_python", required=True)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--core", type=int, default=0)
  parser.add_argument("--budget", type=int, default=128, help="of ours, in MiB")
  args = parser.parse_args()
  compare("32 steps on ViT-S/16", "Captum", args.peer_python, PEER, OURS, rounds=args.rounds, core=args.core,
          BUDGET=args.budget)


if __name__ == "__main__":
  main()
