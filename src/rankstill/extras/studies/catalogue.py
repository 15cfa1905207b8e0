"""The studies that there are."""

from __future__ import annotations

from rankstill.extras.studies.ablations import ablations
from rankstill.extras.studies.baselines import baselines
from rankstill.extras.studies.by_lists import kinds_of_list, sizes
from rankstill.extras.studies.variants import Study

STUDIES = {
    study.name: study
    for study in (
        Study("size", "How many LLM-ranked lists does it take?", sizes),
        Study("lists", "What kind of list teaches a retriever best?", kinds_of_list),
        Study("ablations", "What is each part of the chain worth?", ablations),
        Study("baselines", "Is the chain better than what it would replace?", baselines),
    )
}
