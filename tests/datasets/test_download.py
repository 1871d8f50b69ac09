"""Downloads from a scripted server, and archives that try what they should not."""

import gzip
import io
import random
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mammo.datasets import download
from mammo.datasets.download import extract, fetch
from mammo.errors import InputError

BODY = random.Random(0).randbytes(3_000_000)  # more than a socket's buffers hold
OTHER = random.Random(1).randbytes(3_000_000)
HALF = len(BODY) // 2


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(download, "BACKOFF_S", 0.001)


class Server(ThreadingHTTPServer):
    """Answers the n-th request by the n-th step, the last one for ever; `requests` are the headers received."""

    daemon_threads = True

    def __init__(self, *steps):
        self.steps, self.requests = steps, []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/films.tar.gz"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.headers)
        self.server.steps[min(len(self.server.requests), len(self.server.steps)) - 1](self)

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(*steps):
        servers.append(Server(*steps))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def honest(body, *, etag='"one"', most=None, heeds_if_range=True):
    """A step that serves `body` as the standard says, but ends the connection after `most` bytes."""

    def step(handler):
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        version = {"ETag": etag} if etag else {}
        if not wanted or (heeds_if_range and handler.headers.get("If-Range", etag) != etag):
            handler.reply(200, body[:most], Content_Length=len(body), **version)
        elif (start := int(wanted[1])) >= len(body):
            handler.reply(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
        else:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            rest = body[start:]
            handler.reply(206, rest[:most], Content_Range=span, Content_Length=len(rest), **version)

    return step


def says(status, body=b"", **headers):
    """A step that takes no notice of Range."""
    return lambda handler: handler.reply(status, body, **headers)


def ranges(server):
    return [request.get("Range") for request in server.requests]


def assert_whole(target, body=BODY):
    assert target.read_bytes() == body
    assert names(target.parent) == [target.name], "something was left beside the file"


def test_a_download_is_whole_and_leaves_nothing_else(serve, tmp_path):
    server, target = serve(honest(BODY)), tmp_path / "new" / "films.tar.gz"
    assert fetch(server.url, target) == target
    assert_whole(target)
    assert ranges(server) == [None]


def test_the_name_is_given_only_once_all_bytes_are_in_the_file(serve, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(Path, "replace", lambda part, target: sizes.append(part.stat().st_size) or part.rename(target))
    fetch(serve(honest(BODY[:1000])).url, tmp_path / "films")  # less than a buffer holds
    assert sizes == [1000]


def test_a_file_that_is_there_is_returned_untouched(serve, tmp_path):
    server, target = serve(honest(BODY)), tmp_path / "films"
    target.write_text("mine")
    assert fetch(server.url, target) == target
    assert target.read_text() == "mine"
    assert not server.requests


def test_a_cut_download_goes_on_where_it_was_cut(serve, tmp_path):
    server = serve(honest(BODY, most=HALF), honest(BODY))
    assert_whole(fetch(server.url, tmp_path / "films"))
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert server.requests[1]["If-Range"] == '"one"'


def test_a_later_process_goes_on_too_and_an_error_says_what_is_kept(serve, tmp_path):
    server, target = serve(honest(BODY, most=HALF), honest(BODY)), tmp_path / "films"
    with pytest.raises(OSError) as caught:
        fetch(server.url, target, attempts=1)
    for part in (server.url, f"announced {len(BODY)} bytes and sent {HALF}", f"{HALF} bytes are kept in {target}.part"):
        assert part in str(caught.value)
    assert "run the command again" in str(caught.value) and "\n" not in str(caught.value)
    assert not target.exists()
    assert_whole(fetch(server.url, target))
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert server.requests[1]["If-Range"] == '"one"'


@pytest.mark.parametrize("etag", ['"two"', None])
def test_a_file_that_changed_on_the_server_starts_again(serve, tmp_path, etag):
    server = serve(honest(BODY, most=HALF), honest(OTHER, etag=etag))
    assert_whole(fetch(server.url, tmp_path / "films"), OTHER)
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_changed_size_starts_again_where_if_range_is_not_heeded(serve, tmp_path):
    longer = OTHER + b"more"
    server = serve(honest(BODY, most=HALF), honest(longer, heeds_if_range=False))
    assert_whole(fetch(server.url, tmp_path / "films"), longer)
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_last_modified_serves_where_there_is_no_etag(serve, tmp_path):
    day = "Thu, 19 Jan 1995 00:00:00 GMT"
    server = serve(says(200, BODY[:HALF], Content_Length=len(BODY), Last_Modified=day), honest(BODY, etag=day))
    assert_whole(fetch(server.url, tmp_path / "films"))
    assert server.requests[1]["If-Range"] == day


def test_a_server_that_ignores_range_starts_again(serve, tmp_path):
    server = serve(honest(BODY, most=HALF), says(200, BODY, Content_Length=len(BODY)))
    assert_whole(fetch(server.url, tmp_path / "films"))
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_range_other_than_the_one_asked_for_is_not_appended(serve, tmp_path):
    wrong = says(206, BODY[:HALF], Content_Range=f"bytes 0-{HALF - 1}/{len(BODY)}", Content_Length=HALF)
    server = serve(honest(BODY, most=HALF), wrong, honest(BODY))
    assert_whole(fetch(server.url, tmp_path / "films"))
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_a_server_that_stumbles_is_asked_again(serve, tmp_path):
    server = serve(says(500), says(503), lambda handler: None, honest(BODY))
    assert_whole(fetch(server.url, tmp_path / "films"))
    assert len(server.requests) == 4


def test_a_server_that_falls_silent_is_asked_again(serve, tmp_path):
    done = threading.Event()

    def stalls(handler):
        honest(BODY, most=HALF)(handler)
        handler.wfile.flush()
        done.wait(5)

    server = serve(stalls, honest(BODY))
    assert_whole(fetch(server.url, tmp_path / "films", timeout_s=0.2))
    done.set()
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_404_is_final(serve, tmp_path):
    server = serve(says(404), honest(BODY))
    with pytest.raises(OSError, match=r"/films.tar.gz: .*404.*attempt 1 of 5"):
        fetch(server.url, tmp_path / "films")
    assert len(server.requests) == 1
    assert not names(tmp_path)


def test_no_server_is_an_error_that_names_the_address(serve, tmp_path):
    server = serve(honest(BODY))
    server.shutdown()
    server.server_close()
    with pytest.raises(OSError, match=rf"{re.escape(server.url)}: .*refused"):
        fetch(server.url, tmp_path / "films", attempts=2)
    assert not names(tmp_path)


def test_a_server_that_announces_more_than_it_sends_never_makes_a_file(serve, tmp_path):
    server, target = serve(says(200, BODY, Content_Length=len(BODY) + 1)), tmp_path / "films"
    with pytest.raises(OSError, match=f"sent {len(BODY)} .attempt 3 of 3.; {len(BODY)} bytes are kept"):
        fetch(server.url, target, attempts=3)
    assert not target.exists()
    assert (tmp_path / "films.part").read_bytes() == BODY


def test_a_size_that_shrinks_to_what_was_sent_is_not_believed(serve, tmp_path):
    lie = says(200, BODY, Content_Length=len(BODY) + 1)
    server = serve(lie, says(416, Content_Range=f"bytes */{len(BODY)}"), lie)
    with pytest.raises(OSError, match="server announced"):
        fetch(server.url, tmp_path / "films", attempts=3)
    assert not (tmp_path / "films").exists()


def test_a_server_that_sends_more_than_it_announces_never_makes_a_file(serve, tmp_path):
    server = serve(says(200, BODY, Content_Length=len(BODY) - 1))
    with pytest.raises(OSError, match=f"announced {len(BODY) - 1} bytes and sent {len(BODY)}"):
        fetch(server.url, tmp_path / "films", attempts=2)
    assert not names(tmp_path), "none of the bytes can be trusted"


def test_an_orderly_end_counts_where_no_size_is_announced(serve, tmp_path):
    assert_whole(fetch(serve(says(200, BODY)).url, tmp_path / "films"))


def test_a_cut_between_chunks_is_noticed_without_a_size(serve, tmp_path):
    def chunk(data):
        return b"%x\r\n%s\r\n" % (len(data), data)

    def chunks(sent):
        def step(handler):
            handler.protocol_version = "HTTP/1.1"
            handler.reply(200, sent, Transfer_Encoding="chunked", Connection="close")
            handler.close_connection = True

        return step

    server = serve(chunks(chunk(BODY[:HALF])), chunks(chunk(BODY[:HALF]) + chunk(BODY[HALF:]) + chunk(b"")))
    assert_whole(fetch(server.url, tmp_path / "films"))
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_part_that_is_already_whole_is_only_renamed(serve, tmp_path):
    server = serve(honest(BODY))
    (tmp_path / "films.part").write_bytes(BODY)
    assert_whole(fetch(server.url, tmp_path / "films"))
    assert ranges(server) == [f"bytes={len(BODY)}-"]


def test_a_part_longer_than_the_file_starts_again(serve, tmp_path):
    server = serve(honest(BODY))
    (tmp_path / "films.part").write_bytes(BODY + b"!")
    assert_whole(fetch(server.url, tmp_path / "films"))
    assert ranges(server) == [f"bytes={len(BODY) + 1}-", None]


@pytest.mark.parametrize("case", ["whole", "404", "cut"])
def test_two_at_once_never_write_to_one_part(serve, tmp_path, case):
    first = {"whole": honest(BODY), "404": says(404), "cut": honest(BODY, most=HALF)}[case]
    began, go = threading.Event(), threading.Event()

    def waits(handler):
        began.set()
        go.wait(5)
        first(handler)

    server, target, results = serve(waits, honest(BODY)), tmp_path / "films", {}

    def run(number):
        try:
            results[number] = fetch(server.url, target, attempts=1)
        except OSError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=[number]) for number in range(2)]
    threads[0].start()
    assert began.wait(5)
    threads[1].start()
    threads[1].join(0.1)
    assert len(server.requests) == 1, "the second did not wait"
    go.set()
    for thread in threads:
        thread.join(5)
    assert_whole(target)
    assert results[1] == target
    second = {"whole": [], "404": [None], "cut": [f"bytes={HALF}-"]}  # the second goes on from what the first left
    assert ranges(server) == [None, *second[case]]


def test_progress_without_a_terminal_is_plain_text_on_stderr(serve, tmp_path, capsys):
    fetch(serve(honest(BODY)).url, tmp_path / "films.tar.gz")
    out, err = capsys.readouterr()
    assert not out
    assert "films.tar.gz" in err and "100%" in err
    assert "\x1b" not in err


# --- archives

LIMITS = {"Info.txt": 100, "a.pgm": 2000, "b.pgm": 2000}
GOOD = {"Info.txt": b"two films", "a.pgm": bytes(1500), "b.pgm": random.Random(2).randbytes(1500)}


def member(name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def good(prefix=""):
    return [member(prefix + name, data) for name, data in GOOD.items()]


def assert_nothing_but(archive):
    assert names(archive.parent) == [archive.name], "something half done was left"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("prefix", ["", "./", "all-mias/"])
def test_a_good_archive_lies_flat_in_the_folder(tmp_path, mode, prefix):
    folder = [member(prefix, type=tarfile.DIRTYPE)] if prefix else []
    archive = tar(tmp_path / "x.tar", folder + good(prefix), mode)
    extract(archive, tmp_path / "deep" / "mias", expected=LIMITS.get)
    assert {path.name: path.read_bytes() for path in (tmp_path / "deep" / "mias").iterdir()} == GOOD
    assert names(tmp_path / "deep") == ["mias"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (member("/a.pgm", b"x"), "leads out of"),
        (member("../a.pgm", b"x"), "leads out of"),
        (member("all/../../a.pgm", b"x"), "leads out of"),
        (member("all/films/a.pgm", b"x"), "leads out of"),
        (member("../elsewhere", type=tarfile.DIRTYPE), "leads out of"),
        (member("a.pgm", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "link or a device"),
        (member("a.pgm", type=tarfile.LNKTYPE, linkname="Info.txt"), "link or a device"),
        (member("a.pgm", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "link or a device"),
        (member("a.pgm", type=tarfile.FIFOTYPE), "link or a device"),
        (member("a.pgm", bytes(2001)), "more than 2000 bytes"),
        (member("c.pgm", b"x"), "not expected"),
        (member("all/Info.txt", b"x"), "occurs twice"),
    ],
)
def test_a_member_that_does_not_belong_is_refused_by_name(tmp_path, bad, why):
    archive = tar(tmp_path / "x.tar.gz", [*good()[:1], bad])
    with pytest.raises(InputError, match=rf"x\.tar\.gz: member '{re.escape(bad[0].name)}' is refused: .*{why}"):
        extract(archive, tmp_path / "mias", expected=LIMITS.get)
    assert_nothing_but(archive)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_named_with_what_to_do(tmp_path, share):
    archive = tar(tmp_path / "x.tar.gz", good())
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(InputError, match=r"x\.tar\.gz is (truncated or corrupt|an empty file).* fetch it again"):
        extract(archive, tmp_path / "mias", expected=LIMITS.get)
    assert_nothing_but(archive)


def test_an_archive_without_compression_cut_between_two_members_is_refused(tmp_path):
    archive = tar(tmp_path / "x.tar", good(), "w")
    archive.write_bytes(archive.read_bytes()[: 1024 + 512 + 1536])  # Info.txt and a.pgm with their headers
    with pytest.raises(InputError, match="truncated or corrupt"):
        extract(archive, tmp_path / "mias", expected=LIMITS.get)
    assert_nothing_but(archive)


def test_a_damaged_header_does_not_end_the_archive_in_silence(tmp_path):
    archive = tar(tmp_path / "x.tar", good(), "w")
    data = bytearray(archive.read_bytes())
    data[1024] ^= 1  # the name of the second member
    archive.write_bytes(data)
    with pytest.raises(InputError, match="truncated or corrupt"):
        extract(archive, tmp_path / "mias", expected=LIMITS.get)


def test_a_wrong_checksum_at_the_very_end_is_noticed(tmp_path):
    archive = tar(tmp_path / "x.tar.gz", good())
    data = bytearray(archive.read_bytes())
    data[-8] ^= 1
    archive.write_bytes(data)
    with pytest.raises(InputError, match="truncated or corrupt"):
        extract(archive, tmp_path / "mias", expected=LIMITS.get)
    assert_nothing_but(archive)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"<html>moved</html>" * 100, r"a web page or XML .*<html>"),
        (b'\n <?xml version="1.0"?><Error/>', "a web page or XML"),
        (gzip.compress(b"<!DOCTYPE html>", mtime=0), "a web page or XML"),
        (b'{"error": "login"}', "a text"),
        (gzip.compress(b"no tar" * 1000, mtime=0), "a text"),
        (b"PK\3\4" + bytes(500), "a zip: unpack it, and name .* data.root"),
        (b"", "an empty file"),
        (bytes(range(256)) * 10, "truncated or corrupt"),
    ],
)
def test_what_is_no_archive_is_named_in_one_line(tmp_path, data, what):
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(data)
    with pytest.raises(InputError, match=rf"x\.tar\.gz is {what}") as caught:
        extract(archive, tmp_path / "mias", expected=LIMITS.get)
    assert "\n" not in str(caught.value)
    assert_nothing_but(archive)


def test_an_archive_without_a_file_is_refused_and_leaves_nothing(tmp_path):
    archive = tar(tmp_path / "x.tar.gz", [])
    with pytest.raises(InputError, match=r"x\.tar\.gz holds no file; name the whole archive"):
        extract(archive, tmp_path / "mias", expected=LIMITS.get)
    assert_nothing_but(archive)


def test_an_interruption_leaves_nothing(tmp_path):
    archive = tar(tmp_path / "x.tar.gz", good())

    def interrupts(name):
        if name == "b.pgm":
            raise KeyboardInterrupt
        return LIMITS[name]

    with pytest.raises(KeyboardInterrupt):
        extract(archive, tmp_path / "mias", expected=interrupts)
    assert_nothing_but(archive)


@pytest.mark.parametrize("linked", [False, True])
def test_an_empty_folder_may_wait_for_the_films(tmp_path, linked):
    folder = tmp_path / "mias"
    (tmp_path / "disk" if linked else folder).mkdir()
    if linked:
        folder.symlink_to(tmp_path / "disk")
    extract(tar(tmp_path / "x.tar.gz", good()), folder, expected=LIMITS.get)
    assert names(folder) == sorted(GOOD)
    assert folder.is_symlink() == linked


def test_a_users_files_are_not_overwritten(tmp_path):
    archive, folder = tar(tmp_path / "x.tar.gz", good()), tmp_path / "mias"
    folder.mkdir()
    (folder / "Info.txt").write_text("mine")
    with pytest.raises(InputError, match=r"a\.pgm is not among them"):
        extract(archive, folder, expected=LIMITS.get)
    assert (folder / "Info.txt").read_text() == "mine"
    assert names(tmp_path) == ["mias", "x.tar.gz"]


def test_a_file_in_the_folders_place_is_not_overwritten(tmp_path):
    archive, folder = tar(tmp_path / "x.tar.gz", good()), tmp_path / "mias"
    folder.write_text("mine")
    with pytest.raises(InputError, match="name another folder"):
        extract(archive, folder, expected=LIMITS.get)
    assert folder.read_text() == "mine"


def test_two_at_once_both_succeed(tmp_path):
    archive, folder = tar(tmp_path / "x.tar.gz", good()), tmp_path / "mias"

    def another_is_faster(name):
        if not folder.exists():
            extract(archive, folder, expected=LIMITS.get)
        return LIMITS.get(name)

    extract(archive, folder, expected=another_is_faster)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == GOOD
    assert names(tmp_path) == ["mias", "x.tar.gz"]
