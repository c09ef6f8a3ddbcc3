"""BART-large, fine-tuned to say in a sentence what a paper is about. NOT RUN: it needs the weights, and a GPU.

Cachola, Lo, Cohan, Weld 2020, "TLDR: Extreme Summarization of Scientific Documents", from the abstract: 43.3/20.8/35.0.

  python launch.py --experiment=scitldr_abstractive --data_dir=DATA

1 hour on a GPU, some 40 hours on two CPU cores. Expected: those by files2rouge; here scores are rouge_score's. DATA holds
weights/bart-large as Hugging Face has it, and text/scitldr_a (1,992 papers to learn from). See scitldr_extractive.
"""

from experiments import cnndm_bart
from research.config import Duration
from research.data.sources import JSONL
from research.data.text import Transformed
from research.data.text_data import pairs
from research.data.tokenized import Tokens
from research.data.vocabulary import Stored
from research.decoding.constraints import Constraints
from research.decoding.settings import Beam, Decoding
from research.experiment import Experiment
from research.metrics.summarization import Rouge
from research.models import bart
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Linear
from research.paper import Paper, Target, within
from research.preprocessing.text.strings import First, Join
from research.pretrained.weights import Pretrained
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

ROUGE, FOLDER = Rouge(several="best_rouge1"), cnndm_bart.FOLDER
DECODING = Decoding(search=Beam(num_beams=4, alpha=0.4), max_new_tokens=48,
                    constraints=Constraints(no_repeat_ngram=3, min_new_tokens=6, forced_first=0))


def experiment() -> Experiment:
  texts = lambda split: Transformed(source=JSONL(path=f"text/scitldr_a/{split}.jsonl.gz"), transforms=(
      Join(text="source", to="abstract"), First(text="target", to="summary")))
  features = tuple(Tokens(name=name, text=text, tokenizer=Stored(path=FOLDER), bos=True, eos=True, max_length=most)
                   for name, text, most in (("source", "abstract", 512), ("targets", "summary", 96)))
  writing = Writing(decoding=DECODING, source="abstract", against=(Against(metric=ROUGE, reference="target"),))
  return Experiment(
      paper=Paper("TLDR: Extreme Summarization of Scientific Documents", "Cachola, Lo, Cohan, Weld", 2020, "Findings of EMNLP",
                  "https://arxiv.org/abs/2004.15011"),
      data=pairs(texts("train"), {"test": texts("test")}, features, batch_size=32, lengths=((256, 48), (512, 96))),
      model=bart.bart_large(), seeds=(0,), pretrained=Pretrained(path=FOLDER, names="hf"),
      task=TextToText(vocab_size=50_265, start_id=2, end_id=2, pad_id=1, label_smoothing=0.1, writing=writing),
      optimizer=AdamW(learning_rate=3e-5, weight_decay=0.01, clip_norm=0.1, schedule=Linear(warmup=Duration(10, "%"))),
      training=Training(steps=Duration(8, "ep"), precision="bfloat16", num_microbatches=4), targets=tuple(
          Target(metric=f"test/{kind}", criterion=within(value, 1.2), published=value, says=f"{kind} on the test set",
                 kind="number", place="Table 4", signature=f"{ROUGE.metrics[kind].signature}|{DECODING.signature}")
          for kind, value in zip(ROUGE.types, (43.3, 20.8, 35.0))))
