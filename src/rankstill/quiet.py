"""Other libraries' talk while they convert: to the terminal, which buries the program's own, and to their makers."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings: of names of dimensions, of things to come, of packages that nothing here needs. Errors stay."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


_AS_IN_CI = {"CI": "true", "NNCF_CI": "1"}


@contextmanager
def without_telemetry() -> Iterator[None]:
    """OpenVINO's converter and NNCF report their use to Google Analytics, unless asked not to: they spare CI jobs."""
    before = {name: os.environ.get(name) for name in _AS_IN_CI}
    os.environ.update(_AS_IN_CI)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
