"""Configurations in and out: YAML, values by dotted path, presets, and the files of `rankstill init`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rankstill.config.data import DatasetConfig
from rankstill.config.section import Section
from rankstill.config.sections import Config
from rankstill.config.yaml_text import read_yaml, scalar
from rankstill.errors import RankstillError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_SHOWN = 10

PAPER: dict[str, dict[str, Any]] = {
    "ranker": {"prior": False, "cross_encoder": True},
    "multi_vector": {"make": False},
}
"""What `preset: paper` sets, by section: the paper's plain chain."""
_TEMPLATE = """\
# The options that most people set. Every value below is the default.
# `rankstill init --full` writes every option, with its meaning.

dataset:
  # Your data: a folder with corpus.jsonl, queries.jsonl and qrels/. docs/guides/data.md lists the other forms.
  source: {source}
  # A file with test queries that nobody has judged. `rankstill judge` lets an LLM judge what is found for them.
  test_queries: null

# The LLM that ranks. Exactly one of these three blocks may be active. To choose another one, remove the "# " before
# its lines and put "# " before the lines of the active block.
teacher:
  # 1. An OpenAI-compatible API. The key itself stays in an environment variable.
  # kind: api
  # endpoint: https://api.openai.com/v1
  # model: gpt-4.1-mini
  # api_key_env: OPENAI_API_KEY  # the name of the variable
  # max_cost: 5.00  # USD; asking stops before this is exceeded

  # 2. A local model behind Ollama, vLLM or llama.cpp. Start Ollama with OLLAMA_CONTEXT_LENGTH=16384.
  # kind: api
  # endpoint: http://localhost:11434/v1
  # model: qwen2.5:14b

  # 3. Recorded rankings. To answer prompts by hand, choose block 1 with any model name, then run
  #    `rankstill teach --export-prompts` (docs/teacher.md).
  kind: recorded
  rankings: null  # a rankings.jsonl; null: the one in the dataset's folder

candidates:
  # How many passages of each query the LLM ranks. To raise it above 10, set candidates.n to at least the same number.
  k: 10
  # The language of BM25's stemmer and stop words, such as german; null for neither.
  language: english

ranker:
  # Train a cross-encoder. false is much faster on a CPU, and trains the sum of first-stage scores alone.
  cross_encoder: true

retriever:
  # The retriever to improve: a name on the Hugging Face hub, or a folder.
  model: sentence-transformers/all-MiniLM-L6-v2
  # Text to put before every query and every passage, if the model wants any; null: the model's own.
  query_prompt: null
  passage_prompt: null

# Equal seeds give equal results on one machine.
seed: 0
# cpu, cuda, cuda:1 or mps; null: the best device of this machine.
device: null
"""
_ASKED = ("endpoint", "api_key_env", "ledger")
_HIDDEN = (
    *(f"teacher.{option}" for option in _ASKED),
    *(f"rag.reader.{option}" for option in _ASKED),
    "judge.endpoint",
    "judge.api_key_env",
    "engine.address",
    "engine.store",
)
"""Private options: where LLMs are reached and paid, and on which machines a run works."""


def write_config(config: Config) -> str:
    """Write every option with its value as YAML."""
    return yaml_of(config.model_dump(mode="json"))


def yaml_of(options: Mapping[str, Any]) -> str:
    """Options as YAML, in their order."""
    import yaml

    text: str = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
    return text


def read_config(path: str | Path, changes: Mapping[str, Any] | None = None) -> Config:
    """Read a YAML config.

    Args:
        changes: options to set over the file's, by dotted path, such as {"ranker.prior": False}.

    Raises:
        RankstillError: the file is missing or broken or sets an option twice, or an option is unknown or has a value
            that it cannot have.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RankstillError(f"{path}: there is no such config. `rankstill init` writes one.") from None
    except OSError as error:
        raise RankstillError(f"{path}: cannot be read as a config ({error.strerror}).") from None
    read = read_yaml(content, str(path))
    if not isinstance(read, dict):
        raise RankstillError(f"{path}: a config is a YAML mapping with a section a step. `rankstill init` writes one.")
    return make_config(read, changes, str(path))


def make_config(values: Mapping[str, Any], changes: Mapping[str, Any] | None = None, where: str = "config") -> Config:
    """Check values, with changes by dotted path, against what the options may be.

    A change of a whole section sets the options that it names, and leaves the section's others as they are.

    Raises:
        RankstillError: options are unknown or have values that they cannot have; it names up to ten of them.
    """
    tree: dict[str, Any] = copy.deepcopy(dict(values))
    sections = {
        name
        for name, info in Config.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }
    for name in sections:
        if tree.get(name, {}) is None:
            tree[name] = {}  # its options are all left out
    for dotted, value in (changes or {}).items():
        if dotted in sections and isinstance(value, Mapping):
            for option, each in value.items():
                _set(tree, f"{dotted}.{option}", each, where)
        else:
            _set(tree, dotted, value, where)
    if tree.get("preset") == "paper":
        for section, options in PAPER.items():
            if isinstance(own := tree.setdefault(section, {}), dict):
                tree[section] = {**options, **own}
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise RankstillError(
            f"{where}: {_mistakes(error)}. `rankstill init --full` writes a config with every option."
        ) from None


def _set(tree: dict[str, Any], dotted: str, value: Any, where: str) -> None:
    *above, option = dotted.split(".")
    node = tree
    for depth, name in enumerate(above, start=1):
        if node.get(name) is None:
            node[name] = {}  # left out, or null, as a section is whose options are all left out
        node = node[name]
        if not isinstance(node, dict):
            path = ".".join(above[:depth])
            raise RankstillError(
                f"{where}: {path}: it is set to one value and has no options below it, so {dotted} cannot be set. "
                "`rankstill init --full` writes a config with every option."
            )
    node[option] = value


def _mistakes(error: ValidationError) -> str:
    """What is wrong with the options, up to ten of them, in one line."""
    # Options that do not exist come first: what they were meant to be may be missing because of them.
    found = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return "; ".join(map(_in_words, found[:_SHOWN])) + more


def _in_words(mistake: ErrorDetails) -> str:
    plainly = {"extra_forbidden": "no such option", "model_type": "a section, with its options below it"}
    told = plainly.get(mistake["type"], mistake["msg"].removeprefix("Value error, "))
    if mistake["type"] == "string_type" and isinstance(mistake["input"], bool):
        told = 'without quotes, YAML reads no, off, yes and on as false or true. Put it in quotes ("no"); none is null'
    elif mistake["type"] == "string_type" and isinstance(mistake["input"], int | float | date):
        told = "text is expected, and without quotes YAML reads this as a number or a date. Put it in quotes"
    return ": ".join(filter(None, [".".join(str(part) for part in mistake["loc"]), told]))


def commented_config(source: str) -> str:
    """A YAML config with every option, its default and its meaning."""
    defaults = Config(dataset=DatasetConfig(source=source)).model_dump(mode="json")
    lines = ["# Every option of Rankstill with its default. You can leave out options that you do not change."]
    for name, info in Config.model_fields.items():
        value = defaults[name]
        if not isinstance(value, dict):
            lines += ["", f"# {info.description}", f"{name}: {scalar(value)}"]
            continue
        section = type(getattr(Config(dataset=DatasetConfig(source=source)), name))
        lines += ["", f"# {' '.join((section.__doc__ or '').split())}", f"{name}:"]
        for option, about in section.model_fields.items():
            lines += [f"  # {about.description}", f"  {option}: {scalar(value[option])}"]
    return "\n".join(lines) + "\n"


def starting_config(source: str) -> str:
    """A YAML config of a dozen options, with three choices of teacher, one of them active."""
    return _TEMPLATE.format(source=scalar(source))


def public_options(config: Config) -> dict[str, Any]:
    """The experiment's options by section, without the hidden ones, and the names of the hidden ones."""
    options: dict[str, Any] = config.model_dump(mode="json")
    for path in _HIDDEN:
        section, option = _section(options, path)
        section.pop(option, None)
    return options


def public_yaml(config: Config) -> str:
    """The same as YAML, to be run again; a comment names hidden options that were set, for null would mean another."""
    options = config.model_dump(mode="json")
    hidden = [path for path in _HIDDEN if (found := _section(options, path))[0].get(found[1]) is not None]
    note = f"# not shown: {', '.join(hidden)}; set yours\n" if hidden else ""
    return f"{note}{yaml_of(public_options(config))}"


def _section(options: Mapping[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The section that holds an option, empty where there is none, and the option's own name."""
    *above, option = path.split(".")
    section: Any = options
    for name in above:
        section = section.get(name) or {}
    return section, option
