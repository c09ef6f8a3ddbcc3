"""A study's parts, in memory: nothing is saved, everything comes back as the JSON values a saved part would."""

import json

from research.workdir import plain


class InMemory:
  """See `research.studies.base.Parts`."""

  def __init__(self, data_dir=None):
    self.data_dir = data_dir

  def each(self, name, items, compute):
    return [json.loads(json.dumps(plain(compute(item)))) for item in items]
