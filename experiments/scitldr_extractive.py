"""Cachola et al. 2020, SciTLDR: one sentence of an abstract as the summary of a paper, without a model.

    python launch.py --experiment=scitldr_extractive --data_dir=DIR      a minute on one CPU core

DIR holds text/scitldr_a/test.jsonl.gz (618 papers, 2 to 4 summaries each). Expected ROUGE-1/2/L: first sentence
31.29/11.42/24.08; oracle chosen by sets of words 47.13/24.83/38.16, by ROUGE-1 49.34/26.05/39.95. Scores are rouge_score's with
a stemmer, of the reference with the best ROUGE-1; the paper's are files2rouge's.
"""

from research.paper import Paper, Target, within
from research.studies.scitldr_extractive import SciTLDRExtractive

_TYPES = ("rouge1", "rouge2", "rougeL")


def _signature(several: str) -> str:
  return f"F1|refs:{several}|stemmer:yes|rouge_score:0.1.2"


def _exact(system: str, values: tuple[float, ...], says: str, several: str = "best_rouge1") -> tuple[Target, ...]:
  return tuple(Target(metric=f"{system}/{kind}", criterion=within(value, 0.1), signature=_signature(several),
                      says=f"{says}, {kind}: {value} by an independent calculation") for kind, value in zip(_TYPES, values))


def experiment() -> SciTLDRExtractive:
  return SciTLDRExtractive(
      paper=Paper("TLDR: Extreme Summarization of Scientific Documents", "Cachola, Lo, Cohan, Weld", 2020, "Findings of EMNLP",
                  "https://arxiv.org/abs/2004.15011"),
      targets=(
          *_exact("first", (31.29, 11.42, 24.08), "first sentence"),
          *_exact("oracle_set", (47.13, 24.83, 38.16), "best sentence by sets of words"),
          *_exact("oracle_rouge1", (49.34, 26.05, 39.95), "best sentence by ROUGE-1"),
          *_exact("first_mean", (22.5,), "first sentence, mean over the references", "mean"),
          *(Target(metric=f"oracle_set/{kind}", criterion=within(value, 1.2), signature=_signature("best_rouge1"),
                   place="the paper's table of results, from memory: its figure is not printed as its own",
                   says=f"the best sentence of the abstract scores as the paper's oracle does, {kind}")
            for kind, value in zip(_TYPES, (47.7, 24.7, 38.5))),
      ),
      seeds=(0,))
