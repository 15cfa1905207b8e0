"""Options that are set but do nothing, because of others."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rankstill.config.files import PAPER
from rankstill.config.section import Section
from rankstill.config.sections import Config
from rankstill.errors import RankstillError

_OF_CROSS_ENCODER = ("model", "loss", "holdout", "epochs", "learning_rate", "lists_per_step", "max_length")


def refuse_unused(config: Config, where: str, among: Collection[str] | None = None) -> None:
    """Check that every option that someone set does something.

    Args:
        among: the options that they set, by dotted path; None: all that are not as they are by default.

    Raises:
        RankstillError: an option is set that does nothing.
    """
    found = {option: why for option, why in unused_options(config).items() if among is None or option in among}
    if found:
        told = "; ".join(f"{option} does nothing here: {why}" for option, why in found.items())
        raise RankstillError(f"{where}: {told}. Leave it out, or change what it depends on.")


def unused_options(config: Config) -> dict[str, str]:
    """The options that are set to something of one's own, though nothing of this experiment reads them.

    Returns:
        Why each of them is not read, by its dotted path.
    """
    return {
        f"{name}.{option}": why
        for name, why, options in _unread(config)
        for option in options
        if _is_set(config, name, option)
    }


def _unread(config: Config) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """A section, what of the rest leaves some of its options unread, and these."""
    ranker, labels, multi_vector = config.ranker, config.labels, config.multi_vector
    if labels.ranked_by in ("first-choice", "gold") or labels.white_box:
        why = f"labels.ranked_by is {labels.ranked_by}, and neither a ranker nor a multi-vector retriever is made"
        yield "ranker", why, _all_of(ranker)
        if multi_vector.make and multi_vector.epochs:
            yield "multi_vector", why, _all_of(multi_vector)
    elif not ranker.cross_encoder:
        yield "ranker", "ranker.cross_encoder is false", _OF_CROSS_ENCODER
    if labels.white_box is None:
        yield "white_box", "labels.ranked_by is no white-box method", _all_of(config.white_box)
    if labels.ranked_by not in ("both", "ranker"):
        yield "labels", f"labels.ranked_by is {labels.ranked_by}", ("unranked",)
    if config.retriever.loss == "margin-mse":
        yield "retriever", "retriever.loss is margin-mse", ("in_batch",)
    if config.retriever.blend is not None:
        yield "retriever", "retriever.blend is set", ("holdout",)
    if not multi_vector.make:
        # 0 epochs say no more than that it is not made.
        agreed = ("make",) if multi_vector.epochs else ("make", "epochs")
        others = tuple(name for name in _all_of(multi_vector) if name not in agreed)
        yield "multi_vector", "multi_vector.make is false", others
    elif not multi_vector.epochs:
        yield "multi_vector", "multi_vector.epochs is 0", ("learning_rate",)
    if multi_vector.make and multi_vector.model is not None:
        yield "multi_vector", "multi_vector.model is set", ("context", "idf_power")
    if labels.ranked_by == "gold" or labels.white_box:
        yield "evaluation", f"no list of an LLM is read (labels.ranked_by: {labels.ranked_by})", ("holdout",)
    if config.candidates.index is None:
        yield "candidates", "candidates.index is null", ("least_recall",)
    if config.engine.kind == "local":
        others = tuple(name for name in _all_of(config.engine) if name != "kind")
        yield "engine", "engine.kind is local", others


def _all_of(section: Section) -> tuple[str, ...]:
    return tuple(type(section).model_fields)


def _is_set(config: Config, name: str, option: str) -> bool:
    """Whether an option has neither its default nor what the config's preset gives it."""
    section = getattr(config, name)
    default = type(section).model_fields[option].get_default(call_default_factory=True)
    of_preset = PAPER.get(name, {}).get(option, default) if config.preset == "paper" else default
    return getattr(section, option) not in (default, of_preset)
