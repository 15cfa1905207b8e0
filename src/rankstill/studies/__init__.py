"""The paper's studies as commands: variants of one experiment over seeds, with paired tests between them."""

from rankstill.studies.catalogue import STUDIES
from rankstill.studies.running import run_study
from rankstill.studies.variants import ListKind, StudyData, Variant, relist

__all__ = ["STUDIES", "ListKind", "StudyData", "Variant", "relist", "run_study"]
