"""What commands share: options, and the experiment that they make."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rankstill.cli.app import app
from rankstill.cli.showing import show
from rankstill.errors import RankstillError

if TYPE_CHECKING:
    from rankstill.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Argument(help="A YAML config, as `rankstill init` writes it; or a workspace, whose own config is used."),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        help=(
            "The workspace: the folder for the experiment's files. If left out: `workspace`, or the one named as "
            "CONFIG."
        ),
    ),
]
Named = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CONFIG]",
        help="A workspace, or the YAML config of the workspace that -w names. If left out: `workspace`.",
    ),
]
AlsoNamed = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace.")]
Dimensions = Annotated[
    int | None, typer.Option(min=1, help="Length of shorter vectors. They are rotated before they are cut.")
]
Of = Annotated[
    Literal["retriever", "multi-vector", "multi-vector-distilled"],
    typer.Option("--of", help="Which of the run's retrievers: the name of its folder in the workspace."),
]
EvenIfWorse = Annotated[
    bool,
    typer.Option(
        "--even-if-worse", help="Continue even if the new retriever is not shown to be better than the old one."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Quote calls, tokens and price; make no call.")]
ExportPrompts = Annotated[
    Path | None, typer.Option(help="Write the prompts without an answer to this file; make no call.")
]
Source = Annotated[str | None, typer.Option(help="The dataset: sets dataset.source.")]
Rankings = Annotated[Path | None, typer.Option(help="Recorded rankings: sets teacher.rankings.")]
Retriever = Annotated[str | None, typer.Option(help="The retriever to improve: sets retriever.model.")]
Llm = Annotated[str | None, typer.Option(help="The LLM to ask: sets teacher.model.")]
Seed = Annotated[int | None, typer.Option(help="Sets seed.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.OPTION=VALUE", help="Sets any option of the config.")
]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Delete another dataset's finished steps in this workspace; refused otherwise."),
]
_DEFAULT = Path("workspace")
_OWN_CONFIG = "config.yaml"


@dataclass(frozen=True)
class Experiment:
    """What a command works on: the options that all commands on a workspace share.

    Args:
        path: the path of the config, or of a workspace that holds one, if either is given.
    """

    path: Path | None
    workspace: Path
    changes: dict[str, Any]

    @property
    def config(self) -> Config:
        """The configuration."""
        return config_of(self.path, self.changes)

    def settled(self) -> Config:
        """The configuration, once no option that was set is without use in it.

        Raises:
            ConfigError: one is.
        """
        from rankstill.config import refuse_unused

        config = self.config
        # What a workspace holds was written whole, perhaps when the defaults were others.
        kept = self.path is not None and self.path.is_dir()
        refuse_unused(config, "flags" if kept else str(self.path or "flags"), self.changes if kept else None)
        return config

    def run(self, until: str, *, replace: bool = False) -> None:
        """The chain up to a step; steps before it that are missing are made first."""
        from rankstill.distributed.processes import is_rank_zero, only_rank_zero_prints
        from rankstill.pipeline import distill

        with only_rank_zero_prints():
            outcome = distill(self.settled(), self.workspace, until=until, replace=replace)
        if until == "evaluation" and is_rank_zero():
            show(outcome)


def _shared(
    config: ConfigFile = None,
    workspace: Folder = None,
    source: Source = None,
    rankings: Rankings = None,
    retriever: Retriever = None,
    llm: Llm = None,
    seed: Seed = None,
    set_: Set = None,
) -> Experiment:
    if config is not None and config.is_dir():
        workspace = workspace or config
    elif config is None and source is None and workspace is not None and (workspace / _OWN_CONFIG).is_file():
        config = workspace
    changes = changes_of(source, rankings, retriever, llm, seed, set_)
    return Experiment(config, workspace or _DEFAULT, changes)


def one_workspace(argument: Path | None, option: Path | None) -> Path:
    """The workspace that a command on a finished one is given, as its argument or by -w.

    The argument may also be the run's config, as for other commands; the workspace is then the one of -w.

    Raises:
        RankstillError: two workspaces, and not the same.
    """
    if argument is not None and argument.is_file():
        return option or _DEFAULT
    if argument is not None and option is not None and argument != option:
        raise RankstillError(f"two workspaces are named: {argument}, and {option} by -w. Name one.")
    return argument or option or _DEFAULT


def on_workspace(
    name: str, what: str | None = None, group: typer.Typer = app
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command that gets the options of `_shared` as one `Experiment`, beside its own."""
    shared = inspect.signature(_shared, eval_str=True).parameters

    def register(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        options = [*shared.values(), *own]

        @wraps(command)
        def run(**given: Any) -> None:
            mine = {option.name: given.pop(option.name) for option in own}
            command(_shared(**given), **mine)

        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
        )
        run.__annotations__ = {option.name: option.annotation for option in options}
        group.command(name, help=what)(run)
        return command

    return register


def config_of(path: Path | None, changes: dict[str, Any]) -> Config:
    """The configuration of a file, of a workspace, or of flags alone, with changes by dotted path."""
    from rankstill.config import make_config, read_config

    if path is not None and path.is_dir():
        if not (path / _OWN_CONFIG).is_file():
            raise RankstillError(
                f"{path}: a folder without {_OWN_CONFIG}, so no workspace of a run. Name a workspace or a config; a "
                "dataset goes with --source."
            )
        path = path / _OWN_CONFIG
    if path is not None:
        return read_config(path, changes)
    if "dataset.source" not in changes:
        raise RankstillError("say what to work on: a CONFIG.yaml (`rankstill init` writes one) or --source.")
    return make_config({}, changes, "flags")


def ledger_of(path: Path | None) -> Path | None:
    """The ledger of a config or of a workspace, or a ledger itself; None: the one of all workspaces."""
    if path is None or not (path.is_dir() or path.suffix in (".yaml", ".yml")):
        return path
    ledger = config_of(path, {}).teacher.ledger
    return Path(ledger).expanduser() if ledger else None


def changes_of(
    source: str | None = None,
    rankings: Path | None = None,
    retriever: str | None = None,
    llm: str | None = None,
    seed: int | None = None,
    set_: list[str] | None = None,
) -> dict[str, Any]:
    """The options that flags set, by dotted path."""
    from rankstill.config.yaml_text import read_yaml

    flags = {
        "dataset.source": source,
        "teacher.rankings": str(rankings) if rankings else None,
        "retriever.model": retriever,
        "teacher.model": llm,
        "seed": seed,
    }
    changes: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    for each in set_ or []:
        name, separator, value = each.partition("=")
        if not separator:
            raise RankstillError(f"--set {each}: write it as SECTION.OPTION=VALUE, such as --set ranker.prior=false.")
        if not value.strip():  # as from an unset variable of the shell; as null it would lift a limit
            raise RankstillError(
                f"--set {each}: the value is missing. Write null for none, or '{name}=\"\"' for no text."
            )
        unreadable = f"the value is not readable as YAML. Put it in quotes: {name}='\"...\"'."
        changes[name] = read_yaml(value, f"--set {each}", unreadable)
    return changes
