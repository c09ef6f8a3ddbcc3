"""T5-small, fine-tuned on CNN/DailyMail. NOT RUN: it needs the weights, the corpus, and a day of a TPU.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer": ROUGE-1/2/L
41.12/19.56/38.35, where L is Lsum.

  python launch.py --experiment=cnndm_t5_small --data_dir=DATA

24 hours on a TPU v3-8. Expected: those, beam 4. DATA holds weights/t5-small as Hugging Face has it and fieldwork_cnn_dailymail
(python -m research.data.builders.prepare --set=cnn_dailymail).
"""

from experiments import cnndm_bart
from research.config import Duration
from research.data.text import Transformed
from research.decoding.settings import Beam, Decoding
from research.experiment import Experiment
from research.models import t5
from research.optimizers.adafactor import Adafactor
from research.paper import Paper
from research.preprocessing.text.strings import Prefix
from research.pretrained.weights import Pretrained
from research.tasks.text_to_text import TextToText
from research.tasks.writing import Writing
from research.training.settings import Training

FOLDER = "weights/t5-small"
DECODING = Decoding(search=Beam(num_beams=4, length_penalty="gnmt", alpha=0.6, early_stopping="never"), max_new_tokens=256)


def experiment() -> Experiment:
  asked = lambda texts: Transformed(source=texts, transforms=(Prefix(text="article", to="article", prefix="summarize: "),))
  return Experiment(
      paper=Paper("Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", "Raffel et al.", 2020,
                  "JMLR", "https://arxiv.org/abs/1910.10683"),
      data=cnndm_bart.data("fieldwork_cnn_dailymail", "article", "highlights", tokenizer=FOLDER, batch_size=128,
                           lengths=((512, 128), (512, 512)), change=asked),
      model=t5.t5_small(), seeds=(0,), pretrained=Pretrained(path=FOLDER, names="hf"),
      task=TextToText(vocab_size=32_128, start_id=0, end_id=1, pad_id=0, loss_chunk=2048, writing=Writing(
          decoding=DECODING, source="article", against=(cnndm_bart.AGAINST,))),
      optimizer=Adafactor(learning_rate=1e-3), training=Training(steps=Duration(2**18), precision="bfloat16"),
      targets=cnndm_bart.targets((41.12, 19.56, 38.35), DECODING, "Table 14"))
