"""Sentences as they come: an empty output, an empty reference, other scripts; and two systems, wrong in known ways."""

import numpy as np

REFERENCES = [
    "A man in an orange hat is staring at something.",
    "A Boston Terrier is running on lush green grass in front of a white fence.",
    "Five people wearing winter jackets and helmets stand in the snow, with snowmobiles in the background.",
    "Ein Mädchen in einem Karateanzug bricht ein Brett mit einem Tritt.",
    "Fußgänger überqueren die Straße – trotz Regens, um 7:30 Uhr!",
    "一个 男人 正在 看 书 。",
    "Здравствуйте, как ваши дела?",
    "The café's menu costs $12.50 (incl. tax) & it's good 😀 e\u0301.",
    "",
    "Two dogs.",
    "Stop!",
    "People are fixing the roof of a house.",
]
HYPOTHESES = [
    "A man in an orange hat is looking at something.",
    "A Boston Terrier runs on the green grass before a white fence.",
    "Five people in winter jackets and with helmets are standing in the snow with snowmobiles in the background.",
    "Ein Mädchen in einem Karateanzug bricht mit einem Tritt ein Brett.",
    "Fußgänger gehen bei Regen über die Straße.",
    "一个 男人 在 看 书 。",
    "Здравствуйте, как дела?",
    "The café's menu costs $12.50 & it's good.",
    "There is nothing here.",
    "",
    "Stop!",
    "The the the the the the.",
]


def many(num: int) -> tuple[list[str], list[str], list[str]]:
  """References, and two systems: the first loses a fifth of the words, the second a tenth and mixes the order."""
  rng = np.random.default_rng(0)
  references = [REFERENCES[i] + " " + REFERENCES[j] for i, j in rng.integers(0, len(REFERENCES), (num, 2))]
  cut = lambda text, share: " ".join(word for word in text.split() if rng.random() > share)

  def mixed(text):
    words = text.split()
    return " ".join(words[i] for i in np.argsort(np.arange(len(words)) + 2 * rng.random(len(words))))

  return references, [cut(r, 0.2) for r in references], [mixed(cut(r, 0.1)) for r in references]
