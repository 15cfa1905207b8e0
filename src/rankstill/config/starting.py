"""The short config of `rankstill init`: the options that most people set, and three choices of teacher."""

from __future__ import annotations

from rankstill.config.yaml_text import scalar

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


def starting_config(source: str) -> str:
    """A YAML config of a dozen options, with three choices of teacher, one of them active."""
    return _TEMPLATE.format(source=scalar(source))
