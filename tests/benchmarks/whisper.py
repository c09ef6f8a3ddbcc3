"""Whisper tiny on one core, against Hugging Face's and CTranslate2's in float32: the encoder, and 100 tokens of a greedy text.

    python tests/benchmarks/whisper.py --peer_python=/path/to/python

The peer's interpreter has torch, transformers and ctranslate2. All begin at the spectrum of one half minute, with random
weights and the end forbidden, so that all do the same work; Hugging Face's with the faster of its eager and its fused
attention. Each is a process of its own on the same core, and they take turns. Prints the median ratios of a round, the peer's
processor time over ours, and the processor; fails if ours is not level with the faster peer.
"""

import argparse
import os
import statistics
import sys

import turns

FLOOR = 1.0

OURS = """
from research import process
process.tune_allocator()
process.widen_vectors()
import jax, numpy as np
from flax import nnx
from research.decoding.base import Requests, SpecialTokens
from research.decoding.constraints import Constraints
from research.decoding.decoder import make_decoder
from research.decoding.settings import Decoding
from research.models import whisper
from research.training.state import merge, split
config = whisper.tiny()
inputs = jax.ShapeDtypeStruct((1, 3000, 80), "float32"), jax.ShapeDtypeStruct((1, 8), "int32")
definition, params, buffers = split(config.build(inputs, 51865, nnx.Rngs(0)))
features = np.random.default_rng(0).normal(0, 0.5, (1, 3000, 80)).astype("float32")
bind = lambda params: merge(definition, params, buffers)
encode = jax.jit(lambda params, x: bind(params).encode(x))
decoding = Decoding(constraints=Constraints(banned=(50257,)), max_new_tokens=100)
write = make_decoder(bind, decoding, SpecialTokens(end=(50257,), pad=50257))
def step():
  if WHAT == "encoder":
    return jax.block_until_ready(encode(params, features))
  ones = np.ones(1, np.int32)
  requests = Requests(inputs={"inputs": features}, prompts_BP=np.array([[50258, 50259, 50359, 50363]], np.int32),
                      lengths_B=4 * ones, limits_B=100 * ones, keys_B=jax.random.split(jax.random.key(0), 1))
  found = jax.device_get(write(params, requests, 100))
  assert found.lengths_BN[0, 0] == 100
"""

HUGGING_FACE = """
import time
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration, logging
logging.set_verbosity_error()
torch.set_num_threads(1)
torch.manual_seed(0)
features, prompt = 0.5 * torch.randn(1, 80, 3000), torch.tensor([[50258, 50259, 50359, 50363]])
SPECIAL = {"decoder_start_token_id": 50258, "pad_token_id": 50257, "bos_token_id": 50257, "eos_token_id": 50257}
def prepare(attention):
  model = WhisperForConditionalGeneration(WhisperConfig(**SPECIAL, attn_implementation=attention)).eval()
  model.generation_config = GenerationConfig(**SPECIAL, no_timestamps_token_id=50363, suppress_tokens=[50257])
  def step():
    with torch.inference_mode():
      if WHAT == "encoder":
        return model.model.encoder(features)
      out = model.generate(features, decoder_input_ids=prompt, max_new_tokens=100, do_sample=False, num_beams=1)
      assert out.shape[1] >= 100
  return step
def cost(step):
  step()
  begin = time.process_time()
  step()
  return time.process_time() - begin
step = min((prepare(attention) for attention in ("eager", "sdpa")), key=cost)
"""

CTRANSLATE2 = """
import tempfile, types
import ctranslate2, numpy as np, torch
from ctranslate2.converters import transformers as converters
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration
torch.set_num_threads(1)
torch.manual_seed(0)
model = WhisperForConditionalGeneration(WhisperConfig()).eval()
names = [f"t{i}" for i in range(51865)]
for i, name in {50257: "<|endoftext|>", 50258: "<|startoftranscript|>", 50259: "<|en|>", 50358: "<|translate|>",
                50359: "<|transcribe|>", 50360: "<|startoflm|>", 50361: "<|startofprev|>", 50362: "<|nospeech|>",
                50363: "<|notimestamps|>"}.items():
  names[i] = name
special = types.SimpleNamespace(
    get_vocab=lambda: {name: i for i, name in enumerate(names)}, bos_token="<|endoftext|>", eos_token="<|endoftext|>",
    unk_token="<|endoftext|>", additional_special_tokens=[], all_special_ids=[], unk_token_id=50257)
model.generation_config = GenerationConfig(suppress_tokens=[50257], begin_suppress_tokens=[50257], alignment_heads=[[1, 0]],
                                           lang_to_id={"<|en|>": 50259})
spec = converters._MODEL_LOADERS["WhisperConfig"](model, special)
spec.validate()
with tempfile.TemporaryDirectory() as folder:
  spec.save(folder)
  engine = ctranslate2.models.Whisper(folder, compute_type="float32", intra_threads=1, inter_threads=1)
features = ctranslate2.StorageView.from_array(
    np.ascontiguousarray(np.random.default_rng(0).normal(0, 0.5, (1, 80, 3000)).astype("float32")))
def step():
  if WHAT == "encoder":
    return np.asarray(engine.encode(features))
  found = engine.generate(features, [[50258, 50259, 50359, 50363]], beam_size=1, max_length=200, suppress_tokens=[50257],
                          suppress_blank=False)
  assert len(found[0].sequences_ids[0]) == 100
"""


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--peer_python", required=True)
  parser.add_argument("--what", choices=("encoder", "text"), nargs="*", default=("encoder", "text"))
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--core", type=int, default=0)
  args = parser.parse_args()
  from research import records  # imports jax; the workers have their own
  os.sched_setaffinity(0, {args.core})  # inherited by the workers
  peers = {"Hugging Face": HUGGING_FACE, "CTranslate2": CTRANSLATE2}
  worst = float("inf")
  for what in args.what:
    workers = []
    try:
      for python, source in ((sys.executable, OURS), *((args.peer_python, source) for source in peers.values())):
        workers.append(turns.Worker(python, f"WHAT = {what!r}\n{source}"))
      seconds = [[worker.step() for worker in workers] for _ in range(args.rounds)]
    finally:
      for worker in workers:
        worker.process.kill()
    ours, *theirs = zip(*seconds)
    print(f"{records.environment()['cpu']}, {what}, {args.rounds} rounds: ours {1000 * statistics.median(ours):.0f} ms")
    for name, times in zip(peers, theirs):
      ratios = [peer / own for peer, own in zip(times, ours)]
      print(f"  {name} {1000 * statistics.median(times):.0f} ms, ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})")
      worst = min(worst, statistics.median(ratios))
  return int(worst < FLOOR)


if __name__ == "__main__":
  sys.exit(main())
