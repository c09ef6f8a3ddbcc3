"""nanoGPT's GPT-2 of 124M parameters on OpenWebText. NOT RUN: it needs the texts, and four days of eight A100.

  python launch.py --experiment=openwebtext_gpt2 --data_dir=DATA

96 hours on eight A100 (GPU). Expected: 2.85 nats a token on 0.05 % of the documents, which are not trained on; the released
GPT-2 has 3.12. DATA holds fieldwork_openwebtext (see research.data.builders.prepare), and GPT-2's vocab.json and merges.txt in
tokenizers/gpt2. nanoGPT holds out other documents, and takes the mean over 200 batches of them.
"""

from experiments import shakespeare_char
from research.config import Duration
from research.data.dataset import Data
from research.data.tfds import TFDS
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Stored
from research.data.windows import TokenWindows
from research.experiment import Experiment
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Cosine
from research.paper import Target, at_most, within
from research.tasks.language_modeling import LanguageModeling
from research.training.settings import Training

LENGTH = 1024


def data() -> Data:
  """The documents one after another, an end between them; 480 windows, 491,520 tokens, a step."""
  tokens = Tokens(name="inputs", text="text", tokenizer=Stored(path="tokenizers/gpt2"), eos=True)
  texts = lambda split: Tokenized(source=TFDS(name="fieldwork_openwebtext", split=split), features=(tokens,))
  windows = lambda split, stride: TokenWindows(source=texts(split), length=LENGTH, stride=stride)
  return Data(train=windows("train[:-4000]", 1), evaluation={"valid": windows("train[-4000:]", None)}, batch_size=480,
              eval_batch_size=32, replacement=True)


def experiment() -> Experiment:
  loss = lambda criterion, published, says, **more: Target(
      metric="valid/loss", criterion=criterion, published=published, signature="nats/subword", says=says,
      place="README, reproducing GPT-2", **more)
  return Experiment(
      paper=shakespeare_char.PAPER, data=data(), seeds=(0,),
      task=LanguageModeling(vocab_size=50_304, token="subword", per=("byte",), loss_chunk=8192),
      model=shakespeare_char.model(dim=768, num_layers=12, num_heads=12, length=LENGTH, dropout=0.0),
      optimizer=AdamW(learning_rate=6e-4, b2=0.95, weight_decay=0.1, clip_norm=1.0,
                      penalty_rules=shakespeare_char.WEIGHTS_ONLY, schedule=Cosine(warmup=Duration(2000), final=0.1)),
      training=Training(steps=Duration(600_000), precision="bfloat16", num_microbatches=5),
      targets=(loss(within(2.85, 0.03), 2.85, "2.85 after four days", kind="number"),
               loss(at_most(3.12), 3.12, "below the released GPT-2, which saw other texts")))
