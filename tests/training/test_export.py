"""The folder a run leaves: loads in three lines, merged or adapter, average or best; the card; the hub, as a stand-in server speaks it."""

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file
from tests.training.ranks import free_port
from tests.training.recipe import RECIPE
from tests.training.test_policy import WORDS

from videoperceiver.config import load
from videoperceiver.errors import ConfigError, EndpointError, RunError
from videoperceiver.models.backbone import Backbone
from videoperceiver.runs import Run
from videoperceiver.stages import ExportConfig, OptimConfig, SftConfig
from videoperceiver.training import checkpoints, sft
from videoperceiver.training.export import export, push
from videoperceiver.training.micro import filler

KEY = "hf_secretsecretsecret"


def trained_run(model, data, output, *fields) -> Run:
    return sft.run(
        load(SftConfig, None, [f"model.path={model}", f"train=[{data}]", f"output={output}", "contrastive.weight=0", *RECIPE, *WORDS, "steps=3", *fields])
    )


@pytest.fixture(scope="module")
def whole(tiny_model, rendered, tmp_path_factory) -> Run:
    return trained_run(tiny_model, rendered, tmp_path_factory.mktemp("whole") / "my run", "optim.ema_decay=0.5")


@pytest.fixture(scope="module")
def lora(tiny_model, rendered, tmp_path_factory) -> Run:
    return trained_run(tiny_model, rendered, tmp_path_factory.mktemp("lora") / "run", "model.lora_rank=2", "export.adapter=true", "checkpoint_every=1")


def state_of(folder):
    return {f"model.{name}": value for name, value in card_loads(folder)[0].state_dict().items()}


def card_loads(folder):
    """What the three lines of the card make."""
    [code] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) == 3
    found: dict = {}
    exec(code.replace("PATH", str(folder)), found)
    return found["model"].eval(), found["processor"]


def logps(model, processor):
    backbone = Backbone(model, processor)
    return backbone([filler(backbone)]).logps.detach()


def test_the_card_s_lines_load_what_was_trained(whole):
    folder = whole.folder / "model"
    _, processor = card_loads(folder)
    assert processor.tokenizer.eos_token
    last = checkpoints.weights(whole.checkpoint_path(3))
    state = state_of(folder)
    assert all(torch.equal(state[name], value) for name, value in last.items())


def test_the_card_says_what_the_model_is_made_of(whole, rendered):
    card = (whole.folder / "model" / "README.md").read_text()
    metadata = json.loads((whole.folder / "metadata.json").read_text())
    assert card.startswith("---\npipeline_tag: video-text-to-text\n")
    assert metadata["data"][str(rendered)] in card
    assert str(rendered) not in card.split("## Recipe")[0]  # the recipe alone shows where things lay
    assert f"torch {metadata['versions']['torch']}" in card
    assert "its licence applies to these weights" in card
    loss = whole.metrics()[-1]["sft/loss"]
    assert f"| sft/loss | {loss:.4g} | 3 |" in card


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT reads what transformers 5 renamed
def test_an_adapter_and_merged_weights_answer_alike(lora, tiny_model):
    folder = lora.folder / "model"
    assert (folder / "adapter_model.safetensors").is_file()
    assert not (folder / "model.safetensors").exists()
    merged = export(lora, ExportConfig(), checkpoint="3")
    assert merged == lora.folder / "model-step-00000003"
    base = logps(*card_loads(whole_of(tiny_model, merged)))
    torch.testing.assert_close(logps(*card_loads(folder)), logps(*card_loads(merged)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logps(*card_loads(merged)), base, atol=1e-4)


def whole_of(model, like):
    """The base model with a card, so that it loads as the others do."""
    folder = like.parent / "base"
    Backbone.load(model).save(folder)
    (folder / "README.md").write_text((like / "README.md").read_text())
    return folder


def test_the_average_is_exported_where_asked(whole, tmp_path):
    folder = export(whole, ExportConfig(ema=True), output=tmp_path / "ema")
    average = checkpoints.weights(whole.checkpoint_path(3), average=True)
    found = state_of(folder)
    assert all(torch.equal(found[name], value) for name, value in average.items())
    assert "the moving average, step 3" in (folder / "README.md").read_text()


def test_an_earlier_checkpoint_is_exported(lora):
    first, second = (export(lora, ExportConfig(adapter=True), checkpoint=step) for step in ("2", "last"))
    assert (first.name, second.name) == ("model-step-00000002-adapter", "model-step-00000003-adapter")
    one, two = (load_file(folder / "adapter_model.safetensors") for folder in (first, second))
    assert not all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"checkpoint": "7"}, r"no checkpoint '7'; expected last, best .* or one of the steps there: 2, 3"),
        ({"checkpoint": "best"}, "no checkpoint 'best'"),
        ({"checkpoint": "x"}, "no checkpoint 'x'"),
        ({"settings": ExportConfig(ema=True)}, "keeps no moving average"),
    ],
)
def test_what_is_not_there_is_refused(lora, fields, message):
    with pytest.raises(RunError, match=message):
        export(lora, **{"settings": ExportConfig(), **fields})


def test_a_folder_that_holds_something_and_a_run_without_a_model_are_refused(lora, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RunError, match="is not empty: expected a new folder for the model"):
        export(lora, ExportConfig(), output=tmp_path)
    run = Run.open_or_create(tmp_path / "data", OptimConfig(), stage="data")
    with pytest.raises(RunError, match="a run of stage 'data'; expected one that trains a model: sft or grpo"):
        export(run, ExportConfig())


def test_average_without_one_is_a_recipe_error(tiny_model, rendered, tmp_path):
    with pytest.raises(ConfigError, match=r"export.ema asks for averaged weights, and optim.ema_decay is 0"):
        trained_run(tiny_model, rendered, tmp_path / "run", "export.ema=true", "steps=1")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload of small files needs; refuses keys other than ours."""

    files: dict[str, bytes] = {}  # noqa: RUF012 (one server a test)
    created: list[dict] = []  # noqa: RUF012

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self.answer(401, {"error": f"bad token {self.headers.get('Authorization')}"})
        if self.path == "/api/repos/create":
            self.created.append(json.loads(body))
            return self.answer(200, {"url": f"{huggingface_hub.constants.ENDPOINT}/me/x", "name": "me/x"})
        if self.path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self.answer(200, {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return self.answer(200, {"commitUrl": f"{huggingface_hub.constants.ENDPOINT}/me/x/commit/0", "commitOid": "0" * 40, "success": True})

    def do_GET(self):
        self.answer(200, {"id": "me/x", "sha": "0" * 40, "siblings": []})

    def answer(self, status, value):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    yield Hub
    server.shutdown()
    server.server_close()
    Hub.files.clear(), Hub.created.clear()


def test_a_model_goes_to_a_private_repository(hub, monkeypatch, lora, caplog):
    monkeypatch.setenv("HF_TOKEN", KEY)
    caplog.set_level(0)
    address = push(lora.folder / "model", "me/x")
    assert address.endswith("/me/x")
    assert [(repo["name"], repo.get("private"), repo.get("visibility")) for repo in hub.created] in ([("x", True, None)], [("x", None, "private")])
    assert hub.files.keys() == {path.name for path in (lora.folder / "model").iterdir()}
    assert hub.files["adapter_model.safetensors"] == (lora.folder / "model" / "adapter_model.safetensors").read_bytes()
    assert KEY not in caplog.text


def test_a_hub_that_refuses_is_said_without_the_key(hub, monkeypatch, lora, caplog):
    monkeypatch.setenv("HF_TOKEN", f"{KEY}wrong")
    with pytest.raises(EndpointError, match=r"could not be uploaded to 'me/x' \(.*it is complete here") as failed:
        push(lora.folder / "model", "me/x")
    assert KEY not in str(failed.value)
    assert failed.value.__cause__ is None


def test_a_hub_that_is_not_there_is_said(hub, monkeypatch, lora):
    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(EndpointError, match=r"could not be uploaded to 'me/x' \(.*refused"):
        push(lora.folder / "model", "me/x")


def test_no_key_is_a_recipe_error(monkeypatch, lora):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match=r"export.push_to_hub='me/x': no key is set; .* HF_TOKEN"):
        export(lora, ExportConfig(push_to_hub="me/x"), checkpoint="2", output=lora.folder / "pushed")
