"""The paper's studies as commands: variants of one experiment over seeds, with paired tests between them."""

from rankstill.extras.studies.catalogue import STUDIES
from rankstill.extras.studies.running import run_study
from rankstill.extras.studies.variants import ListKind, StudyData, Variant, relist

__all__ = ["STUDIES", "ListKind", "StudyData", "Variant", "relist", "run_study"]
