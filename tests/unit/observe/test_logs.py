"""What stands on stderr, and what pflogsumm makes of it."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.observe.lines import Arrived, Fate, Queued
from relay.observe.logs import configure, write
from relay.settings import Log

PFLOGSUMM = shutil.which("pflogsumm", path="/usr/sbin:/usr/bin:/usr/local/bin")
PEPPER = b"p" * 32
EVIL = "x\r\nNov 22 06:00:00 mx relay/smtp[1]: EVIL: forged\u2028\x85\x0b"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("uvicorn.error", "alembic")}
    yield
    root.handlers[:], root.level = handlers, level
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def _log(**settings: str) -> io.StringIO:
    stream = io.StringIO()
    configure(Log.model_validate(settings), "mx.example", PEPPER, stream)
    return stream


def _fate(status: str, to: str = "bob@example.org", code: str = "250 2.0.0 Ok") -> Fate:
    return Fate("F00D", to, status, code, relay="mx[192.0.2.1]:25", delay=1.5, tenant="shop")


def test_text_line_has_a_syslog_beginning() -> None:
    stream = _log()
    write(_fate("sent"))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d mx\.example relay/smtp\[\d+\]:"
        r" F00D: to=<bob@example\.org>, .*, rule=-\n",
        stream.getvalue(),
    )


def test_time_is_that_of_the_record() -> None:
    stream = _log()
    handler = logging.getLogger().handlers[-1]
    for created, shown in ((1_800_000_000.25, ".250"), (1_800_000_000.999, ".999")):
        record = logging.makeLogRecord(
            {"msg": "x", "created": created, "name": "relay.app", "levelno": logging.ERROR}
        )
        handler.handle(record)
        assert shown in stream.getvalue().splitlines()[-1]
    record = logging.makeLogRecord(
        {"msg": "x", "created": 1_800_000_061.0, "name": "relay.app", "levelno": logging.ERROR}
    )
    handler.handle(record)
    first, _, last = (line[17:19] for line in stream.getvalue().splitlines())
    assert (int(last) - int(first)) % 60 == 1, "the kept second is let go"


def test_other_records_carry_their_part_and_severity() -> None:
    stream = _log()
    logging.getLogger("relay.egress.upstream").warning("slow %s", "mx")
    logging.getLogger("relay.app").info("ready smtp 127.0.0.1:2525")
    logging.getLogger("uvicorn.error").info("chatter")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert re.search(r" relay/egress\[\d+\]: warning: slow mx$", lines[0])
    assert re.search(r" relay/app\[\d+\]: ready smtp 127\.0\.0\.1:2525$", lines[1])


def test_level_is_heeded() -> None:
    stream = _log(level="error")
    logging.getLogger("relay.app").warning("x")
    assert stream.getvalue() == ""


def test_configured_again_nothing_is_doubled() -> None:
    first = _log()
    second = _log()
    write(_fate("sent"))
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def _raise() -> None:
    raise ValueError(EVIL)


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_that_comes_from_outside_starts_a_line(form: str) -> None:
    stream = _log(format=form)
    write(Fate(f"{'F00D'}", EVIL, "deferred", EVIL, relay=EVIL, dsn=EVIL))
    write(Queued("F00D", EVIL, 1, 1, "shop", "news", "commercial"))
    write(Arrived("F00D", EVIL, EVIL, "shop"))
    logging.getLogger("relay.smtp").warning("client said %s", EVIL)
    text = stream.getvalue()
    assert len(text.splitlines()) == text.count("\n") == 4
    try:
        _raise()
    except ValueError:
        logging.getLogger("relay.smtp").exception("unexpected %s", EVIL)
    begins = (
        r"\{\"time\"" if form == "json" else r"\d{4}-\d\d-\d\dT\S+ mx\.example relay/\w+\[\d+\]: "
    )
    assert all(re.match(begins, line) for line in stream.getvalue().splitlines())
    assert "ValueError" in stream.getvalue()


def test_json_is_one_object_a_line_with_all_fields() -> None:
    stream = _log(format="json")
    write(_fate("sent"))
    logging.getLogger("relay.app").info("ready")
    fate, other = (json.loads(line) for line in stream.getvalue().splitlines())
    expected = {
        "event": "fate",
        "program": "relay/smtp",
        "host": "mx.example",
        "level": "info",
        "id": "F00D",
        "to": "bob@example.org",
        "relay": "mx[192.0.2.1]:25",
        "delay": 1.5,
        "dsn": "2.0.0",
        "status": "sent",
        "reply": "250 2.0.0 Ok",
        "tenant": "shop",
        "list": "",
        "reason": None,
        "rule": None,
    }
    assert expected.items() <= fate.items()
    assert other["message"] == "ready"
    assert other["program"] == "relay/app"


@pytest.mark.parametrize("form", ["text", "json"])
def test_hash_leaves_no_address_anywhere(form: str) -> None:
    stream = _log(format=form, addresses="hash")
    write(_fate("bounced", code="550 5.1.1 <bob@example.org>: no such user"))
    write(Queued("F00D", "news@shop.test", 1, 1, "shop", "news", "commercial"))
    logging.getLogger("relay.egress").warning("refused bob@example.org")
    text = stream.getvalue()
    assert "bob@" not in text
    assert "news@" not in text
    assert "no such user" in text


@pytest.mark.skipif(PFLOGSUMM is None, reason="pflogsumm is not installed")
def test_pflogsumm_counts_right(tmp_path: Path) -> None:
    stream = _log()
    write(Arrived("F00D", "192.0.2.7", "shop-wp", "shop"))
    write(Queued("F00D", "news@shop.test", 4096, 6, "shop", "news", "commercial"))
    write(Arrived("BEEF", "2001:db8::1", "-", "club"))
    write(Queued("BEEF", "", 1024, 1, "club", "", "auto"))
    write(_fate("sent"))
    write(_fate("sent", "ann@example.net"))
    write(_fate("sent", "O'Hara+x@example.net"))
    write(_fate("deferred", "cas@example.com", "451 4.7.1 try later, please (greylisted)"))
    write(_fate("bounced", "dirk@example.com", "550 5.1.1 no such user"))
    write(_fate("held", "eva@example.com", "no consent on record"))
    write(_fate("dropped", "fay@example.com", "the recipient unsubscribed"))
    logging.getLogger("relay.store").warning("disk is slow")
    log = tmp_path / "mail.log"
    log.write_text(stream.getvalue())
    report = subprocess.run(
        [str(PFLOGSUMM), "--syslog-name=relay", "--no_no_msg_size", str(log)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/bin"},
    )
    assert report.stderr == ""
    total = {
        words[1]: words[0]
        for words in (line.split(maxsplit=1) for line in report.stdout.splitlines())
        if len(words) == 2 and words[0].rstrip("k").isdigit()
    }
    assert total["received"] == "2"
    assert total["delivered"] == "3"
    assert total["deferred  (1  deferrals)"] == "1"
    assert total["bounced"] == "1"
    assert total["bytes received"] == "5120"
    assert total["bytes delivered"] == "12288"
    assert total["recipients"] == "3"
    assert total["senders"] == "2"
    assert "disk is slow" in report.stdout
    assert "no such user" in report.stdout


async def test_lines_of_a_moment_are_written_at_once_and_grave_ones_without_delay() -> None:
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            Counting.writes += 1
            return super().write(text)

    stream = Counting()
    configure(Log(), "host.test", PEPPER, stream)
    for number in range(3):
        logging.getLogger("relay.app").info("line %d", number)
    assert stream.getvalue() == ""
    logging.getLogger("relay.app").error("grave")
    assert Counting.writes == 1
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["0", "1", "2", "grave"]
    logging.getLogger("relay.app").info("later")
    configure(Log(), "host.test", PEPPER, io.StringIO())
    assert stream.getvalue().endswith("later\n")
