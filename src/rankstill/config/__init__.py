"""Every option, declared once, with its default and meaning. YAML and command-line flags use the same paths."""

from rankstill.config.data import CandidatesConfig, DatasetConfig
from rankstill.config.files import (
    commented_config,
    make_config,
    public_options,
    public_yaml,
    read_config,
    starting_config,
    write_config,
)
from rankstill.config.sections import (
    Config,
    EvaluationConfig,
    MultiVectorConfig,
    RankerConfig,
    RetrieverConfig,
    System,
)
from rankstill.config.teacher import TeacherConfig
from rankstill.config.unused import refuse_unused

__all__ = [
    "CandidatesConfig",
    "Config",
    "DatasetConfig",
    "EvaluationConfig",
    "MultiVectorConfig",
    "RankerConfig",
    "RetrieverConfig",
    "System",
    "TeacherConfig",
    "commented_config",
    "make_config",
    "public_options",
    "public_yaml",
    "read_config",
    "refuse_unused",
    "starting_config",
    "write_config",
]
