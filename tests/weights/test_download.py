from __future__ import annotations

import hashlib
import random
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deeplab.errors import DownloadError
from deeplab.weights import _download
from deeplab.weights._download import download

CONTENT = random.Random(0).randbytes(1_000_000)


class Web:
    """A server of one file on this machine, and what was asked of it."""

    def __init__(self):
        self.ranges = True
        self.cuts = []
        """How many bytes each coming answer sends before the connection closes."""
        self.status = 200
        self.asked = []
        """The Range of each request."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/file.bin"

    def handler(web):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range")
                web.asked.append(asked)
                if web.status != 200:
                    self.send_error(web.status)
                    return
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and web.ranges else 0
                if start >= len(CONTENT):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
                self.send_header("Content-Length", str(len(CONTENT) - start))
                self.end_headers()
                end = start + web.cuts.pop(0) if web.cuts else len(CONTENT)
                self.wfile.write(CONTENT[start:end])

            def log_message(self, *arguments):
                pass

        return Handler


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr(_download, "PAUSES", (0, 0))
    monkeypatch.setenv("no_proxy", "*")
    served = Web()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.bin"


def lies_alone(file):
    return [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_file_comes_whole_and_progress_ends_at_its_size(web, file):
    seen = []
    download(web.url, file, on_bytes=lambda done, total: seen.append((done, total)))
    assert file.read_bytes() == CONTENT
    assert lies_alone(file)
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_connection_that_breaks_is_taken_up_where_it_broke(web, file):
    web.cuts = [300_000, 200_000]
    seen = []
    download(web.url, file, on_bytes=lambda done, total: seen.append((done, total)))
    assert web.asked == [None, "bytes=300000-", "bytes=500000-"]
    assert file.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_server_without_ranges_sends_the_file_anew(web, file):
    web.ranges, web.cuts = False, [300_000]
    download(web.url, file)
    assert file.read_bytes() == CONTENT


def test_a_server_that_always_breaks_is_given_up(web, file):
    web.ranges, web.cuts = False, [300_000] * 10
    with pytest.raises(DownloadError, match=r"closed after 300,000 of 1,000,000 bytes"):
        download(web.url, file)
    assert len(web.asked) == 3
    assert not file.exists()


def test_a_later_call_goes_on_from_what_is_there(web, file):
    file.with_name("file.bin.part").write_bytes(CONTENT[:700_000])
    download(web.url, file)
    assert web.asked == ["bytes=700000-"]
    assert file.read_bytes() == CONTENT
    assert lies_alone(file)


def test_a_part_that_is_longer_than_the_file_is_thrown_away(web, file):
    file.with_name("file.bin.part").write_bytes(CONTENT + CONTENT)
    download(web.url, file)
    assert web.asked == ["bytes=2000000-", None]
    assert file.read_bytes() == CONTENT


def test_the_published_start_of_the_checksum_is_enough(web, file):
    download(web.url, file, sha256=hashlib.sha256(CONTENT).hexdigest()[:8])
    assert file.read_bytes() == CONTENT


def test_a_wrong_checksum_is_one_line_and_leaves_nothing(web, file):
    with pytest.raises(DownloadError, match=r"came damaged, .* not with 0badc0de; try again$") as error:
        download(web.url, file, sha256="0badc0de")
    assert "\n" not in str(error.value)
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("status", [404, 503])
def test_an_address_that_is_gone_is_asked_once_and_told_with_the_way_out(web, file, status):
    web.status = status
    with pytest.raises(
        DownloadError, match=rf"cannot download {web.url} \(HTTP {status} .*\); .* put it at .*file\.bin"
    ):
        download(web.url, file)
    assert len(web.asked) == 1
    assert list(file.parent.iterdir()) == []


def test_no_network_is_one_line_at_once(file, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(_download, "PAUSES", (3600,))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match=rf"cannot download {url} \(Connection refused\)"):
            download(url, file)
    assert list(file.parent.iterdir()) == []
