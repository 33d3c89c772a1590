"""The server: answers, refusals, streamed windows, limits; and an environment without torch."""

import asyncio
import io
import json
import re
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from deploy_audio import CLASS_NAMES, make_waveform
from earmark.deploy.info import DeployError
from earmark.deploy.metrics import Metrics
from earmark.deploy.model import load
from earmark.deploy.serve import run_server
from earmark.deploy.server import PARAMETERS, Limits, Server, name_models

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def wav(n_samples=2400, rate=8000, seed=0) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, make_waveform(n_samples, seed), rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.fixture(scope="module")
def model(onnx_file):
    return load(onnx_file)


@pytest.fixture
def client(model):
    return TestClient(Server({"a": model, "b": model}, Limits(max_megabytes=0.2, max_seconds=3)).app())


@pytest.mark.parametrize("form", [False, True])
def test_answer_is_that_of_the_model(client, model, form):
    sent = {"files": {"file": ("x.wav", wav())}} if form else {"content": wav()}
    answer = client.post("/predict?model=b&top_k=2", **sent).json()
    expected = model.predict(make_waveform(2400), 8000)
    assert answer["label"] == expected.label and answer["silent"] is False
    assert [t["label"] for t in answer["top"]] == [label for label, _ in expected.top(2)]
    assert answer["probability"] == pytest.approx(expected.probability, abs=1e-5)


def test_the_remedy_for_a_long_recording_is_a_parameter_of_the_request(model):
    client = TestClient(Server({"a": model}, Limits()).app())
    response = client.post("/predict", content=wav(121 * 8000))
    text = "the audio: 121 s are more than 120 s at a time; add the parameter hop=SECONDS for one answer per window"
    assert (response.status_code, response.json()) == (422, {"error": text})
    assert client.post("/predict?hop=0.3", content=wav(121 * 8000)).status_code == 200


def test_windows_are_streamed_as_lines(client, model):
    response = client.post("/predict?hop=0.1", content=wav(9000))
    lines = [json.loads(line) for line in response.text.splitlines()]
    expected = list(model.predict_windows(make_waveform(9000), 8000, hop_seconds=0.1))
    assert [line["start"] for line in lines] == pytest.approx([w.start for w in expected], abs=1e-4)
    assert set(lines[0]["probs"]) == set(CLASS_NAMES)


@pytest.mark.parametrize(
    ("path", "content", "status", "message"),
    [
        ("/predict", b"", 400, "the body is empty"),
        ("/predict", b"no audio", 422, "the audio: cannot be decoded"),
        ("/predict", wav()[: len(wav()) // 2], 422, "the audio: is cut short"),
        ("/predict", wav(10), 422, "the audio: 0.001 s are too short for an answer; give at least 0.1 s"),
        ("/predict", bytes(300_000), 413, "larger than 0.2 MB"),
        ("/predict", wav(8000 * 4), 413, "the recording has 4 s, more than 3 s"),
        ("/predict?model=c", wav(), 404, "model = 'c': no such model; choose from a, b"),
        ("/predict?top_k=0", wav(), 400, "top_k = '0': give a number from 1"),
        ("/predict?hop=nan", wav(), 400, "hop = 'nan'"),
        ("/predict?hop=x", wav(), 400, "hop = 'x'"),
        ("/predict?topk=3", wav(), 400, "'topk': no such parameter; choose from model, top_k, hop"),
    ],
)
def test_bad_requests_get_one_line(client, path, content, status, message):
    response = client.post(path, content=content)
    assert response.status_code == status
    assert message in response.text and "\n" not in response.text and "/tmp" not in response.text


def test_other_paths_and_methods_are_refused_in_the_same_form(client):
    for response, status in ((client.get("/predicts"), 404), (client.get("/predict"), 405)):
        assert response.status_code == status
        assert response.json()["error"].endswith("; POST audio to /predict, see /openapi.json")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("query", ["", "?hop=0.1"])
def test_an_upload_that_cannot_be_stored_is_refused_and_counted(client, monkeypatch, tmp_path, query):
    """A full disk, for example: it was an error of the server without JSON, which the counters did not see."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    response = client.post(f"/predict{query}", content=wav())
    assert response.status_code == 507 and "cannot store the recording" in response.json()["error"]
    assert 'status="507"' in client.get("/metrics").text


def test_samples_that_are_not_finite_are_refused(client):
    file = io.BytesIO()
    soundfile.write(file, np.full(3000, np.nan, np.float32), 8000, format="WAV", subtype="FLOAT")
    assert client.post("/predict", content=file.getvalue()).status_code == 422
    lines = client.post("/predict?hop=0.1", content=file.getvalue()).text.splitlines()
    assert "NaN" in json.loads(lines[-1])["error"]


def test_forms_without_a_file_are_refused(client):
    assert client.post("/predict", files={"a": (None, "text")}).status_code == 400
    assert client.post("/predict", files=[("a", ("a.wav", wav())), ("b", ("b.wav", wav()))]).status_code == 400


@pytest.mark.parametrize("given", [None, "Bearer wrong", "secret-token"])
def test_token_is_asked_for(model, given):
    client = TestClient(Server({"a": model}, Limits(), token="secret-token").app())
    headers = {"Authorization": given} if given else {}
    expected = 200 if given == "secret-token" else 401
    assert client.post("/predict", content=wav(), headers=headers).status_code == expected
    assert client.post("/predict", content=wav(), headers={"Authorization": "Bearer secret-token"}).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_more_than_the_queue_is_refused_and_nothing_is_left_behind(model, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = Server({"a": model}, Limits(concurrency=1, queue=1))
    statuses = []
    with TestClient(server.app()) as client:

        def ask():
            statuses.append(client.post("/predict", content=wav(60_000)).status_code)

        threads = [threading.Thread(target=ask) for _ in range(12)]
        [t.start() for t in threads], [t.join() for t in threads]
        assert set(statuses) <= {200, 503} and statuses.count(200) >= 2
        client.post("/predict?hop=0.1", content=wav(9000))
        assert "earmark_requests_in_progress 0" in client.get("/metrics").text
    assert list(tmp_path.iterdir()) == []


def test_a_timeout_does_not_free_the_slot_of_a_thread_that_still_scores(model):
    running, most = [], []

    class Slow:
        def predict(self, path, warn_if_long):
            running.append(path)
            most.append(len(running))
            time.sleep(0.3)
            running.pop()
            return model.predict(path)

    client = TestClient(Server({"a": Slow()}, Limits(concurrency=1, timeout_seconds=0.1)).app())
    with client:
        assert {client.post("/predict", content=wav()).status_code for _ in range(4)} == {503}
        time.sleep(0.7)
    assert max(most) == 1 < len(most) < 4


def test_a_client_who_does_not_read_its_windows_holds_up_nobody(model):
    """It held a slot until it had read the last line."""
    app = Server({"a": model}, Limits(concurrency=1, timeout_seconds=5)).app()
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"hop=0.1", "headers": []}

    async def ask_beside_a_stalled_reader() -> int:
        stalled = asyncio.Event()

        async def receive():
            await asyncio.sleep(0 if not stalled.is_set() else 60)
            return {"type": "http.request", "body": wav(9000), "more_body": False}

        async def send(message):
            if message.get("body"):
                stalled.set()
                await asyncio.sleep(60)

        reader = asyncio.create_task(app(scope, receive, send))
        await asyncio.wait_for(stalled.wait(), 20)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as other:
            response = await other.post("/predict", content=wav())
        reader.cancel()
        return response.status_code

    assert asyncio.run(ask_beside_a_stalled_reader()) == 200


def test_a_token_may_have_any_letters(model):
    client = TestClient(Server({"a": model}, Limits(), token="Schlüssel").app())
    for given, status in (("Schlüssel", 200), ("Schlussel", 401)):
        sent = client.post("/predict", content=wav(), headers={b"authorization": f"Bearer {given}".encode()})
        assert sent.status_code == status


def test_metrics_count_requests(client):
    client.post("/predict", content=wav())
    client.post("/predict", content=b"")
    text = client.get("/metrics").text
    assert 'earmark_requests_total{status="200"} 1' in text and 'earmark_requests_total{status="400"} 1' in text
    assert "earmark_request_seconds_count 2" in text


def test_windows_are_counted_when_the_last_one_is_sent(client, monkeypatch):
    """The time of a long recording was that until its first byte."""
    order = []
    monkeypatch.setattr(Metrics, "count", lambda self, status, seconds: order.append("counted"))
    monkeypatch.setattr("earmark.deploy.server.window_json", lambda window: order.append("window") or "{}")
    assert len(client.post("/predict?hop=0.1", content=wav(9000)).text.splitlines()) > 5
    assert order.index("counted") == len(order) - 1 > 5


def test_the_description_has_all_parameters(client):
    described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["parameters"]
    assert tuple(parameter["name"] for parameter in described) == PARAMETERS


def test_description_health_and_index(client, model):
    description = client.get("/openapi.json").json()
    assert {"200", "401", "413", "422"} <= set(description["paths"]["/predict"]["post"]["responses"])
    assert client.get("/healthz").json() == {"status": "ok", "models": ["a", "b"]}
    assert "POST audio to /predict" in client.get("/").text
    assert client.get("/predict").status_code == 405
    page = TestClient(Server({"a": model}, Limits(), page="<p>page</p>").app()).get("/")
    assert page.text == "<p>page</p>" and page.headers["content-type"].startswith("text/html")


def test_the_address_is_printed(onnx_file, monkeypatch, capsys):
    uvicorn = pytest.importorskip("uvicorn")
    monkeypatch.setattr(uvicorn.Server, "run", lambda server: None)
    run_server([onnx_file], Limits(), "127.0.0.1", 8123, "", None)
    name = onnx_file.stem
    assert capsys.readouterr().out == f"serving {name} at http://127.0.0.1:8123; Ctrl-C stops\n"


def test_two_models_of_one_name_are_refused(model, tmp_path):
    paths = [tmp_path / "a" / "m.onnx", tmp_path / "b" / "m.onnx"]
    with pytest.raises(DeployError, match="two models have one name"):
        name_models(paths, [model, model])


def installed_without_torch() -> set[str]:
    """What docs/deploy.md says to install beside earmark itself."""
    text = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
    line = re.search(r"pip install --no-cache-dir (numpy [^&]+?) &&", text.replace("\\\n", " ")).group(1)
    return {name.replace("-", "_") for name in line.split()}


def absent_packages() -> tuple[str, ...]:
    """The modules of all other dependencies."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    every = [*project["dependencies"], *extras["onnx"], *extras["timm"]]
    names = {re.match(r"[\w-]+", requirement).group().replace("-", "_") for requirement in every}
    modules = {"scikit_learn": "sklearn", "pillow": "PIL"}
    return tuple(modules.get(name, name) for name in sorted(names - installed_without_torch()))


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    "code",
    [
        "from earmark.cli.main import main; main(['predict', sys.argv[1], sys.argv[2]])",
        "from starlette.testclient import TestClient; from earmark.deploy.model import load; "
        "import earmark.deploy.serve; from earmark.deploy.server import Limits, Server; from pathlib import Path; "
        "client = TestClient(Server({'m': load(sys.argv[1])}, Limits()).app()); "
        "print(client.post('/predict?hop=0.1', content=Path(sys.argv[2]).read_bytes()).status_code)",
    ],
    ids=["predict", "serve"],
)
def test_an_exported_model_needs_what_the_page_says_and_no_torch(onnx_file, tmp_path, code):
    assert {"torch", "torchvision", "sklearn", "scipy", "tensorboard"} <= set(absent_packages())
    (tmp_path / "a.wav").write_bytes(wav())
    command = [sys.executable, "-c", WITHOUT.format(absent_packages()) + code, onnx_file, tmp_path / "a.wav"]
    result = subprocess.run(command, capture_output=True, check=False, text=True)
    assert result.returncode == 0, result.stderr
    assert "200" in result.stdout or "a.wav" in result.stdout
