"""A form is read whole or refused, and a connection that asks for nothing is closed."""

import asyncio
import logging
import socket
import threading
import time

import httpx
import pytest
from starlette.requests import Request

from mammo.errors import InputError
from mammo.serving import run
from mammo.serving.limits import Limits, Refused
from mammo.serving.uploads import form_of

END = b"--x--\r\n"


def part(content, field="films", name=None):
    named = b"" if name is None else b'; filename="%s"' % name
    return b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (field.encode(), named, content)


def read(body, kind=b"multipart/form-data; boundary=x"):
    """The form of a request."""

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [(b"content-type", kind)]}
    return asyncio.run(form_of(Request(scope, receive), Limits()))


FILMS = part(b"first", name=b"a.dcm") + part(b"second", name=b"b.dcm")


@pytest.mark.parametrize("cut", range(1, len(END) + len(part(b"second", name=b"b.dcm")) + 20))
def test_a_form_is_whole_or_told_to_end_early(cut):
    whole = FILMS + END
    if cut <= 2:  # the end of the last line alone
        assert [one.content for one in read(whole[:-cut]).films] == [b"first", b"second"]
        return
    with pytest.raises(Refused, match="ends early") as found:
        read(whole[:-cut])
    assert found.value.status == 400


def test_a_form_with_an_epilogue_is_whole():
    assert len(read(FILMS + END + b"with kind regards").films) == 2


def test_a_file_without_a_name_beside_films_is_refused():
    with pytest.raises(Refused, match="films has no name") as found:
        read(FILMS + part(b"third", name=b"") + END)
    assert found.value.status == 422


@pytest.mark.parametrize("kind", [b"Multipart/Form-Data; boundary=x", b"MULTIPART/FORM-DATA;Boundary=x"])
def test_a_media_type_is_read_in_any_case(kind):
    assert len(read(FILMS + END, kind).films) == 2


@pytest.mark.parametrize("kind", [b"multipart/form-database; boundary=x", b"multipart/mixed; boundary=x"])
def test_another_media_type_is_refused(kind):
    with pytest.raises(Refused, match="multipart/form-data"):
        read(FILMS + END, kind)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ([("force", b"maybe")], "force is maybe"),
        ([("force", b"1"), ("force", b"0")], "force is given 2 times"),
        ([("at", b"1,2"), ("at", b"3,4")], "at is given 2 times"),
    ],
)
def test_an_option_that_is_unknown_or_given_twice_is_refused(fields, word):
    with pytest.raises(Refused, match=word) as found:
        read(part(b"film", name=b"a") + b"".join(part(value, field) for field, value in fields) + END)
    assert found.value.status == 422


@pytest.mark.parametrize(
    ("laterality", "view", "expected"),
    [
        (b"L", b"mlo", ("left", "MLO")),
        (b"", b"RMLO", ("right", "MLO")),
        (b"R MLO", b"", ("right", "MLO")),
        (b"rechts", b"medio-lateral oblique", ("right", "MLO")),
        (b"B", b"something else", (None, "SOMETHING ELSE")),
        (b"left", b"RMLO", "two sides or views"),
        (b"LCC", b"MLO", "two sides or views"),
        (b"MLO", b"", "laterality is MLO; expected left or right"),
    ],
)
def test_side_and_view_are_read_in_the_words_of_tables(laterality, view, expected):
    body = part(b"film", name=b"a") + part(laterality, "laterality") + part(view, "view") + END
    if isinstance(expected, str):
        with pytest.raises(Refused, match=expected):
            read(body)
        return
    (film,) = read(body).films
    assert (film.laterality, film.view) == expected


@pytest.mark.parametrize(("value", "expected"), [(b"1", True), (b"True", True), (b"0", False), (b"off", False)])
def test_force_is_yes_or_no(value, expected):
    assert read(part(b"film", name=b"a") + part(value, "force") + END).force == expected


@pytest.fixture
def address(monkeypatch):
    """Where a server listens for which 0.5 seconds are long."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await asyncio.sleep(1.2 if scope["path"] == "/slow" else 0)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

    monkeypatch.setattr(run, "HEADER_S", 0.5)
    monkeypatch.setattr(run, "CONNECTIONS", 8)
    levels = {name: logging.getLogger(name).level for name in run.FOREIGN}
    with run.bound("127.0.0.1", 0) as listening:
        server = run.server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()
        server.should_exit = True
        thread.join(30)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_an_address_in_use_is_refused_before_a_model_is_opened(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "open_model", lambda *of: pytest.fail("the model was opened"))
    with run.bound("127.0.0.1", 0) as listening, pytest.raises(InputError, match="address already in use"):
        listening.listen()
        run.serve(tmp_path, port=listening.getsockname()[1])


ASK = b"GET / HTTP/1.1\r\nHost: x\r\n"


def test_connections_that_send_no_whole_header_are_closed_and_lock_nobody_out(address):
    begun = [b"", b"G", ASK, ASK + b"\r\n" + ASK, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"] * 2
    idle = [socket.create_connection(address, timeout=10) for _ in begun]
    for one, content in zip(idle, begun, strict=True):
        one.sendall(content)
    url = f"http://{address[0]}:{address[1]}"
    while httpx.get(url).status_code == 503:
        time.sleep(0.05)
    for one in idle:
        while one.recv(1000):  # until it is closed
            pass
        one.close()
    assert httpx.get(f"{url}/slow").text == "ok"  # an answer that takes longer is waited for


def test_a_header_that_comes_slowly_is_read_if_it_comes_in_time(address):
    with socket.create_connection(address, timeout=10) as slow:
        for piece in (ASK[:10], ASK[10:], b"\r\n"):
            slow.sendall(piece)
            time.sleep(0.05)
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")


def test_the_parser_of_forms_writes_no_line_of_its_own(address, caplog):
    with pytest.raises(Refused, match="cannot be read"):
        read(b"--Doe^Jane\r\n")
    assert not caplog.records
