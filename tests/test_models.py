"""Finding and loading models."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from rankstill import models
from rankstill.errors import ModelError
from rankstill.models import architecture_of, load_bi_encoder, load_cross_encoder, model_identity, resolve_model

if TYPE_CHECKING:
    pass

Package = Callable[[bytes | None], None]


@pytest.fixture
def tiny_copy(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """The tiny bi-encoder in a folder that a test may damage."""
    return shutil.copytree(tiny_model_folder, tmp_path / "copy")


@pytest.fixture
def package(tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Installs package `carried` that carries the tiny model as "some/model": with its own weights, others or none."""
    weights = (tiny_model_folder / "model.safetensors").read_bytes()
    expected = hashlib.sha256(weights).hexdigest()
    monkeypatch.setattr(models, "_PACKAGED", {"some/model": ("carried", "model", expected)})

    def install(found: bytes | None = weights) -> None:
        folder = tmp_path / "site" / "carried"
        shutil.copytree(tiny_model_folder, folder / "model")
        (folder / "__init__.py").write_text("raise AssertionError('the package must not run')")
        (folder / "model" / "model.safetensors").unlink()
        if found is not None:
            (folder / "model" / "model.safetensors").write_bytes(found)
        monkeypatch.syspath_prepend(tmp_path / "site")

    return install


def one_line(error: pytest.ExceptionInfo[ModelError]) -> str:
    """The message, which must be a single line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def test_minilm_comes_from_the_package_index_and_is_whole(minilm: str) -> None:
    folder = Path(resolve_model(minilm))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    model = load_bi_encoder(minilm, "cpu")
    near, far = model.similarity(model.encode("a cat"), model.encode(["a kitten", "tax law"]))[0].tolist()
    assert near > 0.6 > 0.3 > far


def test_a_packaged_model_is_found_without_running_the_package(package: Package, tmp_path: Path) -> None:
    package()
    assert Path(resolve_model("some/model")) == tmp_path / "site" / "carried" / "model"
    assert load_bi_encoder("some/model", "cpu").get_embedding_dimension() == 32


@pytest.mark.parametrize("found", [b"other weights", None], ids=["damaged", "missing"])
def test_packaged_weights_that_are_not_what_they_should_be_are_refused(package: Package, found: bytes | None) -> None:
    package(found)
    with pytest.raises(ModelError) as caught:
        resolve_model("some/model")
    message = one_line(caught)
    assert message.startswith("some/model: ")
    assert "Reinstall the package" in message


def test_without_the_package_the_name_is_the_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_PACKAGED", {"some/model": ("not_installed_anywhere", "model", "")})
    assert resolve_model("some/model") == "some/model"
    assert resolve_model("another/model") == "another/model"


def test_a_folder_is_taken_as_it_is(tiny_model_folder: Path) -> None:
    assert resolve_model(str(tiny_model_folder)) == str(tiny_model_folder)


def test_a_folder_stands_over_a_name_of_the_same_spelling(
    package: Package, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package()
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model_folder, tmp_path / "some" / "model")
    assert resolve_model("some/model") == "some/model"


@pytest.mark.parametrize("name", ["{tmp}/nowhere", "./nowhere", "../nowhere"])
def test_a_folder_that_is_not_there_is_not_taken_for_a_hub_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such folder") as caught:
        resolve_model(name.format(tmp=tmp_path))
    one_line(caught)


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r'no "modules.json" or "config.json" in it') as caught:
        resolve_model(str(tmp_path))
    one_line(caught)


@pytest.mark.parametrize("load", [load_bi_encoder, load_cross_encoder, architecture_of])
@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "not a name at all!"])
def test_a_name_that_cannot_be_had_ends_in_one_line_that_says_what_to_check(
    load: Callable[[str], object], name: str
) -> None:
    with pytest.raises(ModelError) as caught:
        load(name)
    message = one_line(caught)
    assert f'model "{name}" cannot be loaded' in message
    assert "HF_HUB_OFFLINE" in message
    assert ".." not in message


def test_pickled_weights_are_not_read_for_they_could_run_code(tiny_copy: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    (tiny_copy / "model.safetensors").unlink()
    (tiny_copy / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Trap()}))
    for load in (load_bi_encoder, load_cross_encoder):
        with pytest.raises(ModelError, match="only safetensors weights are read") as caught:
            load(str(tiny_copy), "cpu")
        one_line(caught)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kept", [0, 100, 20_000])
def test_weights_of_an_interrupted_download_are_called_damaged(tiny_copy: Path, kept: int) -> None:
    weights = tiny_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ModelError, match="damaged") as caught:
        load_bi_encoder(str(tiny_copy), "cpu")
    assert str(tiny_copy) in one_line(caught)


def test_a_broken_model_config_is_one_line_too(tiny_copy: Path) -> None:
    (tiny_copy / "config.json").write_text("{broken")
    with pytest.raises(ModelError) as caught:
        load_bi_encoder(str(tiny_copy), "cpu")
    assert str(tiny_copy) in one_line(caught)


def test_a_bi_encoders_weights_make_a_cross_encoder_with_one_output(tiny_model_folder: Path) -> None:
    assert load_cross_encoder(str(tiny_model_folder), "cpu").predict([("magma", "lava")]).shape == (1,)


def test_the_architecture_is_what_the_models_config_names(tiny_model_folder: Path, tmp_path: Path) -> None:
    assert architecture_of(str(tiny_model_folder)) == "BertModel"
    (tmp_path / "modules.json").write_text("[]")
    assert architecture_of(str(tmp_path)) == ""


def test_a_folders_identity_is_that_of_its_files(tiny_model_folder: Path, tiny_copy: Path) -> None:
    assert model_identity(str(tiny_copy)) == model_identity(str(tiny_model_folder))
    weights = tiny_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert model_identity(str(tiny_copy)) != model_identity(str(tiny_model_folder))
    assert model_identity("owner/name") == "owner/name"


@pytest.mark.parametrize(("status", "there"), [(200, True), (404, False), (500, False), (None, False)])
def test_the_hub_is_asked_once_whether_it_has_a_model(tmp_path: Path, status: int | None, there: bool) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            self.send_response(status or 500)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"id": "some/model", "siblings": [], "tags": [], "private": false, "downloads": 0}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1] if status else 1  # nothing listens there
        code = "import sys; from rankstill.models import hub_has; print(hub_has('some/model'))"
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path)}
        environment.pop("HF_HUB_OFFLINE", None)
        ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        server.shutdown()
    assert ran.stdout.strip() == str(there)
