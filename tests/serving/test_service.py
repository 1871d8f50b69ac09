"""A service gives what `mammo predict` gives, holds films in memory alone, and says why it refuses one."""

import asyncio
import io
import json
import logging
import multiprocessing
import re
import signal
import struct
import tempfile
import time
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256

import httpx
import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

import mammo
from mammo.errors import InputError
from mammo.explaining.explanation import explain
from mammo.formats.header import Header
from mammo.inference.films import films_of
from mammo.inference.predict import predict
from mammo.processes.resume import FINISHED
from mammo.reports.card import NAMES
from mammo.run_folder import RunFolder
from mammo.serving import readers
from mammo.serving.app import build_app, prefers_csv
from mammo.serving.guards import HEADERS
from mammo.serving.limits import HELD, Admission, Limits, Refused
from mammo.serving.model import card_page, open_model
from mammo.serving.readers import DIED, Ask, Read
from mammo.serving.run import check_token
from mammo.serving.service import Service
from mammo.serving.uploads import Form, Upload
from mammo.serving.worker import Predict, Worker, answered
from tests.formats.damage import damaged
from tests.formats.ways import WAYS

HERE, TOKEN = "http://127.0.0.1:8000", "a-word-of-sixteen-letters"
LIMITS = Limits(megabytes=8, films=4, megapixels=4, seconds=60, queue=8)


@pytest.fixture(scope="module")
def run(shared_job):
    """A run on drawn films, which has finished."""
    folder, _ = shared_job("heads=[svm,knn]", "augment=none")
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    return mammo.load_run(folder)


@pytest.fixture(scope="module")
def service(run):
    """A service on it, with one process that reads."""
    made = Service(open_model(run.path), LIMITS, readers=1)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(service):
    """A sender on this machine; the service lives on when it leaves."""
    return TestClient(build_app(service), base_url=HERE, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def films(phantom):
    """The first films of the phantom as they lie on disk, with what is known of them."""
    return phantom.findings().drop_duplicates("image_id").head(4)


def sent(paths):
    return [("films", (path.rpartition("/")[2], open(path, "rb").read())) for path in paths]  # noqa: PTH123


def test_films_get_what_mammo_predict_gives_as_json_and_as_csv(service, client, films, tmp_path):
    """To the last digit, though others are in the network's block; with breast and patient."""
    listed = tmp_path / "films.csv"
    known = films.assign(patient="p1", laterality=films["laterality"], view="CC")
    known[["path", "patient", "laterality", "view", "spacing_mm"]].to_csv(listed, index=False)
    told = predict(service.predictor, films_of([listed]))
    facts = {"patient": "p1", "laterality": list(films["laterality"]), "view": "CC", "spacing_mm": "0.2"}
    found = client.post("/predict", files=sent(films["path"]), data=facts)
    assert found.status_code == 200
    rows = found.json()["predictions"]
    assert {row["unit"] for row in rows} == {"image", "breast", "patient"}
    for row, other in zip(rows, told.as_json()["predictions"], strict=True):
        assert row | {"path": None} == other | {"path": None}
    assert [row["path"] for row in rows[:4]] == [path.rpartition("/")[2] for path in films["path"]]
    as_csv = client.post("/predict?format=csv", files=sent(films["path"]), data=facts)
    assert as_csv.headers["content-type"].startswith("text/csv")
    assert (
        client.post("/predict", files=sent(films["path"]), data=facts, headers={"accept": "text/csv"}).text
        == as_csv.text
    )
    other = client.post("/predict?format=xml", files=sent(films["path"]), data=facts)
    assert other.status_code == 422 and other.json()["error"] == "format: Input should be 'json' or 'csv'"
    assert client.head("/health").status_code == 200
    formula = client.post("/predict?format=csv", files=[("films", ("=2+2.dcm", b"no film"))]).text
    assert "./=2+2.dcm" in formula and ",=" not in formula
    table = pd.read_csv(io.StringIO(as_csv.text), dtype=str, keep_default_na=False)
    plain = told.table.astype("string").fillna("").astype(str)
    assert table.drop(columns="path").to_numpy().tolist() == plain.drop(columns="path").to_numpy().tolist()


def test_films_of_several_senders_are_shown_to_the_network_together_and_kept_apart(service, films, monkeypatch):
    """Two senders call their patients alike."""
    ask = service.predictor
    contents = [open(path, "rb").read() for path in films["path"]]  # noqa: PTH123, SIM115
    uploads = [Upload("a.pgm", content, patient="1") for content in contents]
    read = [service.readers.submit(Ask(one.content, name=one.name)).result() for one in uploads]
    alone = [answered(ask, [Predict(uploads[n : n + 1], read[n : n + 1])])[0].as_json() for n in range(3)]
    both = answered(ask, [Predict([Upload("a.pgm", b"", patient="1"), Upload("b.pgm", b"", patient="1")], read[:2])])[0]
    blocks, honest = [], ask.outputs
    monkeypatch.setattr(ask, "outputs", lambda samples, block: blocks.append(len(samples)) or honest(samples, block))
    worker = Worker(ask)
    results = [worker.submit(Predict(uploads[n : n + 1], read[n : n + 1])) for n in range(3)]
    worker.start()
    assert [one.result(60).as_json() for one in results] == alone
    assert len(blocks) == 1
    assert {row["unit"] for row in both.rows} == {"image", "patient"}
    assert all(row["unit"] == "image" for one in alone for row in one["predictions"])
    worker.stop()
    worker.join(10)
    assert not worker.is_alive()


def png_of(width, height):
    """A PNG whose header states this size and that holds a line of zeros."""

    def part(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    start = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + part(b"IDAT", zlib.compress(bytes(60_001))) + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"a letter", "another file"),
        (b"PK\3\4" + bytes(99), "a zip"),
        (b"<html>moved</html>", "a web page"),
        (png_of(60_000, 60_000), "60000 x 60000"),
        (png_of(3_000, 3_000), "at most 4 million"),
        (b"P5 8 8 255\n" + bytes(64), "every pixel has level 0"),
    ],
)
def test_a_file_that_is_no_film_gets_its_reason(client, content, reason):
    found = client.post("/predict", files={"films": ("mdb001.pgm", content)})
    assert found.status_code == 422 and reason in found.json()["error"]
    assert [row["status"] for row in found.json()["predictions"]] == ["left_out"]
    assert client.post("/film", files={"films": ("mdb001.pgm", content)}).status_code == 422
    assert reason in client.post("/explain", files={"films": ("mdb001.pgm", content)}).json()["error"]


FILM = ("films", ("a.pgm", b"P5 8 8 255\n" + bytes(range(64))))


@pytest.mark.parametrize(
    ("how", "status", "word"),
    [
        ({"files": [FILM] * 5}, 413, "many files"),
        ({"files": {"films": ("a.pgm", bytes(8_100_000))}}, 413, "MB"),
        ({"content": b"abc", "headers": {"content-type": "application/dicom"}}, 415, "multipart"),
        ({"files": [FILM], "headers": {"content-encoding": "gzip"}}, 415, "packed (Content-Encoding gzip)"),
        ({"content": iter([b"abc"]), "headers": {"content-type": "multipart/form-data; boundary=x"}}, 411, "size"),
        ({"content": b"--y\r\nno", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, "form"),
        ({"data": {"patient": "p"}, "files": {"films": ("", b"")}}, 422, "no file"),
        ({"data": {"patient": "p"}, "files": {"patient": ("", b"")}}, 422, "no film"),
        ({"files": [FILM], "data": {"side": "left"}}, 422, "laterality"),
        ({"files": [FILM], "data": {"laterality": "up"}}, 422, "left or right"),
        ({"files": [FILM], "data": {"spacing_mm": "50"}}, 422, "side of a pixel"),
        ({"files": [FILM], "data": {"patient": ["a", "b"]}}, 422, "once for each"),
        ({"files": [FILM], "data": {"at": "12"}}, 422, "x,y"),
        ({"files": [FILM], "data": {"at": "1,2,3"}}, 422, "x,y"),
        ({"files": [FILM, FILM], "data": {"at": "1,2"}}, 422, "one film"),
        ({"files": [FILM], "data": {"units": "ward"}}, 422, "expected image"),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(client, how, status, word):
    found = client.post("/predict", **how)
    assert (found.status_code, word in found.json()["error"]) == (status, True), found.text


def test_a_fact_in_the_address_is_refused_and_not_passed_over(client):
    found = client.post("/predict?laterality=left", files=[FILM])
    assert found.status_code == 422 and "laterality in the address is not read" in found.json()["error"]


def send_damaged(client, count, seed=0):
    """Send damaged films of all kinds; return how many had each status, and the slowest in seconds."""
    names, found, slowest = list(WAYS), {}, 0.0
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        content = damaged(WAYS[names[number % len(names)]][0], rng)
        begun = time.monotonic()
        reply = client.post("/predict", files={"films": ("film", content)})
        slowest = max(slowest, time.monotonic() - begun)
        found[reply.status_code] = found.get(reply.status_code, 0) + 1
        (row,) = reply.json()["predictions"]
        assert row["status"] == "predicted" or len(row["reason"]) > 10
        assert "Traceback" not in reply.text
    return found, slowest


@pytest.mark.slow
def test_damaged_films_get_a_reason_and_the_service_lives_on(client, service, caplog):
    with caplog.at_level(logging.ERROR):
        found, slowest = send_damaged(client, 60)
    assert set(found) <= {200, 422} and found[422] > 30 and slowest < 20
    assert not caplog.records and client.get("/health").json()["status"] == "ok"


def test_a_film_stays_in_memory_and_no_name_is_in_the_log(client, films, monkeypatch, caplog):
    """A large file would be spooled to disk by the parser of forms."""

    def to_disk(*given, **how):
        raise AssertionError("a file is written")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", to_disk)
    for maker in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, maker, to_disk)
    large = b"P5 2000 1500 255\n" + np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
    name = "../../etc/Doe^Jane.pgm"
    with caplog.at_level(logging.INFO):
        reply = client.post("/predict", files={"films": (name, large)}, data={"patient": "Doe^Jane", "force": "1"})
        client.get("/Doe^Jane")
    (row,) = reply.json()["predictions"]
    assert row["path"] == "Doe^Jane.pgm" and row["patient"] == "Doe^Jane"  # in the answer alone
    own = [one.getMessage() for one in caplog.records if one.name.startswith("mammo")]  # others are of the sender
    assert any("POST /predict" in line for line in own) and not any("Doe" in line for line in own)


def test_a_reader_that_dies_or_hangs_is_replaced(service, client, films, monkeypatch):
    (path, *_), reader = films["path"], service.readers._all[0]
    reader._process.kill()
    assert client.post("/predict", files=sent([path])).json()["error"] == DIED
    assert client.post("/predict", files=sent([path])).status_code == 200
    monkeypatch.setattr(service.readers, "_seconds", 0.0)
    assert "could not be read in 0 s" in client.post("/predict", files=sent([path])).json()["error"]
    monkeypatch.undo()
    assert client.post("/predict", files=sent([path])).status_code == 200


def test_an_error_of_a_reader_is_told_without_its_words(monkeypatch, capfd, caplog):
    def broken(*given):
        raise ValueError("Doe^Jane")

    here, there = multiprocessing.Pipe()
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    monkeypatch.setattr(readers, "open_model", lambda *given: None)
    monkeypatch.setattr(readers, "read", broken)
    here.send(Ask(b""))
    readers._work(there, None, "softmax", 1)
    told = caplog.text + "".join(capfd.readouterr())
    assert "ValueError" in told and "Doe" not in told.replace('"Doe^Jane"', "")


def test_few_films_are_held_whole_at_a_time(service, monkeypatch):
    """Each may have 120 MB of pixels, however small its file is."""
    held = [0]

    async def read(*given, **how):
        held.append(held[-1] + 1)
        await asyncio.sleep(0.01)
        held.append(held[-1] - 1)
        return [Read(Header(""), refused="none")]

    async def ask():
        form = Form([Upload("a", b"")])
        return await asyncio.gather(*(service.film(form) for _ in range(8)), return_exceptions=True)

    monkeypatch.setattr(service, "_read", read)
    assert len(asyncio.run(ask())) == 8 and max(held) == HELD


def test_a_full_queue_is_told_to_come_again():
    held = Admission(Limits(megabytes=1, queue=2))
    with held.admit(900_000), held.admit(900_000):
        with pytest.raises(Refused) as full, held.admit(1):
            pass
        assert full.value.status == 429 and int(full.value.headers["Retry-After"]) >= 1
    with held.admit(1_000_000), pytest.raises(Refused) as large, held.admit(1_100_000):
        pass
    assert large.value.status == 413 and held.requests == held.bytes == 0
    with Admission(Limits(megabytes=1)).admit(1_000_000):
        pass


def test_senders_beyond_the_queue_get_429_and_the_others_their_answer(service, films, monkeypatch):
    monkeypatch.setattr(service.admission, "limits", Limits(megabytes=8, queue=2))
    (path, *_), honest, app = films["path"], service.predict, build_app(service)

    async def ask():
        full = asyncio.Event()

        async def held(form):
            await full.wait()
            return await honest(form)

        monkeypatch.setattr(service, "predict", held)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as sender:
            sending = [asyncio.ensure_future(sender.post("/predict", files=sent([path]))) for _ in range(6)]
            while sum(one.done() for one in sending) < 4:
                await asyncio.sleep(0.01)
            full.set()
            return await asyncio.gather(*sending)

    found = asyncio.run(asyncio.wait_for(ask(), 60))
    assert sorted(one.status_code for one in found) == [200, 200, 429, 429, 429, 429]
    assert all("retry-after" in one.headers for one in found if one.status_code == 429)
    assert service.admission.requests == service.admission.bytes == 0


def test_a_request_that_takes_too_long_ends(service, client, films, monkeypatch):
    monkeypatch.setattr(service, "limits", Limits(seconds=0.2, films=4))

    async def slow(*given):
        await asyncio.sleep(5)

    monkeypatch.setattr(service, "predict", slow)
    found = client.post("/predict", files=sent(films["path"][:1]))
    assert found.status_code == 503 and "retry-after" in found.headers


def test_a_map_and_a_film_come_as_they_are(service, client, films):
    (path, *_), ask = films["path"], service.predictor
    told = explain(ask, ask.read(path), name="a")
    found = client.post("/explain", files=sent([path])).json()
    assert (found["height"], found["width"]) == told.values.shape and found["hottest"] == list(told.hottest)
    assert found["largest"] == pytest.approx(told.values[told.breast].max()) and found["head"] == "softmax"
    shares = np.frombuffer(b64decode(found["shares"]), np.uint8)
    assert shares.size == found["rows"] * found["columns"] and shares.max() > 200
    film = client.post("/film", files=sent([path]))
    size = int(film.headers["film-height"]), int(film.headers["film-width"])
    assert np.array_equal(np.frombuffer(film.content, np.uint8).reshape(size), ask.read(path).pixels)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:8000"}, 421),
        ({"host": "127.0.0.1@evil.example"}, 421),
        ({"host": ""}, 421),
        ({"host": "[::1]:8000"}, 422),
        ({"host": "127.0.0.2"}, 422),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 422),
        ({"origin": HERE, "sec-fetch-site": "same-origin"}, 422),
    ],
)
def test_pages_of_other_addresses_are_refused(client, headers, status):
    reply = client.post("/predict", files={"films": ("a", b"")}, headers=headers)
    assert reply.status_code == status
    assert all(reply.headers[name] == value for name, value in HEADERS.items())


def test_a_token_is_asked_for_wherever_films_or_the_model_are(service):
    client = TestClient(build_app(service, local=False, token=TOKEN), base_url="http://hospital.example")
    for path in ("/model", "/model/card", "/examples/1", "/openapi.json", "/nothing"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.post("/predict").status_code == 401
    assert client.get("/model", headers={"authorization": f"Bearer {TOKEN}"}).json()["run"]
    assert client.get("/").status_code == client.get("/page/main.js").status_code == 200  # which tell nothing


def test_another_machine_is_not_let_in_without_a_token():
    for host, token in (
        ("0.0.0.0", None),
        ("192.168.1.5", None),
        ("::", None),
        ("127.0.0.1", "short"),
        ("x", "a" * 15),
    ):
        with pytest.raises(InputError, match="token"):
            check_token(host, token)
    for host, token in (("127.0.0.1", None), ("::1", None), ("localhost", None), ("0.0.0.0", TOKEN)):
        check_token(host, token)


def test_the_model_tells_its_facts_and_each_address_is_described(service, client):
    facts = client.get("/model").json()
    assert facts["classes"] == ["normal", "abnormal"] and facts["operating"]["threshold"] is not None
    assert facts["splits"]["train"]["patients"] == 8 and facts["limits"]["films"] == 4
    described = client.get("/openapi.json").json()["paths"]
    assert {"/predict", "/explain", "/film", "/model", "/model/card", "/health", "/examples/{number}"} == set(described)
    assert all({"401", "421"} <= set(one["responses"]) for of in described.values() for one in of.values())
    assert "503" in described["/health"]["get"]["responses"]
    fields = described["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"films", "patient", "laterality", "view", "spacing_mm", "force", "units", "at", "exam"} == set(fields)
    example = client.get("/examples/1")
    assert example.status_code == 200 and example.headers["film-patient"]
    assert client.get("/examples/99").status_code == 404


def test_the_card_is_that_of_the_folder_or_else_made_of_the_run(run, client, tmp_path):
    shown = client.get("/model/card")
    style = re.search("<style>(.*?)</style>", shown.text, re.DOTALL)[1]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert (
        shown.text == card_page(run)
        and f"style-src 'self' 'sha256-{digest}'" in shown.headers["content-security-policy"]
    )
    (tmp_path / NAMES["html"]).write_text("<h1>card</h1>")
    assert card_page(RunFolder(tmp_path)) == "<h1>card</h1>"
    (tmp_path / NAMES["html"]).unlink()
    origin = run.provenance | {"films": run.of_films}  # of a portable model, from whose folder the card was taken
    (tmp_path / "provenance.json").write_text(json.dumps(origin))
    assert card_page(RunFolder(tmp_path)) == ""


@pytest.mark.parametrize("path", ["/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page//etc/passwd", "/../app.py"])
def test_no_address_leads_out_of_the_page(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("HEAD", "/", 200, None),
        ("HEAD", "/model", 200, None),
        ("HEAD", "/predict", 405, None),
        ("DELETE", "/predict", 405, "this address takes POST"),
        ("GET", "/nothing", 404, "no such address; GET /openapi.json"),
    ],
)
def test_an_address_says_what_it_takes_and_head_gets_what_get_gets(client, method, path, status, said):
    found = client.request(method, path)
    assert found.status_code == status
    assert (found.content == b"") if said is None else said in found.json()["error"]
    if method == "HEAD" and status == 200:
        assert found.headers["content-length"] == client.get(path).headers["content-length"]


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("", False), ("*/*", False), ("text/csv", True), ("TEXT/CSV; q=0.5, */*", True), ("text/csv;q=0, */*", False),
        ("text/csv, application/json", False), ("text/csv, application/json;q=0.5", True), ("text/csv;q=x", False),
    ],
)  # fmt: skip
def test_a_client_that_prefers_csv_gets_csv(accept, csv):
    assert prefers_csv(accept) == csv


def test_the_page_needs_nothing_from_elsewhere_and_names_its_controls(client):
    page = client.get("/").text
    for name in set(re.findall(r"/page/([\w.]+)", page)) | {"answer.js", "api.js", "film.js", "report.js"}:
        found = client.get(f"/page/{name}")
        assert found.status_code == 200
        outside = re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"^\s*//.*$|//\s.*$", "", found.text, flags=re.MULTILINE))
        assert set(outside) <= {"http://www.w3.org"}, name  # the name of SVG, which nobody fetches
    assert "style=" not in page and "onclick" not in page and page.count("<h1") == 1
    controls = re.findall(r"<(?:input|select)[^>]*\bid=\"([\w-]+)\"", page)
    labelled = set(re.findall(r"<label[^>]*\bfor=\"([\w-]+)\"", page)) | set(
        re.findall(r"<label><input id=\"(\w+)\"", page)
    )
    assert set(controls) <= labelled and "Not for diagnostic use" in page
