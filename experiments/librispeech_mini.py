"""A Whisper on a little of LibriSpeech: 79 utterances of one speaker, 7.7 minutes. NOT RUN: it needs OpenAI's weights.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision": tiny.en makes 5.6 % word errors on
test-clean. This set, of train-clean-100 and at 24 kbit/s, has no published figure: expected below 9 %.

  python launch.py --experiment=librispeech_mini --data_dir=DATA

DATA holds speech/librispeech_mini and weights/whisper-tiny.en, the folder as Hugging Face has it; another folder of English
weights by --pretrained.path and the settings of its network. 4 minutes on 2 CPU cores.
"""

from experiments.librispeech_whisper_tiny_en import SIGNATURE, assess
from research.assessment import Assessment
from research.data.sources import Records
from research.models import whisper
from research.paper import Target, at_most


def experiment() -> Assessment:
  return assess(
      {"test": Records(path="speech/librispeech_mini/test.npz")}, whisper.tiny(), "weights/whisper-tiny.en",
      (Target(metric="test/wer", criterion=at_most(9.0), signature=SIGNATURE, says="few words are misheard, % errors"),))
