"""The verdict on a retriever by three ways: by people's judgements, by held-out lists, and by a judge of known noise.

    python -m benchmarks.judged hide SOURCE FOLDER
    python -m benchmarks.judged measure WORKSPACE FOLDER --people SOURCE [--local 6]
    python -m benchmarks.judged table FOLDER...

`hide` writes a dataset without its judgements: a BEIR folder with the queries that teach and their rankings, and the
test queries in `test_queries.jsonl`. `measure` works on a copy of a finished workspace. Where that was made with the
judgements in sight, the copy is first made one of the hidden dataset: what was searched and trained is carried over,
for none of it reads a test judgement; agreement and verdict are made anew. Then the real `rankstill judge` and
`check-judge` ask a server on loopback. It answers from people's grades, of which a share is replaced by random ones.
`--local` has SmolLM2-135M checked too, on so many queries.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rankstill.config import Config, DatasetConfig, read_config
from rankstill.data import Dataset, bundled, is_bundled, load_dataset
from rankstill.data.writing import write_beir
from rankstill.evaluation import EvaluationTable, evaluate_runs
from rankstill.evaluation.judged import read_judgements
from rankstill.evaluation.runs import Run, rank_order
from rankstill.evaluation.systems import BEFORE, DISTILLED, read_runs
from rankstill.judge import commands as judging
from rankstill.judge.agreement import human_agreement, order_agreement
from rankstill.outcome import Outcome
from rankstill.pipeline import distill, identity
from rankstill.progress import say
from rankstill.report.verdict import verdict
from rankstill.steps import STEPS
from rankstill.teacher.prompts import cut, defuse
from rankstill.workspace import FORMAT, Workspace, digest

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "teacher"), str(TESTS / "judge")]

from judges import Grade, Respond, judge_by, prefers_first, with_noise  # noqa: E402
from llm_server import FakeLLM  # noqa: E402

NOISE = (0.0, 0.1, 0.2)
"""Shares of the grades that are drawn evenly from the four."""
MADE_ANEW = ("agreement", "evaluation")
"""Steps that read judgements, or what stands for them; the others are carried over."""
HIGHEST_BY_PEOPLE = {1: {1: 3}, 2: {1: 2, 2: 3}}
"""By the highest grade that people gave on a corpus: the judge's grades for theirs."""
DEFAULT_QUERIES = 100
"""That `rankstill judge` has judged, its default."""
CHECKED = 30
"""Queries of `check-judge`, its default."""


def hide(people: Dataset, rankings: Path, folder: Path) -> None:
    """Write a dataset without any judgement; the queries that may teach stay those that they were."""
    wanted = {*people.train, *people.extra}
    queries = {query_id: dataclasses.replace(people.queries[query_id], answers=()) for query_id in people.queries}
    hidden = dataclasses.replace(
        people, test=(), qrels={}, queries={each: query for each, query in queries.items() if each in wanted}
    )
    write_beir(hidden, folder)
    asked = ({"_id": each, "text": people.queries[each].text} for each in people.test)
    (folder / "test_queries.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in asked), encoding="utf-8")
    shutil.copy(rankings, folder / "rankings.jsonl")


class CarriedOver(Workspace):
    """A workspace whose steps count as made of the hidden dataset, but for `MADE_ANEW`."""

    def step(self, name: str, make: Callable[..., Any], *, settings: Any, inputs: Any = (), **others: Any) -> str:
        """As `Workspace.step`."""
        known = self.record(name)
        if known is not None and name not in MADE_ANEW:
            self._records[name] = dataclasses.replace(known, fingerprint=digest(FORMAT, name, settings, list(inputs)))
            self._write_manifest()
        return super().step(name, make, settings=settings, inputs=inputs, **others)


def without_judgements(workspace: Path, folder: Path, people: Dataset) -> tuple[Config, Outcome]:
    """A copy of a finished workspace, in which nobody has judged anything, and what the run says of it."""
    copy, source = shutil.copytree(workspace, folder / "unjudged"), folder / "dataset"
    config = read_config(copy / "config.yaml")
    rankings = bundled(config.dataset.source) if is_bundled(config.dataset.source) else Path(config.dataset.source)
    if not config.dataset.test_queries:
        hide(people, rankings / "rankings.jsonl", source)
        changes = {"dataset.source": str(source), "dataset.test_queries": str(source / "test_queries.jsonl")}
        if people.extra:
            changes["dataset.extra_queries"] = str(source / "extra_queries.jsonl")
        config = read_config(copy / "config.yaml", changes)
        carry_over(copy, config)
    return config, distill(config, copy)


def carry_over(workspace: Path, config: Config) -> None:
    """Make a copied workspace one of the hidden dataset."""
    from rankstill.pipeline import Chain

    manifest = json.loads((workspace / "manifest.json").read_text(encoding="utf-8"))
    manifest["dataset"] = None
    (workspace / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for name in ("metrics.json", "per-query.csv", "pairs.csv", "runs/qrels.trec", "agreement.json", "report.html"):
        (workspace / name).unlink(missing_ok=True)
    dataset = load_dataset(config.dataset)
    with CarriedOver(workspace) as opened:
        opened.hold(identity(dataset, config))
        chain = Chain(config, opened, dataset)
        for name in STEPS:
            if name in chain.steps and name not in MADE_ANEW:
                getattr(chain, name)()


def judge_of(people: Dataset, tokens: int) -> Grade:
    """People's grades by the texts of a prompt; 0 where they gave none.

    Args:
        people: with the judgements.
        tokens: of a passage in a prompt.
    """
    highest = max(grade for grades in people.test_qrels().values() for grade in grades.values())
    queries = {defuse(people.queries[query_id].text): query_id for query_id in people.test}
    ids: dict[str, list[str]] = {}
    for passage_id, text in zip(people.corpus.ids, people.corpus.texts(), strict=True):
        ids.setdefault(cut(defuse(text), tokens), []).append(passage_id)

    def grade(query: str, passage: str) -> int:
        given = people.qrels[queries[query]]
        best = max(given.get(each, 0) for each in ids[passage])
        return HIGHEST_BY_PEOPLE[highest].get(best, 0)

    return grade


def measure(workspace: Path, folder: Path, people: Dataset, local: int, system: str = DISTILLED) -> dict[str, Any]:
    """Every way's figures and verdict, and what `check-judge` says of each judge."""
    folder.mkdir(parents=True)
    config, unjudged = without_judgements(workspace, folder, people)
    runs = read_runs(unjudged.workspace / "runs")
    names = distinct(runs)
    by_people = evaluate_runs(
        runs, people.test_qrels(), BEFORE, config.evaluation.measures, config.seed, config.evaluation.resamples
    )
    assert unjudged.table is None
    agreement = unjudged.agreement
    listed = agreement.table if agreement is not None else None
    found: dict[str, Any] = {
        "corpus": people.name,
        "system": system,
        "offer": unjudged.offer,
        "people": described(by_people, by_people, system, names),
        "lists": described(listed, by_people, system, names) if listed is not None else None,
        "judges": {},
        "checks": {},
    }
    grade = judge_of(people, config.judge.llm(config.teacher.model_copy(update={"model": "x"})).passage_tokens)
    several = [(share, len(people.test)) for share in NOISE]
    if len(people.test) > DEFAULT_QUERIES:
        several.insert(1, (0.0, DEFAULT_QUERIES))
    for share, queries in several:
        name = f"{share:.0%} of its grades random" + (f", {queries} queries" if queries < len(people.test) else "")
        say(f"{people.name}, judged by people's grades, {name}")
        copy = folder / f"judged-{share:.0%}-{queries}"
        judged, checked = asked(config, unjudged.workspace, copy, with_noise(grade, share), queries)
        known = read_judgements(copy, load_dataset(config.dataset))
        beside = human_agreement(known.grades if known else {}, people.test_qrels(), runs, config)
        assert judged.table is not None
        assert beside is not None
        found["judges"][name] = {**described(judged.table, by_people, system, names), "kappa": beside.kappa}
        if queries == len(people.test):
            found["checks"][name] = checked
    for name, respond in {
        "always 3": judge_by(lambda query, passage: 3),
        "prefers the first shown": prefers_first(grade),
    }.items():
        found["checks"][name] = checked_alone(config, unjudged.workspace, folder / name, respond)
    if local:
        found["checks"]["SmolLM2-135M"] = checked_locally(config, unjudged.workspace, folder / "local", local)
    return found


def asking(config: Config, folder: Path, url: str, queries: int) -> Config:
    """The experiment with the server as its judge, who is paid for nothing twice in this folder alone."""
    changes = {"judge.model": "simulated", "judge.endpoint": url, "judge.queries": queries}
    return read_config(folder / "config.yaml", {**changes, "teacher.ledger": str(folder / "ledger.sqlite")})


def asked(config: Config, unjudged: Path, copy: Path, respond: Respond, queries: int) -> tuple[Outcome, str]:
    """What the run says once a judge has graded every test query, and what `check-judge` said of it before."""
    shutil.copytree(unjudged, copy)
    with FakeLLM(respond) as server:
        own = asking(config, copy, server.url, queries)
        checked = judging.check_judge(own, copy, CHECKED).lines()[0]
        outcome = judging.judge(own, copy).outcome
    assert outcome is not None
    return outcome, checked


def checked_alone(config: Config, unjudged: Path, copy: Path, respond: Respond) -> str:
    """What `check-judge` says first."""
    shutil.copytree(unjudged, copy)
    with FakeLLM(respond) as server:
        return judging.check_judge(asking(config, copy, server.url, CHECKED), copy, CHECKED).lines()[0]


def checked_locally(config: Config, unjudged: Path, copy: Path, queries: int) -> str:
    """What `check-judge` says first of a small LLM on this machine."""
    shutil.copytree(unjudged, copy)
    changes = {"judge.kind": "local", "judge.model": "SmolLM2-135M-Instruct", "teacher.timeout": 600}
    small = {"judge.context": 2048, "judge.passage_tokens": 100, "judge.k": 3, "judge.queries": queries}
    ledger = {"teacher.ledger": str(copy / "ledger.sqlite"), "teacher.concurrency": 1}
    own = read_config(copy / "config.yaml", {**changes, **small, **ledger})
    return judging.check_judge(own, copy, queries).lines()[0]


def distinct(runs: Mapping[str, Run]) -> set[str]:
    """The systems, without those whose ten best are another's: a part that was not trained makes no second system."""
    known: dict[str, str] = {}
    for name, run in runs.items():
        known.setdefault(repr([rank_order(found)[:10] for _, found in sorted(run.items())]), name)
    return set(known.values())


def described(table: EvaluationTable, people: EvaluationTable, system: str, names: Collection[str]) -> dict[str, Any]:
    """A way's verdict on a system, beside people's, and on how many of the named systems it says what they say."""
    main = table.measures[0]
    one, other = (
        dataclasses.replace(each, systems=tuple(found for found in each.systems if found.name in names))
        for each in (table, people)
    )
    comparisons = table.system(system).comparisons
    assert comparisons is not None
    ours, theirs = kinds(table), {name: kind for name, kind in kinds(people).items() if name in names}
    return {
        "n": table.n,
        "measure": main,
        **{name: getattr(comparisons[main], name) for name in ("before", "after", "difference", "low", "high")},
        "p": table.adjusted_p(main)[system],
        "kind": ours[system],
        "rivals": verdict(table, Path(), system=system).sentence.partition(").")[2].strip()
        if system == DISTILLED
        else "",
        "tau": order_agreement(one, other),
        "same": sum(ours[name] == theirs[name] for name in theirs),
        "opposite": sum({ours[name], theirs[name]} == {"better", "worse"} for name in theirs),
        "of": len(theirs),
    }


def kinds(table: EvaluationTable) -> dict[str, str]:
    """Each system against the retriever before, as the verdict would say it: by interval and corrected test."""
    main = table.measures[0]
    adjusted = table.adjusted_p(main)
    said = {}
    for system in table.systems:
        if system.comparisons is not None:
            found = system.comparisons[main]
            sure = adjusted[system.name] < 0.05
            said[system.name] = "better" if sure and found.low > 0 else "worse" if sure and found.high < 0 else "open"
    return said


def to_markdown(measured: Sequence[Mapping[str, Any]]) -> str:
    """The tables for docs/proof.md."""
    heads = [
        "corpus",
        "by",
        "n",
        "before -> after",
        "difference [95 %]",
        "p",
        "verdict",
        "same verdicts",
        "tau",
        "kappa",
    ]
    lines = [f"| {' | '.join(heads)} |", "| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |"]
    for one in measured:
        ways = {"people": one["people"], "held-out lists": one["lists"]}
        ways |= {f"judge, {name}": each for name, each in one["judges"].items()}
        lines += [row(f"{one['corpus']}, {one['system']}", name, each) for name, each in ways.items() if each]
    lines += ["", "| corpus | judge | `check-judge` says |", "| --- | --- | --- |"]
    for one in measured:
        lines += [f"| {one['corpus']} | {name} | {said} |" for name, said in one["checks"].items()]
    return "\n".join([*lines, ""])


def row(corpus: str, way: str, found: Mapping[str, Any]) -> str:
    """One way's row."""
    own = way == "people"
    cells = [
        corpus,
        way,
        str(found["n"]),
        f"{found['before']:.3f} -> {found['after']:.3f}",
        f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]",
        f"{found['p']:.4f}",
        f"{found['kind']}. {found['rivals']}".strip(),
        "" if own else f"{found['same']} of {found['of']}",
        "" if own or found["tau"] is None else f"{found['tau']:.2f}",
        f"{found['kappa']:.2f}" if found.get("kappa") is not None else "",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    hiding = commands.add_parser("hide")
    hiding.add_argument("source")
    hiding.add_argument("folder", type=Path)
    measuring = commands.add_parser("measure")
    measuring.add_argument("workspace", type=Path)
    measuring.add_argument("folder", type=Path)
    measuring.add_argument("--people", required=True)
    measuring.add_argument("--local", type=int, default=0)
    measuring.add_argument("--system", default=DISTILLED)
    printing = commands.add_parser("table")
    printing.add_argument("folders", type=Path, nargs="+")
    given = parser.parse_args()
    if given.command == "table":
        found = [json.loads((each / "judged-study.json").read_text(encoding="utf-8")) for each in given.folders]
        sys.stdout.write(to_markdown(found))
        return
    source = given.source if given.command == "hide" else given.people
    people = load_dataset(DatasetConfig(source=source))
    if given.command == "hide":
        place = bundled(source) if is_bundled(source) else Path(source)
        hide(people, place / "rankings.jsonl", given.folder)
        return
    measured = measure(given.workspace, given.folder, people, given.local, given.system)
    (given.folder / "judged-study.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")
    sys.stdout.write(to_markdown([measured]))


if __name__ == "__main__":
    main()
