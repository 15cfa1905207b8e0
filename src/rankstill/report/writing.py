"""`report.html`: one page on one workspace, and its figures by themselves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankstill.config import public_yaml
from rankstill.data import Dataset, load_dataset
from rankstill.disk import disk_errors
from rankstill.errors import DataError, RankstillError
from rankstill.evaluation.judged import with_judgements
from rankstill.evaluation.systems import BEFORE, DISTILLED, MEANINGS
from rankstill.labels.choice import unneeded_steps
from rankstill.progress import say
from rankstill.report.drawing import chain_figure, gains_figure, gap_figure, slices_figures, systems_figure, training
from rankstill.report.explorer import PASSAGES, Explorer, explore, gain
from rankstill.report.links import Links, proven_links, served_links
from rankstill.report.measuring import SystemResults, measure_workspace
from rankstill.report.page import changed, machine, render_page
from rankstill.report.reading import Finished, read_workspace
from rankstill.report.svg import Figure, write_figures
from rankstill.report.teacher_summary import TeacherSummary, read_all_rankings, summarise_rankings
from rankstill.report.verdict import next_step, verdict
from rankstill.teacher import Ranking
from rankstill.workspace import write_atomically

_NOTES, _YAML_CHARACTERS, _EXTREMES = 40, 60_000, 5


@dataclass(frozen=True)
class _Queries:
    """What needs the dataset: the runs query by query, and the teacher's rankings.

    Args:
        dataset: None where it could not be loaded.
        measured: None where nothing was measured, or cannot be measured again.
        missing: why the dataset could not be loaded, or its runs not be measured again; empty if they could.
    """

    dataset: Dataset | None
    measured: SystemResults | None
    explorer: Explorer | None
    said: TeacherSummary | None
    missing: str


def write_report(workspace: str | Path, dataset: Dataset | None = None, offer: str = "") -> Path:
    """Write a workspace's `report.html`, and its figures as SVG and PNG into `figures/` beside it.

    The workspace may be unfinished: the page says what is missing. It is only read, and may be in use.

    Args:
        dataset: instead of loading the one that its config names.

    Raises:
        RankstillError: the folder is no workspace, a file in it is damaged, or the disk is full.
    """
    finished = read_workspace(Path(workspace))
    with disk_errors(finished.folder, "writing the report"):
        return _write(finished, dataset, offer)


def _write(finished: Finished, dataset: Dataset | None, offer: str) -> Path:
    queries = _queries(finished, dataset)
    links = _links(finished, queries.measured)
    plots = _plots(queries)
    figures = _figures(finished, links, plots[:1])
    with_png = write_figures(figures.values(), finished.folder / "figures")
    if not with_png:
        say('note: figures are written as SVG alone; for PNG too: pip install "rankstill[report]"')
    page = render_page(
        "report.html.jinja",
        queries.explorer.data if queries.explorer else {"queries": []},
        finished=finished,
        config=finished.config,
        table=finished.table,
        agreement=finished.agreement,
        verdict=verdict(
            finished.table, finished.folder, _missing(finished, queries.dataset), offer, finished.agreement
        ),
        notes=_notes(finished, queries)[:_NOTES],
        queries=queries,
        links=links,
        figures=figures,
        extremes=_extremes(queries),
        meanings=MEANINGS,
        plots=plots,
        sampled=any('class="count"' in plot.wide for plot in plots),
        changed=changed(finished.config),
        yaml=public_yaml(finished.config).rstrip()[:_YAML_CHARACTERS],
        machine=machine(),
        versions={name: each for record in finished.steps.values() for name, each in record.versions.items()},
        names=(BEFORE, DISTILLED),
        passages=PASSAGES,
        with_png=with_png,
    )
    path = finished.folder / "report.html"
    write_atomically(path, page)
    return path


def _queries(finished: Finished, dataset: Dataset | None) -> _Queries:
    try:
        dataset = with_judgements(dataset or load_dataset(finished.config.dataset), finished.folder)
        rankings = read_all_rankings(finished.rankings, dataset) if finished.rankings else []
        measured = measure_workspace(finished, finished.table, dataset) if finished.table else None
    except RankstillError as error:
        # The rest of the report stands without the dataset; the page says why this part is missing.
        say(f"note: the report is without its queries: {error}")
        return _Queries(None, None, None, None, str(error))
    evaluation = finished.config.evaluation
    taught = _of(rankings, set(dataset.train) - set(finished.held_out))
    return _Queries(
        dataset=dataset,
        measured=measured,
        explorer=explore(measured, rankings) if measured else None,
        said=summarise_rankings(taught, dataset, finished.config.seed, evaluation.resamples),
        missing="",
    )


def _missing(finished: Finished, dataset: Dataset | None) -> str | None:
    """The next step of an unfinished chain; some baselines skip steps, which shows in the dataset alone."""
    return next_step(finished.steps, unneeded_steps(finished.config, dataset) if dataset else ())


def _of(rankings: Sequence[Ranking], query_ids: Collection[str]) -> list[Ranking]:
    return [ranking for ranking in rankings if ranking.query_id in query_ids]


def _links(finished: Finished, measured: SystemResults | None) -> Links | None:
    proven = proven_links(finished.proof)
    if proven or measured is None:
        return proven
    return served_links(measured, finished.config.seed, finished.config.evaluation.resamples)


def _plots(queries: _Queries) -> list[Figure]:
    """The gains of each system that the explorer compares, the distilled retriever first."""
    if not queries.measured or not queries.explorer:
        return []
    return [gains_figure(queries.measured, queries.explorer, system) for system in queries.explorer.data["systems"]]


def _figures(finished: Finished, links: Links | None, plots: Sequence[Figure]) -> dict[str, Figure]:
    figures = list(training(finished.losses))
    if finished.table:
        figures += [systems_figure(finished.table), gap_figure(finished.table)]
    if links:
        figures.append(chain_figure(links))
    figures += plots
    figures += slices_figures(finished.proof)
    return {figure.name: figure for figure in figures}


def _notes(finished: Finished, queries: _Queries) -> list[str]:
    notes = list(finished.notes)
    if queries.dataset:
        notes += queries.dataset.notes
        notes += _other_corpus(finished, queries.dataset)
    elif finished.table:
        notes.append(queries.missing)
    for record in finished.steps.values():
        notes += record.notes
    return list(dict.fromkeys(notes))


def _other_corpus(finished: Finished, dataset: Dataset) -> list[str]:
    """Whether the vectors are of another corpus than the dataset's, as they are after a run on a sample."""
    import numpy as np

    path = finished.folder / "vectors" / "passages.npy"
    if "vectors" not in finished.steps or not path.is_file():
        return []
    try:
        made_on = len(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error}). Run the chain again to make it.") from None
    if made_on == len(dataset.corpus):
        return []
    return [
        f"This workspace searched {made_on:,} passages, but the dataset that its config names has "
        f"{len(dataset.corpus):,}: every figure here comes from a sample, or the dataset has changed since."
    ]


def _extremes(queries: _Queries) -> list[dict[str, Any]]:
    """The queries that the distilled retriever gained and lost most on, for the page's table."""
    if not queries.explorer:
        return []
    shown = [{**each, "gain": gain(each), "after": each["after"][0]} for each in queries.explorer.data["queries"]]
    gained = [each for each in shown if each["gain"] > 0][:_EXTREMES]
    lost = [each for each in shown if each["gain"] < 0][-_EXTREMES:]
    return [*gained, *lost]
