"""One loop here, one pipeline on Ray: the same shards, made once, whoever dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from in_this_process import LocalEngine
from works import Die, Double, Refuse

from rankstill.engine import EngineError, RayEngine, ShardFolder, shard_name
from rankstill.engine.on_ray import _worker_capacity
from rankstill.errors import RankstillError

AnyEngine = LocalEngine | RayEngine
PARTS = 8


def tables(shards: int = PARTS) -> Iterator[pa.Table]:
    for number in range(shards):
        yield pa.table({"number": [number, 10 + number]})


def numbers(made: Iterator[pa.Table]) -> list[list[int]]:
    return [shard["number"].to_pylist() for shard in made]


def calls(log: Path) -> Counter[str]:
    return Counter(path.name.split(".")[0] for path in log.iterdir())


EXPECTED = [[2 * number, 20 + 2 * number] for number in range(PARTS)]


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> AnyEngine:
    return LocalEngine() if request.param == "local" else request.getfixturevalue("ray_engine")


def test_parts_come_out_in_the_order_in_which_they_went_in(engine: AnyEngine, tmp_path: Path) -> None:
    work = Double(str(tmp_path / "log"))
    assert numbers(engine.map(work, tables(), ShardFolder(str(tmp_path / "kept")), "doubling")) == EXPECTED


def test_parts_that_are_made_are_not_made_again_and_nothing_is_loaded_for_them(
    engine: AnyEngine, tmp_path: Path
) -> None:
    kept = ShardFolder(str(tmp_path / "kept"))
    list(engine.map(Double(str(tmp_path / "first")), tables(), kept, "doubling"))
    (tmp_path / "kept" / shard_name(5)).unlink()
    assert numbers(engine.map(Double(str(tmp_path / "second")), tables(), kept, "doubling")) == EXPECTED
    made = calls(tmp_path / "second")
    assert made.pop("load") == 1
    assert made == {"part-5": 1}
    list(engine.map(Double(str(tmp_path / "third")), tables(), kept, "doubling"))
    assert not (tmp_path / "third").exists()


def test_what_a_part_is_refused_for_is_told_and_the_others_stay(engine: AnyEngine, tmp_path: Path) -> None:
    kept = ShardFolder(str(tmp_path / "kept"))
    with pytest.raises(RankstillError, match=r"row 3: cannot be read\. Mend it\."):
        list(engine.map(Refuse(), tables(), kept, "reading"))
    assert shard_name(3) not in kept.names()


def test_parts_go_from_object_storage_to_object_storage(tmp_path: Path) -> None:
    source, target = ShardFolder("memory://bucket/in"), ShardFolder("memory://bucket/out")
    source.write_all(tables())
    LocalEngine().fill(Double(str(tmp_path / "log")), source, target, "doubling")
    assert numbers(target.tables()) == EXPECTED
    assert target.names() == source.names() == [shard_name(number) for number in range(PARTS)]


def test_a_killed_write_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ShardFolder(str(tmp_path))
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.mv", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):  # noqa: PT011 - that is all that is raised
        folder.write(shard_name(0), next(tables()))
    assert folder.names() == []


def test_every_worker_loads_once_and_both_have_their_share(ray_engine: RayEngine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    list(ray_engine.map(Double(str(log), 0.3), tables(), ShardFolder(str(tmp_path / "kept")), "doubling"))
    workers = {path.name.split(".")[1] for path in log.iterdir() if path.name.startswith("part-")}
    assert len(workers) == 2
    assert calls(log)["load"] == 2


@pytest.mark.timeout(120)
def test_a_killed_worker_costs_the_part_that_it_was_at(ray_engine: RayEngine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    killed: list[int] = []

    def kill() -> None:
        while len(list(log.glob("part-*"))) < 3:
            time.sleep(0.02)
        killed.append(int(max(log.glob("part-*"), key=lambda path: path.stat().st_mtime_ns).name.split(".")[1]))
        os.kill(killed[0], signal.SIGKILL)

    murderer = threading.Thread(target=kill)
    log.mkdir()
    murderer.start()
    made = ray_engine.map(Double(str(log), 0.5), tables(), ShardFolder(str(tmp_path / "kept")), "doubling")
    assert numbers(made) == EXPECTED
    murderer.join()
    counted = calls(log)
    assert counted.pop("load") == 3  # the two workers, and the one in the dead one's place
    assert sorted(counted.values()) == [1] * (PARTS - 1) + [2]
    twice = counted.most_common(1)[0][0]
    assert str(killed[0]) in {path.name.split(".")[1] for path in log.glob(f"{twice}.*")}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["killed", "raising"])
def test_a_part_that_no_worker_survives_is_given_up_and_the_others_stay(
    how: str, ray_engine: RayEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankstill.engine.on_ray._RETRIES", 1)
    kept = ShardFolder(str(tmp_path / "kept"))
    with pytest.raises(EngineError, match=r"doing: a worker failed .* run the same command again"):
        list(ray_engine.map(Die(how), tables(4), kept, "doing"))
    assert shard_name(3) not in kept.names()
    assert shard_name(0) in kept.names()


@pytest.mark.parametrize(("cpus", "gpus", "workers"), [(1, 0, 3), (2, 0, 1), (0.5, 0, 7), (1, 0.25, 1), (4, 0, 0)])
def test_a_worker_has_room_on_one_machine(cpus: float, gpus: float, workers: int) -> None:
    machines = [{"CPU": 2.0, "memory": 1e9}, {"CPU": 1.5, "GPU": 0.25}, {"memory": 1e9}]
    assert _worker_capacity(machines, cpus, gpus) == workers


def test_workers_are_as_many_as_there_is_room_for_at_most(ray_engine: RayEngine) -> None:
    assert RayEngine(workers=9).workers == 2
    with pytest.raises(EngineError, match=r"no machine of the cluster has the 64 cores and 0 GPUs of a worker"):
        RayEngine(cpus=64)


def test_a_cluster_that_is_not_there_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: (_ for _ in ()).throw(ConnectionError("no one answers")))
    with pytest.raises(EngineError, match=r"no Ray cluster at 10\.0\.0\.1:6379 .*no one answers"):
        RayEngine("10.0.0.1:6379")
