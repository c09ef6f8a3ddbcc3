"""Language on one core: training steps against Hugging Face, decoding against CTranslate2, all in float32.

    python tests/benchmarks/language.py --peer_python=/path/to/python --part=gpt2

The peer's interpreter has torch, transformers and ctranslate2. Parts: gpt2 and marian, a step of GPT-2 124M on 2 x 256 tokens
and of Marian-base on 8 pairs of 64 tokens (forward, backward and AdamW; ours is the step that training runs, with metrics and
the norm of the gradient, its layers written out, as one runs them on a CPU: a scan takes a tenth longer there; the peer has the
faster of its eager and its fused attention, and of its two optimizers); greedy and
beam, Marian-base writing 32 tokens for each of 8 sentences of 32 tokens with random weights. Each side is a process of its own,
and they take turns step by step on the same core. Prints the median ratio of a round, the peer's time over ours,
and the processor.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from turns import compare

OURS_TRAINING = """
from research import process
process.tune_allocator()
process.widen_vectors()
import dataclasses
import jax, numpy as np
from research.config import Duration
from research.models import gpt2, marian
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Length
from research.tasks.language_modeling import LanguageModeling
from research.tasks.text_to_text import TextToText
from research.training import program
from research.training.settings import Training
rng = np.random.default_rng(0)
tokens = lambda *shape: rng.integers(3, 50_000, shape).astype("int32")
written_out = lambda stack: dataclasses.replace(stack, scan=False)
if "PART" == "gpt2":
  model, task = gpt2.gpt2(), LanguageModeling(vocab_size=50_257, token="subword")
  model = dataclasses.replace(model, decoder=written_out(model.decoder))
  batch = {"inputs": tokens(2, 256), "targets": tokens(2, 256), "segments": np.ones((2, 256), "int32"),
           "weights": np.ones((2, 256), "float32"), "mask": np.ones(2, "float32")}
else:
  model = marian.marian_base(dropout=0.0)
  model = dataclasses.replace(model, encoder=written_out(model.encoder), decoder=written_out(model.decoder))
  task = TextToText(vocab_size=58_101, start_id=58_100, end_id=0, pad_id=58_100)
  batch = {"source": tokens(8, 64), "targets": tokens(8, 64), "source_length": np.full(8, 64, "int32"),
           "targets_length": np.full(8, 64, "int32"), "mask": np.ones(8, "float32")}
spec = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}
training = Training(steps=Duration(100))
made = program.build(model=model, task=task, optimizer=AdamW(learning_rate=1e-4), training=training, specs=(spec,),
                     length=Length(total_steps=100, batch_size=2, steps_per_epoch=100), mesh=training.sharding.mesh())
state = made.create(jax.random.key(0))
def step():
  global state
  state = jax.block_until_ready(made.step(state, batch))
"""

THEIRS_TRAINING = """
import time
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MarianConfig, MarianMTModel
torch.set_num_threads(1)
tokens = lambda *shape: torch.randint(3, 50_000, shape)
def prepare(attention, fused):
  if "PART" == "gpt2":
    config = GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation=attention)
    model, batch = GPT2LMHeadModel(config), {"input_ids": tokens(2, 256), "labels": tokens(2, 256)}
  else:
    config = MarianConfig(
        vocab_size=58_101, d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048, decoder_ffn_dim=2048, activation_function="swish", max_position_embeddings=512, dropout=0.0,
        scale_embedding=True, pad_token_id=58_100, eos_token_id=0, decoder_start_token_id=58_100, attn_implementation=attention)
    model, batch = MarianMTModel(config), {"input_ids": tokens(8, 64), "labels": tokens(8, 64)}
  model.train()
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=fused)
  def step():
    optimizer.zero_grad(set_to_none=True)
    model(**batch).loss.backward()
    optimizer.step()
  return step
def cost(step):
  step()
  begin = time.perf_counter()
  step()
  return time.perf_counter() - begin
attention = min(("eager", "sdpa"), key=lambda name: cost(prepare(name, True)))
step = min((prepare(attention, fused) for fused in (True, False)), key=cost)
"""

OURS_DECODING = """
from research import process
process.tune_allocator()
process.widen_vectors()
import jax, numpy as np
from flax import nnx
from research.decoding.base import Requests, SpecialTokens
from research.decoding.constraints import Constraints
from research.decoding.decoder import make_decoder
from research.decoding.settings import Beam, Decoding, Greedy
from research.models import marian
from research.training.state import merge, split
search = Greedy() if "PART" == "greedy" else Beam(num_beams=4)
spec = (jax.ShapeDtypeStruct((8, 32), "int32"),) * 2
definition, params, buffers = split(marian.marian_base().build(spec, 58_101, nnx.Rngs(0)))
run = make_decoder(lambda p: merge(definition, p, buffers), Decoding(
    search=search, max_new_tokens=32, constraints=Constraints(min_new_tokens=32)), SpecialTokens(end=(0,), pad=58_100))
source = np.random.default_rng(0).integers(3, 50_000, (8, 32)).astype("int32")
requests = Requests(
    inputs={"inputs": source, "lengths": np.full(8, 32, "int32")},
    prompts_BP=np.full((8, 1), 58_100, "int32"), lengths_B=np.ones(8, "int32"), limits_B=np.full(8, 32, "int32"),
    keys_B=jax.random.split(jax.random.key(0), 8))
def step():
  jax.block_until_ready(run(params, requests, 32))
"""

# The same network with random weights, through the library's own description of it.
THEIRS_DECODING = """
import tempfile
import ctranslate2
import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
rng, dim, inner, size = np.random.default_rng(0), 512, 2048, 58_101
normal = lambda *shape: rng.normal(0, 0.02, shape).astype(np.float32)
spec = transformer_spec.TransformerSpec.from_config(
    6, 8, pre_norm=False, activation=common_spec.Activation.SWISH)
def linear(layer, outputs, inputs):
  layer.weight, layer.bias = normal(outputs, inputs), np.zeros(outputs, np.float32)
def norm(layer):
  layer.gamma, layer.beta = np.ones(dim, np.float32), np.zeros(dim, np.float32)
def positions():
  angles = np.arange(512)[:, None] * 10_000.0 ** (-np.arange(0, dim, 2) / dim)
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)
table = normal(size, dim)
for side in (spec.encoder, spec.decoder):
  embeddings = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
  embeddings.weight, embeddings.multiply_by_sqrt_depth = table, True
  side.position_encodings.encodings = positions()
  for layer in side.layer:
    linear(layer.self_attention.linear[0], 3 * dim, dim)
    linear(layer.self_attention.linear[1], dim, dim)
    norm(layer.self_attention.layer_norm)
    if side is spec.decoder:
      for part, outputs in zip(layer.attention.linear, (dim, 2 * dim, dim)):
        linear(part, outputs, dim)
      norm(layer.attention.layer_norm)
    linear(layer.ffn.linear_0, inner, dim)
    linear(layer.ffn.linear_1, dim, inner)
    norm(layer.ffn.layer_norm)
spec.decoder.projection.weight, spec.decoder.projection.bias = table, np.zeros(size, np.float32)
words = ["</s>", "<unk>", *(f"w{n}" for n in range(size - 3)), "<pad>"]
spec.register_source_vocabulary(words)
spec.register_target_vocabulary(words)
spec.config.decoder_start_token = "<pad>"
spec.validate()
folder = tempfile.mkdtemp()
spec.save(folder)
translator = ctranslate2.Translator(folder, compute_type="float32", inter_threads=1, intra_threads=1)
batch = [[f"w{n}" for n in row] for row in rng.integers(3, 50_000, (8, 32))]
def step():
  found = translator.translate_batch(batch, beam_size=1 if "PART" == "greedy" else 4, max_decoding_length=32,
                                     min_decoding_length=32)
  assert all(len(its.hypotheses[0]) == 32 for its in found)
"""

PARTS = {"gpt2": ("GPT-2 124M training step, 2 x 256 tokens", "Hugging Face", THEIRS_TRAINING, OURS_TRAINING),
         "marian": ("Marian-base training step, 8 x 64 tokens", "Hugging Face", THEIRS_TRAINING, OURS_TRAINING),
         "greedy": ("Marian-base, greedy, 8 x 32 tokens", "CTranslate2", THEIRS_DECODING, OURS_DECODING),
         "beam": ("Marian-base, 4 beams, 8 x 32 tokens", "CTranslate2", THEIRS_DECODING, OURS_DECODING)}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--peer_python", required=True)
  parser.add_argument("--part", required=True, choices=PARTS)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--core", type=int, default=0)
  args = parser.parse_args()
  what, peer, theirs, ours = PARTS[args.part]
  compare(what, peer, args.peer_python, theirs, ours, rounds=args.rounds, core=args.core, PART=args.part)


if __name__ == "__main__":
  main()
