"""Titles for news: the small encoder of aeslc_subjects learns from 1,706 articles which words in a row to take.

Greene, Cunningham 2006 collected the articles; no paper has figures for titles on this split, so that the criteria are our own.

  python launch.py --experiment=bbc_titles --data_dir=DATA

About 3 minutes on two CPU cores for two seeds. Expected: above the first sentence (21.67/3.72/18.16) in ROUGE-1, 2 and L.
Titles are written anew, not taken: the first ten words score 23.32/4.29/20.67. 1,706 articles are too few to learn more than
that: the recorded run is worse than both (17.7/3.4/16.8), and no better after a quarter of its steps than at the end.
"""

from experiments import aeslc_subjects
from research.experiment import Experiment
from research.paper import Paper


def experiment() -> Experiment:
  return aeslc_subjects.run(
      "bbc_news_summary", "test", "article", "title", Paper(
          "Practical Solutions to the Problem of Diagonal Dominance in Kernel Document Clustering", "Greene, Cunningham", 2006,
          "ICML", "http://mlg.ucd.ie/datasets/bbc.html"),
      (21.67, 3.72, 18.16), "better than the first sentence", epochs=16)
