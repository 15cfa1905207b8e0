"""Every option once: its default, its unit and why. YAML in and out; the command line's flags name the same paths."""

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
    CandidatesConfig,
    Config,
    DatasetConfig,
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
