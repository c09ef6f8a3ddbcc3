"""Runs one mode of one experiment: `python launch.py --experiment=NAME`. Without arguments, lists the experiments."""

from research import process

process.tune_allocator()  # before anything allocates
process.widen_vectors()

import ast
import dataclasses
import sys

from absl import flags

from research import command_line
from research.config import ConfigError, UserError, override
from research.modes.settings import MODES

RUN = flags.FlagValues()
flags.DEFINE_string("experiment", None, "name in experiments/, or path of your own file", flag_values=RUN)
flags.DEFINE_enum("mode", "train", list(MODES), "what to do; train also evaluates, judges and reports", flag_values=RUN)
flags.DEFINE_string("workdir", None, "folder of the run; default: the newest unfinished one of an equal config, else a new "
                    "dated one, below ~/fieldwork/NAME", flag_values=RUN)
flags.DEFINE_string("data_dir", None, "folder that holds datasets", flag_values=RUN)
flags.DEFINE_list("seeds", None, "seeds to run, as 0,1,2; default: those that the experiment names", flag_values=RUN)
flags.DEFINE_string("member", None, "which member of a comparison to plan, explain or export, as NAME or NAME/NAME",
                    flag_values=RUN)
flags.DEFINE_string("coordinator", None, "host:port of process 0, when several processes train together", flag_values=RUN)
flags.DEFINE_integer("num_processes", None, "processes that train together", flag_values=RUN)
flags.DEFINE_integer("process_id", None, "this process's number among them", flag_values=RUN)


def list_experiments() -> None:
  """Prints each experiment with the first line of its docstring; imports none of them."""
  print("python launch.py --experiment=NAME [--mode=MODE] [--help]\n")
  known = command_line.experiments()
  width = max(map(len, known))
  for name, path in known.items():
    print(f"  {name:{width}}  {(ast.get_docstring(ast.parse(path.read_text())) or '').splitlines()[0]}")
  print(f"\nModes: {', '.join(MODES)}. --help with an experiment lists its settings.")


def main(argv: list[str]) -> int:
  """Returns the exit code: 0 done (whatever the verdict), 2 a mistake in what was asked, 143/130 interrupted."""
  finder = flags.FlagValues()
  flags.DEFINE_string("experiment", None, "", flag_values=finder)
  flags.DEFINE_enum("mode", "train", list(MODES), "", flag_values=finder)
  flags.DEFINE_bool("help", False, "", flag_values=finder)
  finder.set_gnu_getopt(True)
  finder(argv, known_only=True)
  if finder.experiment is None:
    if len(argv) > 1 and not finder.help:
      raise ConfigError("which experiment? Give --experiment=NAME (python launch.py lists them)")
    list_experiments()
    return 0

  path = command_line.find(finder.experiment)
  try:
    settings = process.read_settings(path)
  except (ValueError, SyntaxError) as error:
    raise ConfigError(f"{path} cannot be imported: {error}") from None
  if finder.mode == "check_gradients":
    settings["x64"] = True  # central differences in float32 would see nothing but rounding
  if finder.mode == "plan":
    settings["platform"] = "cpu"  # the processes that compile look for devices themselves
  process.apply_settings(settings)
  module = command_line.load(path)
  default = module.experiment()
  summary = (module.__doc__ or path.stem).strip()
  if finder.help:
    print(command_line.help_text(path.stem, summary, default, RUN, MODES))
    return 0
  settings = MODES[finder.mode]
  changes, of_mode, words = command_line.parse_overrides(default, RUN, argv, finder.mode, settings)
  experiment = override(default, changes)
  if settings is not None:
    settings = override(settings, of_mode)
  if words:
    settings = dataclasses.replace(settings, inputs=tuple(words))

  from research import runner  # here: a misspelt flag should not wait for it

  return runner.run(path.stem, summary, experiment, default, RUN, settings)


if __name__ == "__main__":
  try:
    sys.exit(main(sys.argv))
  except (UserError, flags.Error) as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
