"""The example of a service: it predicts and forgets over HTTP, and hands out nothing but releases."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from expunge import CertifiedLogisticRegression, RemovalService
from expunge.core.errors import InvalidValue

FILE = Path(__file__).resolve().parents[1] / "examples" / "deletion_service.py"
WHY = "needs what pip install 'expunge[service]' installs"
pytest.importorskip("uvicorn", reason=WHY)
httpx = pytest.importorskip("httpx", reason=WHY)
pytest.importorskip("fastapi", reason=WHY)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of starlette, which would have a later httpx
    from fastapi.testclient import TestClient

N, D = 80, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D))
Y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("deletion_service", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def path(tmp_path):
    CertifiedLogisticRegression(lam=0.05, releases=50).fit(X, Y).save(tmp_path / "m.safetensors")
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    return tmp_path / "m.safetensors"


@pytest.fixture
def service(path):
    with RemovalService(path, X, Y) as opened:
        yield opened


@pytest.fixture
def client(example, service):
    with TestClient(example.create_app(service), raise_server_exceptions=False) as opened:
        yield opened


def test_it_predicts_forgets_and_says_what_it_has_done(client, service):
    assert len(FILE.read_text().splitlines()) < 120
    before = client.get("/health").json()
    assert before == {"status": "ok", "rows": N, "released": 1, "epsilon_spent": before["epsilon_spent"]}
    first = client.post("/removals", json={"request": "a", "rows": [1, 2, 2]})
    assert (first.status_code, first.json()["outcome"], first.json()["rows"]) == (200, "removed", [1, 2])
    assert first.json()["note"] == "row 2 named twice, and served once"
    second = client.post("/removals", json={"request": "b", "rows": [2, 5]}).json()
    assert (second["rows"], second["note"]) == ([5], "row 2 had left before")
    again = client.post("/removals", json={"request": "a", "rows": [1, 2, 2]})
    assert again.content == first.content
    assert client.get("/ledger").json() == [first.json(), second]
    after = client.get("/health").json()
    assert (after["rows"], after["released"]) == (N - 3, 3)
    assert after["epsilon_spent"] == second["epsilon_spent"] > before["epsilon_spent"]
    said = client.post("/predictions", json={"rows": X.tolist()}).json()["classes"]
    assert said == service.model.predict(X).tolist()


def test_what_goes_out_is_the_release_and_nothing_inside(client, service):
    secrets = []
    texts = []
    for number in range(4):
        client.post("/removals", json={"request": str(number), "rows": [number]})
        column = service.model._engine_.columns[0]
        inside = [*column.w, *column.gradient, service.model.residual(), service.model.certificate_.beta]
        secrets += [*map(float, inside), service.model._engine_.predictor.seed]
        found = client.get("/model").json()
        assert found["coef"] == service.model.coef_.tolist()
        assert not np.isin(np.ravel(found["coef"]), column.w).any()
        texts += [client.get(place).text for place in ("/model", "/ledger", "/health", "/openapi.json")]
    for secret in secrets:
        assert secret == 0 or not any(repr(secret) in text for text in texts)


@pytest.mark.parametrize(
    ("place", "body", "code", "said"),
    [
        ("removals", {"request": "a", "rows": [N]}, 422, f"rows: got {N}, allowed: rows from 0 to {N - 1}"),
        ("removals", {"request": "a", "rows": [10**30]}, 422, "rows: got "),
        ("removals", {"request": "a", "rows": []}, 422, "rows: "),
        ("removals", {"request": "a", "rows": [1.0]}, 422, "rows.0: Input should be a valid integer"),
        ("removals", {"request": "a", "rows": [True]}, 422, "rows.0: Input should be a valid integer"),
        ("removals", {"request": "a", "rows": 1}, 422, "rows: "),
        ("removals", {"request": "a\n", "rows": [1]}, 422, "request: got 'a\\n', allowed: a name"),
        ("removals", {"request": "\ud800", "rows": [1]}, 422, "request: "),
        ("removals", {"request": "a", "rows": [1], "\ud800": 1}, 422, ""),
        ("removals", {"rows": [1]}, 422, "request: Field required"),
        ("removals", {"request": "known", "rows": [4]}, 409, "request: got 'known', allowed: a new id"),
        ("removals", [], 422, "body: "),
        ("predictions", {"rows": [[0.0]]}, 422, "rows: got 'other rows', allowed: X has 1 features"),
        ("predictions", {"rows": [[0.0] * D, [0.0]]}, 422, "rows: "),
        ("predictions", {"rows": [["a"] * D]}, 422, "rows.0.0: "),
        ("predictions", {"rows": [[float("nan")] * D]}, 422, "rows: "),
        ("predictions", {"rows": []}, 422, "rows: "),
    ],
)
def test_bad_input_is_refused_in_one_line_and_changes_nothing(client, path, place, body, code, said):
    client.post("/removals", json={"request": "known", "rows": [3]})
    before, ledger = path.read_bytes(), client.get("/ledger").content
    sent = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}
    answer = client.post(f"/{place}", **sent)
    assert answer.status_code == code
    assert answer.json()["detail"].startswith(said)
    assert "\n" not in answer.json()["detail"]
    assert path.read_bytes() == before
    assert client.get("/ledger").content == ledger


def test_no_body_and_no_such_place(client):
    for content in (b"", b"{", b"\xff"):
        answer = client.post("/removals", content=content)
        assert (answer.status_code, "\n" in answer.json()["detail"]) == (422, False)
    assert client.get("/removals").status_code == 405
    assert client.get("/w").status_code == 404


def test_requests_side_by_side_are_served_one_after_the_other(client, service):
    asked = [{"request": str(number % 8), "rows": [number % 8, 40 + number % 4]} for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda body: client.post("/removals", json=body), asked)]
    assert {answer.status_code for answer in found} == {200}
    ledger = {entry["request"]: entry for entry in client.get("/ledger").json()}
    assert [answer.json() for answer in found] == [ledger[body["request"]] for body in asked]
    removed = [row for entry in ledger.values() for row in entry["rows"]]
    assert sorted(removed) == [*range(8), *range(40, 44)]
    assert client.get("/health").json()["released"] == 9
    assert service.model.residual() <= service.model.certificate_.beta * (1 + 1e-9)


def test_a_model_whose_noise_protects_nobody_is_not_served(example, tmp_path):
    for how, noise in (({}, "float"), ({"perturbation": "gaussian", "std": 1.0}, None)):
        model = CertifiedLogisticRegression(lam=0.05, random_state=0, **how).fit(X, Y)
        model.save(tmp_path / "m")
        refused = pytest.raises(InvalidValue, match=f"^noise: got {noise!r}, allowed: lattice")
        with RemovalService(tmp_path / "m", X, Y) as service, refused:
            example.create_app(service)


def test_files_that_cannot_be_served_end_it_with_one_line(example, tmp_path, path):
    other = tmp_path / "other.npz"
    np.savez(other, x=X + 1, y=Y)
    for files in (["none", tmp_path / "d.npz"], [path, tmp_path / "none.npz"], [path, other]):
        with pytest.raises(SystemExit) as ended:
            example.main([*map(str, files)])
        assert ended.value.code
        assert "\n" not in ended.value.code


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process of its own that has all this loaded")
def test_killed_between_requests_it_goes_on_where_it_was(example, path, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def started():
        child = os.fork()
        if not child:
            try:
                example.main([str(path), str(tmp_path / "d.npz"), "--port", str(port)])
            finally:
                os._exit(1)
        return child

    found = []
    for rows in ([1, 2], [3], [4]):
        child = started()
        try:
            there = httpx.HTTPTransport(retries=6)
            with httpx.Client(transport=there, base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                for before in found:
                    asked = {"request": before["request"], "rows": [*before["rows"]]}
                    assert client.post("/removals", json=asked).json() == before
                body = {"request": f"of {rows}", "rows": rows}
                found.append(client.post("/removals", json=body).json())
                assert client.get("/ledger").json() == found
                assert client.get("/health").json()["released"] == 1 + len(found)
                release = client.get("/model").json()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        served = CertifiedLogisticRegression.load(path, X, Y)
        assert release["coef"] == served.coef_.tolist()
    assert [answer["outcome"] for answer in found] == ["removed"] * 3
