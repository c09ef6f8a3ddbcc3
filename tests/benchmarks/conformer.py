"""A training step of Conformer-S on one core, in float32, against Hugging Face's Wav2Vec2-Conformer of the same size.

    python tests/benchmarks/conformer.py --peer_python=/path/to/python

The peer's interpreter has torch and transformers. 16 layers of 144 with 4 heads, relative positions and a kernel of 31, on 8
utterances of 8 seconds with 100 characters each: two convolutions of 3 x 3 from 80 mel filters, which the peer has from torch,
the layers, CTC, AdamW. Without dropout, so that neither side draws numbers; `--dropout=0.1` turns it on. Each side is a process
of its own, and they take turns step by step on the same core; the peer has the faster of its two optimizers. Prints the median
ratio of a round, the peer's processor time over ours, and the processor.
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
import jax, numpy as np
from research.config import Duration
from research.models import conformer
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Length
from research.tasks.transcription import Transcription
from research.training import program
from research.training.settings import Training
rng = np.random.default_rng(0)
batch = {"inputs": rng.normal(size=(8, 800, 80)).astype("float32"), "inputs_length": np.full(8, 800, "int32"),
         "targets": rng.integers(1, 29, (8, 100)).astype("int32"), "targets_length": np.full(8, 100, "int32"),
         "mask": np.ones(8, "float32")}
spec = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}
training = Training(steps=Duration(100))
made = program.build(model=conformer.conformer_s(kernel=31, dropout=DROPOUT, scan=False), task=Transcription(vocab_size=29),
                     optimizer=AdamW(learning_rate=1e-4), training=training, specs=(spec,),
                     length=Length(total_steps=100, batch_size=8, steps_per_epoch=100), mesh=training.sharding.mesh())
state = made.create(jax.random.key(0))
def step():
  global state
  state = jax.block_until_ready(made.step(state, batch))
"""

THEIRS = """
import time
import torch
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoder
torch.set_num_threads(1)
config = Wav2Vec2ConformerConfig(
    hidden_size=144, num_hidden_layers=16, num_attention_heads=4, intermediate_size=576, conv_depthwise_kernel_size=31,
    position_embeddings_type="relative", hidden_dropout=DROPOUT, attention_dropout=DROPOUT, activation_dropout=DROPOUT,
    conformer_conv_dropout=DROPOUT, layerdrop=0.0, hidden_act="swish")
class Network(torch.nn.Module):
  def __init__(self):
    super().__init__()
    self.first, self.second = torch.nn.Conv2d(1, 144, 3, 2, 1), torch.nn.Conv2d(144, 144, 3, 2, 1)
    self.project, self.encoder = torch.nn.Linear(144 * 20, 144), Wav2Vec2ConformerEncoder(config)
    self.head = torch.nn.Linear(144, 29)
  def forward(self, x):
    x = torch.relu(self.second(torch.relu(self.first(x[:, None]))))
    x = self.encoder(self.project(x.transpose(1, 2).flatten(2)), return_dict=True).last_hidden_state
    return self.head(x).log_softmax(-1)
x, targets, lengths = torch.randn(8, 800, 80), torch.randint(1, 29, (8, 100)), torch.full((8,), 200)
def prepare(fused):
  model = Network().train()
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=fused)
  def step():
    optimizer.zero_grad(set_to_none=True)
    torch.nn.functional.ctc_loss(model(x).transpose(0, 1), targets, lengths, torch.full((8,), 100)).backward()
    optimizer.step()
  return step
def cost(step):
  step()
  begin = time.perf_counter()
  step()
  return time.perf_counter() - begin
step = min((prepare(fused) for fused in (True, False)), key=cost)
"""


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--peer_python", required=True)
  parser.add_argument("--dropout", type=float, default=0.0)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--core", type=int, default=0)
  args = parser.parse_args()
  compare("Conformer-S training step, 8 x 8 s", "Hugging Face", args.peer_python, THEIRS, OURS, rounds=args.rounds,
          core=args.core, DROPOUT=args.dropout)


if __name__ == "__main__":
  main()
