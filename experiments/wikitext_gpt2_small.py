"""The released GPT-2 of 124M parameters on WikiText-103, without training on it. NOT RUN: it needs the weights and the corpus.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": a perplexity of 37.50 a word.

  python launch.py --experiment=wikitext_gpt2_small --data_dir=DATA

About 2 hours on two CPU cores, a minute on a GPU. Expected: 37.5 a word as WikiText counts them, of text written as people do.
DATA holds weights/gpt2 as Hugging Face has it, and fieldwork_wikitext103 (see research.data.builders.prepare). The authors'
rules for blanks are not published; windows of 1,024 tokens move on by 512.
"""

from research.assessment import Assessment
from research.data.dataset import Data
from research.data.text import Transformed
from research.data.tfds import TFDS
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Stored
from research.data.windows import TokenWindows
from research.models import gpt2
from research.paper import Paper, Target, within
from research.preprocessing.text.strings import WikiText
from research.pretrained.weights import Pretrained
from research.tasks.language_modeling import LanguageModeling

FOLDER = "weights/gpt2"


def experiment() -> Assessment:
  written = Transformed(
      source=TFDS(name="fieldwork_wikitext103", split="test"), transforms=(WikiText(text="text", to="written"),))
  tokens = Tokens(name="inputs", text="written", tokenizer=Stored(path=FOLDER), counted="text")
  windows = TokenWindows(source=Tokenized(source=written, features=(tokens,)), length=1024, stride=512, scored="new")
  return Assessment(
      paper=Paper("Language Models are Unsupervised Multitask Learners", "Radford et al.", 2019, "report",
                  "https://github.com/openai/gpt-2"),
      data=Data(train=None, evaluation={"test": windows}, batch_size=1, eval_batch_size=4), model=gpt2.gpt2(),
      task=LanguageModeling(vocab_size=50_257, token="subword", per=("byte", "word")),
      pretrained=Pretrained(path=FOLDER, names="hf"),
      targets=(Target(metric="test/perplexity_per_word", criterion=within(37.50, 1.0), published=37.50, kind="number",
                      signature="exp of nats/word", place="Table 3", says="perplexity a word, as WikiText counts words"),))
