"""The command line: one typed absl flag for every setting of an experiment, and errors of one line."""

import dataclasses
import difflib
import importlib
import importlib.util
import pathlib
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from absl import flags

from research import config
from research.config import ConfigError

EXPERIMENTS = pathlib.Path(__file__).resolve().parent.parent / "experiments"


def experiments() -> dict[str, pathlib.Path]:
  """The experiments that come with the project, by name."""
  return {path.stem: path for path in sorted(EXPERIMENTS.glob("[!_]*.py"))}


def find(name: str) -> pathlib.Path:
  """The file of an experiment: a name in `experiments/`, or a path to a file elsewhere. Raises ConfigError."""
  if name.endswith(".py") or "/" in name:
    path = pathlib.Path(name).expanduser().resolve()
    if not path.is_file():
      raise ConfigError(f"--experiment={name}: there is no such file")
    return path
  known = experiments()
  if name not in known:
    raise ConfigError(f"--experiment={name}: there is no such experiment{config.did_you_mean(name, known)}"
                      " (python launch.py lists them)")
  return known[name]


def load(path: pathlib.Path) -> ModuleType:
  """Imports an experiment's file. Raises ConfigError if it defines no `experiment()` or cannot be imported."""
  if path.parent == EXPERIMENTS:
    module = importlib.import_module(f"experiments.{path.stem}")
  else:
    name = f"experiment_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
      raise ConfigError(f"{path} cannot be imported: it is no .py file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
      spec.loader.exec_module(module)
    except (SyntaxError, ImportError, NameError) as error:
      raise ConfigError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
  if not callable(getattr(module, "experiment", None)):
    raise ConfigError(f"{path} defines no function experiment()")
  return module


def load_all() -> dict[str, Any]:
  """Every experiment with its own settings. Imports all their files."""
  return {name: load(path).experiment() for name, path in experiments().items()}


class _Parser(flags.ArgumentParser):
  """Reads a leaf's text by its declared type."""

  def __init__(self, leaf: config.Leaf):
    self._leaf = leaf
    self.syntactic_help = ""

  def parse(self, argument):
    return config.parse(argument, self._leaf.hint, self._leaf.path) if isinstance(argument, str) else argument

  def flag_type(self) -> str:
    return config.type_name(self._leaf.hint)


def parse_overrides(experiment: Any, run_flags: flags.FlagValues, argv: Sequence[str], mode: str = "",
                    settings: Any = None) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
  """Reads the command line with a flag for each setting beside the run's own flags.

  Args:
    experiment: the tree whose leaves become flags.
    run_flags: flags that describe the run (workdir, mode, ...); they are parsed into this object.
    argv: with the program's name first.
    mode: the mode, whose settings have flags that begin with its name.
    settings: these, or None where it has none.

  Returns:
    The given settings of the experiment, dotted path to typed value; those of the mode; and the words that are no flags.

  Raises:
    ConfigError: anything unknown, misspelt or of the wrong type, in one line.
  """
  own = [] if settings is None else list(config.leaves(settings))
  prefixed = [dataclasses.replace(leaf, path=f"{mode}.{leaf.path}") for leaf in own]
  leaves = [*config.leaves(experiment), *prefixed]
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  values.append_flag_values(run_flags)
  for leaf in leaves:
    flags.DEFINE(_Parser(leaf), leaf.path, leaf.value, leaf.doc, flag_values=values, module_name="experiment",
                 serializer=flags.ArgumentSerializer())
  try:
    rest = values(list(argv))
  except flags.UnrecognizedFlagError as error:
    raise ConfigError(f"there is no flag --{error.flagname}{_near(error.flagname, list(values))}") from None
  except (flags.Error, ConfigError) as error:
    raise ConfigError(_one_line(error)) from None
  run_flags.mark_as_parsed()  # the flags are shared, the mark is not
  if len(rest) > 1 and not hasattr(settings, "inputs"):
    raise ConfigError(f"{rest[1]!r} is no flag; settings are given as --name=value")
  given = lambda leaves: {leaf.path: values[leaf.path].value for leaf in leaves if values[leaf.path].present}
  of_mode = {path.removeprefix(f"{mode}."): value for path, value in given(prefixed).items()}
  return given(leaves[:len(leaves) - len(own)]), of_mode, rest[1:]


def _near(name: str, known: Sequence[str]) -> str:
  """The known flag that was probably meant; the last word of a path counts most."""
  last = [k for k in known if k.rpartition(".")[2] == name.rpartition(".")[2]]
  near = difflib.get_close_matches(name, last or known, n=1, cutoff=0.5 if not last else 0.0)
  return f'. Did you mean "--{near[0]}"?' if near else " (--help lists them)"


def _one_line(error: Exception) -> str:
  """The cause of an absl error without its preamble: our own parser's words where it was ours."""
  text = re.sub(r"\s+", " ", str(error))
  ours = re.match(r"flag (--\S+?)=.*?: (--.*)$", text)
  return ours[2] if ours else text


def help_text(name: str, summary: str, experiment: Any, run_flags: flags.FlagValues, modes: dict[str, Any]) -> str:
  """Every flag with its type, default and meaning."""
  lines = [f"python launch.py --experiment={name}", "", summary, "", "The run:"]
  for flag_name in run_flags:
    flag = run_flags[flag_name]
    if flag_name not in _ABSL:
      lines.append(f"  --{flag_name}={flag.default}  ({flag.flag_type()})  {flag.help}")
  lines += ["", "Settings:"]
  lines += map(_shown, config.leaves(experiment))
  for mode, settings in modes.items():
    if settings is not None:
      lines += ["", f"--mode={mode}:", *map(_shown, config.leaves(settings, f"{mode}."))]
  return "\n".join(lines)


def _shown(leaf: config.Leaf) -> str:
  value = ",".join(map(str, leaf.value)) if isinstance(leaf.value, tuple) else leaf.value
  return f"  --{leaf.path}={value}  ({config.type_name(leaf.hint)})  {leaf.doc}".rstrip()


_ABSL = ("flagfile", "undefok", "help", "helpfull", "helpshort", "helpxml", "only_check_args", "?")
