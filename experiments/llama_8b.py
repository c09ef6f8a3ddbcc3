"""Llama-3-8B, trained on from given weights over eight devices. NOT RUN: it needs the weights, the corpus, and eight GPUs.

Grattafiori et al. 2024, "The Llama 3 Herd of Models". Huang et al. 2024 measured the released model on WikiText's test
articles: a perplexity of 6.14 a token in windows of 2,048.

  python launch.py --experiment=llama_8b --data_dir=DATA

4 hours on eight H100 (GPU). Expected: below 6.14 after an epoch over the training articles, which are written alike. DATA holds
weights/Meta-Llama-3-8B as Hugging Face has it (the files are read slice by slice, each into its device's part) and
fieldwork_wikitext103 (python -m research.data.builders.prepare --set=wikitext103).
"""

import dataclasses

from research.config import Duration
from research.data.dataset import Data
from research.data.tfds import TFDS
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Stored
from research.data.windows import TokenWindows
from research.experiment import Experiment
from research.models import llama
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.paper import Paper, Target, at_most
from research.pretrained.weights import Pretrained
from research.tasks.language_modeling import LanguageModeling
from research.training.settings import Training
from research.training.sharding import Sharding

FOLDER = "weights/Meta-Llama-3-8B"
# A table is cut over its vocabulary, kernels of the stacked layers over their inputs, or outputs where these are narrow.
RULES = ((".*/embedding", "fsdp,-"), (".*/(query|key|value|gate|up)/kernel", "-,fsdp,-"), (".*/(out|down)/kernel", "-,-,fsdp"),
         (".*/scale", "whole"))


def experiment() -> Experiment:
  tokens = Tokens(name="inputs", text="text", tokenizer=Stored(path=FOLDER), bos=True)
  windows = lambda split: TokenWindows(
      source=Tokenized(source=TFDS(name="fieldwork_wikitext103", split=split), features=(tokens,)), length=2048)
  model = llama.llama3_8b()
  return Experiment(
      paper=Paper("The Llama 3 Herd of Models", "Grattafiori et al.", 2024, "arXiv", "https://arxiv.org/abs/2407.21783"),
      data=Data(train=windows("train"), evaluation={"test": windows("test")}, batch_size=64, eval_batch_size=16),
      model=dataclasses.replace(model, decoder=dataclasses.replace(model.decoder, remat="full")), seeds=(0,),
      task=LanguageModeling(vocab_size=128_256, token="subword", per=("byte", "word"), loss_chunk=2048),
      pretrained=Pretrained(path=FOLDER, names="hf"),
      optimizer=AdamW(learning_rate=1e-5, b2=0.95, weight_decay=0.1, clip_norm=1.0, schedule=Cosine(warmup=Duration(5, "%"))),
      training=Training(steps=Duration(1, "ep"), precision="bfloat16", num_microbatches=4,
                        sharding=Sharding(data=1, fsdp=8, rules=RULES)),
      targets=(Target(metric="test/perplexity_per_subword", criterion=at_most(6.14), published=6.14,
                      signature="exp of nats/subword", place="Huang et al. 2024, Table 1",
                      says="below the released model on WikiText's test articles"),))
