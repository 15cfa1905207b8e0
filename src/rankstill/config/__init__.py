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
    EngineConfig,
    EvaluationConfig,
    LabelsConfig,
    MultiVectorConfig,
    RagConfig,
    RankerConfig,
    RetrieverConfig,
    System,
    WhiteBoxConfig,
)
from rankstill.config.teacher import JudgeConfig, ModelPrice, TeacherConfig
from rankstill.config.unused import refuse_unused

__all__ = [
    "CandidatesConfig",
    "Config",
    "DatasetConfig",
    "EngineConfig",
    "EvaluationConfig",
    "JudgeConfig",
    "LabelsConfig",
    "ModelPrice",
    "MultiVectorConfig",
    "RagConfig",
    "RankerConfig",
    "RetrieverConfig",
    "System",
    "TeacherConfig",
    "WhiteBoxConfig",
    "commented_config",
    "make_config",
    "public_options",
    "public_yaml",
    "read_config",
    "refuse_unused",
    "starting_config",
    "write_config",
]
