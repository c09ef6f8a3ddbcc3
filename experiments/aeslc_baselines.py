"""Zhang, Tetreault 2019, subject lines of e-mail (AESLC): what needs no model, and what people write.

    python launch.py --experiment=aeslc_baselines --data_dir=DIR      about a minute on one CPU core

DIR holds text/aeslc/dev.jsonl.gz (1,960 mails of Enron; only the dev split, which has three more subjects by people for each).
Expected ROUGE-1/2/L (rouge_score, stemmer): first line 16.59/7.39/15.16, first two lines 11.52/4.70/10.41, people
24.68/10.39/23.37. A trained model (`aeslc_subjects`) must beat the first line in all three. Published figures are of the test
split.
"""

from research.paper import Paper, Target, at_least, within
from research.studies.aeslc_baselines import AESLCBaselines

_TYPES = ("rouge1", "rouge2", "rougeL")
_SIGNATURE = "F1|nrefs:1|stemmer:yes|rouge_score:0.1.2"


def _exact(system: str, values: tuple[float, ...], says: str) -> tuple[Target, ...]:
  return tuple(Target(metric=f"{system}/{kind}", criterion=within(value, 0.05), signature=_SIGNATURE,
                      says=f"{says}, {kind}: {value} by an independent calculation") for kind, value in zip(_TYPES, values))


def experiment() -> AESLCBaselines:
  return AESLCBaselines(
      paper=Paper("This Email Could Save Your Life: Introducing the Task of Email Subject Line Generation",
                  "Zhang, Tetreault", 2019, "ACL", "https://arxiv.org/abs/1906.03497"),
      targets=(
          *_exact("first_line", (16.59, 7.39, 15.16), "first line of the mail"),
          *_exact("first_two_lines", (11.52, 4.70, 10.41), "first two lines"),
          *_exact("human", (24.68, 10.39, 23.37), "subjects by three people, their mean"),
          *(Target(metric=f"first_line/{kind}", criterion=at_least(value), published=value, signature=_SIGNATURE,
                   says=f"a Transformer trained from scratch is no better than the first line, {kind}",
                   place="PEGASUS (Zhang et al. 2020), Transformer-base on the test split, as transcribed by others",
                   not_comparable="the dev split here, the test split there")
            for kind, value in zip(_TYPES, (15.04, 7.39, 14.93))),
      ),
      seeds=(0,))
