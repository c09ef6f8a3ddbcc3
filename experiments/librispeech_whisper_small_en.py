"""Whisper small.en on LibriSpeech's test sets. NOT RUN: it needs LibriSpeech and OpenAI's weights.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision": 3.1 % word errors on test-clean, 7.4 % on
test-other, greedy decoding, in Whisper's own English normalisation.

  python launch.py --experiment=librispeech_whisper_small_en --data_dir=DATA

DATA holds LibriSpeech/test-clean and LibriSpeech/test-other as their archives unpack, and weights/whisper-small.en, the folder
as Hugging Face has it. 15 hours on 2 CPU cores, minutes on a GPU.
"""

from experiments import librispeech_whisper_tiny_en
from research.assessment import Assessment
from research.models import whisper


def experiment() -> Assessment:
  return librispeech_whisper_tiny_en.librispeech(whisper.small(), "weights/whisper-small.en", clean=3.1, other=7.4)
