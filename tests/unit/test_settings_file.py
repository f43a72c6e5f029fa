"""Where settings come from, and how values overlay each other."""

from pathlib import Path

import pytest

from relay import settings_file
from relay.settings_file import SettingsError, find, line_of, load


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_named_file_comes_before_the_environment(tmp_path: Path) -> None:
    one = write(tmp_path / "one.toml", "")
    two = write(tmp_path / "two.toml", "")
    assert find(one, {"CONSENT_RELAY_CONFIG": str(two)}) == one
    assert find(None, {"CONSENT_RELAY_CONFIG": str(two)}) == two


def test_search_order_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings_file, "SYSTEM_FILE", tmp_path / "etc.toml")
    with pytest.raises(SettingsError, match="no configuration file"):
        find(None, {})
    write(tmp_path / "relay.toml", "")
    assert find(None, {}) == Path("relay.toml")
    write(tmp_path / "etc.toml", "")
    assert find(None, {}) == tmp_path / "etc.toml"


def test_a_named_file_that_is_not_there_is_no_reason_to_look_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml does not exist"):
        find(tmp_path / "nowhere.toml", {})


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    write(tmp_path / "secret", "s")
    file = write(
        tmp_path / "relay.toml",
        'data_dir = "var"\n[upstream]\nusername = "u"\npassword_file = "secret"\n',
    )
    settings, where = load(file, {})
    assert where == file
    assert settings.data_dir == tmp_path / "var"
    assert settings.upstream.password_file == tmp_path / "secret"


def test_environment_overlays_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "relay.toml", "[smtp]\nmax_recipients = 5\nmax_errors = 7\n")
    settings, _ = load(
        file,
        {
            "RELAY__SMTP__MAX_RECIPIENTS": "6",
            "RELAY__HOSTNAME": "mx.example.org",
            "RELAY__SMTP__LISTENERS": '[{"address": "[::1]:2525"}]',
            "RELAY__UPSTREAM__ADDRESS": "[::1]:25",
            "RELAY__UPSTREAM__IMPLICIT_TLS": "true",
            "UNRELATED": "x",
        },
    )
    assert settings.smtp.max_recipients == 6
    assert settings.smtp.max_errors == 7
    assert settings.hostname == "mx.example.org"
    assert settings.smtp.listeners[0].address == "[::1]:2525"
    assert settings.upstream.address == "[::1]:25"
    assert settings.upstream.implicit_tls is True


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "RELAY__SMTP__MAX_RECIPIENTS",
            "many",
            'smtp.max_recipients must be a valid integer, not "many"',
        ),
        ("RELAY__SMTP__MAXIMUM", "1", "smtp.maximum is not a setting"),
        (
            "RELAY__HTTP__PUBLIC_URL",
            "http://example.org",
            "http.public_url must be https unless it is loopback, not http://example.org",
        ),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path, variable: str, value: str, sentence: str
) -> None:
    file = write(tmp_path / "relay.toml", "[smtp]\nmax_recipients = 5\n")
    with pytest.raises(SettingsError) as caught:
        load(file, {variable: value})
    assert str(caught.value).startswith(f"environment variable {variable}: {sentence}")


def test_byte_order_mark_and_crlf_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_bytes(b'\xef\xbb\xbfhostname = "a.example"\r\n[smtp]\r\nmax_errors = 3\r\n')
    settings, _ = load(file, {})
    assert (settings.hostname, settings.smtp.max_errors) == ("a.example", 3)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_bytes('[operator]\nname = "Caf\xe9"\n'.encode("latin-1"))
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(file, {})


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load(tmp_path, {})


def test_line_of_finds_inline_and_dotted_keys() -> None:
    text = 'a.b = 1\nc = { d = 2 }\n\n# note\nlong = """\nx\n"""\n[[e]]\nf = 1\n[[e]]\nf = 2\n'
    assert line_of(text, ("a", "b")) == 1
    assert line_of(text, ("c", "d")) == 2
    assert line_of(text, ("long",)) == 5
    assert line_of(text, ("e", 0, "f")) == 9
    assert line_of(text, ("e", 1, "f")) == 11
    assert line_of(text, ("e", 1, "missing")) == 10
    assert line_of(text, ("nowhere",)) is None


def test_https_and_loopback_public_urls(tmp_path: Path) -> None:
    for url in ("https://example.org", "http://localhost:8080", "http://[::1]:8080"):
        load(write(tmp_path / "relay.toml", f'[http]\npublic_url = "{url}"\n'), {})
