"""Lewis et al. 2020, BART-large on CNN/DailyMail: ROUGE 44.16/21.28/40.90. NOT RUN: it needs the weights, the corpus and GPUs.

  python launch.py --experiment=cnndm_bart --data_dir=DATA

5 hours on eight V100 (GPU). Expected: those (L is Lsum), beam 4, 55 to 140 tokens, no trigram twice. DATA holds
weights/bart-large and fieldwork_cnn_dailymail (see research.data.builders.prepare).
"""

from research.config import Duration
from research.data.text_data import pairs
from research.data.tfds import TFDS
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
from research.preprocessing.text.strings import SentenceLines
from research.pretrained.weights import Pretrained
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Against, Writing
from research.training.settings import Training

FOLDER = "weights/bart-large"
PAPER = Paper("BART: Denoising Sequence-to-Sequence Pre-training", "Lewis et al.", 2020, "ACL", "https://arxiv.org/abs/1910.13461")
ROUGE = Rouge(types=("rouge1", "rouge2", "rougeLsum"))
AGAINST = Against(metric=ROUGE, reference="highlights", detokenize=SentenceLines())
CONSTRAINTS = Constraints(no_repeat_ngram=3, min_new_tokens=56, forced_first=0)
DECODING = Decoding(search=Beam(num_beams=4, alpha=2.0, early_stopping=True), max_new_tokens=142, constraints=CONSTRAINTS)


def targets(values: tuple[float, ...], decoding: Decoding, place: str, rouge: Rouge = ROUGE) -> tuple[Target, ...]:
  return tuple(Target(metric=f"test/{kind}", criterion=within(value, 0.4), published=value, kind="number", place=place,
                      signature=f"{rouge.metrics[kind].signature}|{decoding.signature}", says=f"{kind} on the test set")
               for kind, value in zip(rouge.types, values))


def data(name: str, source: str, targets: str, *, tokenizer: str, lengths: tuple[tuple[int, int], ...], batch_size: int,
         bos: bool = False, change=lambda texts: texts):
  features = (Tokens(name=name, text=text, tokenizer=Stored(path=tokenizer), bos=bos, eos=True, max_length=most)
              for name, text, most in (("source", source, lengths[-1][0]), ("targets", targets, lengths[-1][1])))
  texts = lambda split: change(TFDS(name=name, split=split))
  return pairs(texts("train"), {"test": texts("test")}, tuple(features), batch_size=batch_size, lengths=lengths)


def experiment() -> Experiment:
  return Experiment(
      data=data("fieldwork_cnn_dailymail", "article", "highlights", tokenizer=FOLDER, bos=True, batch_size=64,
                lengths=((512, 128), (1024, 256))),
      paper=PAPER, model=bart.bart_large(), seeds=(0,), pretrained=Pretrained(path=FOLDER, names="hf"),
      task=TextToText(vocab_size=50_265, start_id=2, end_id=2, pad_id=1, label_smoothing=0.1, loss_chunk=2048,
                      writing=Writing(decoding=DECODING, source="article", against=(AGAINST,))),
      optimizer=AdamW(learning_rate=3e-5, weight_decay=0.01, clip_norm=0.1, schedule=Linear(warmup=Duration(500))),
      training=Training(steps=Duration(20_000), precision="bfloat16", num_microbatches=8),
      targets=targets((44.16, 21.28, 40.90), DECODING, "Table 3"))
