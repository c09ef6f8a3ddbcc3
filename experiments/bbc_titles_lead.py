"""Kryściński et al. 2019: news say what matters first. Here: the title of a BBC article from each of its first sentences.

    python launch.py --experiment=bbc_titles_lead --data_dir=DIR      seconds on one CPU core

DIR holds text/bbc_news_summary/test.jsonl.gz (211 articles, Greene and Cunningham 2006). Expected ROUGE-1/2/L of the first
sentence 21.84/3.72/18.32, of none of the next five above 9.3/1.0/8.3: what a model of titles has to beat. The paper's claim is
of summaries (CNN/Daily Mail); titles are put in their place, so it is the claim that is tested, and no number of theirs.
"""

from research.paper import Paper, Target, at_least
from research.studies.bbc_titles_lead import BBCTitlesLead


def experiment() -> BBCTitlesLead:
  return BBCTitlesLead(
      paper=Paper("Neural Text Summarization: A Critical Evaluation", "Kryściński, Keskar, McCann, Xiong, Socher", 2019,
                  "EMNLP", "https://arxiv.org/abs/1908.08960"),
      targets=tuple(Target(metric=f"first_over_best_other/{kind}", criterion=at_least(0),
                           says=f"the first sentence tells more of the title than any of the next five, {kind}")
                    for kind in ("rouge1", "rouge2", "rougeL")),
      seeds=(0,))
