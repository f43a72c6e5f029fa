"""What the repository promises about itself: names, locks, scripts, where things may be said."""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "relay"
MODULES = sorted(PACKAGE.rglob("*.py"))


def tracked() -> list[Path]:
    """Every file that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


# --- locks ------------------------------------------------------------------------------------


def locked(name: str) -> dict[str, str]:
    """``{package: version}`` of a lock file."""
    text = (ROOT / name).read_text("utf-8")
    return {
        canonicalize_name(package): version
        for package, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.M)
    }


def declared() -> tuple[list[Requirement], list[Requirement]]:
    """Runtime (with the extra) and development requirements of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    runtime = [*project["project"]["dependencies"]]
    runtime += project["project"]["optional-dependencies"]["uvloop"]
    return (
        [Requirement(line) for line in runtime],
        [Requirement(line) for line in project["dependency-groups"]["dev"]],
    )


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_a_hash_for_everything_and_says_not_where_from(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    assert len(blocks) > 20
    for block in blocks:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), block.splitlines()[0]
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in text
    assert not re.search(r"^-", text, re.M)


def test_the_locks_satisfy_pyproject() -> None:
    runtime, development = declared()
    for requirements, lock in (
        (runtime, locked("requirements.lock")),
        (runtime + development, locked("requirements-dev.lock")),
    ):
        for requirement in requirements:
            version = lock.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not locked"
            assert requirement.specifier.contains(version, prereleases=True), requirement


def test_both_locks_name_the_same_versions() -> None:
    development = locked("requirements-dev.lock")
    for name, version in locked("requirements.lock").items():
        assert development[name] == version


# --- scripts ----------------------------------------------------------------------------------


def test_ci_runs_from_a_fresh_clone() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, ".ci/run is not executable"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "exec make test" in script.read_text("utf-8")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["setup", "run", "test", "check", "bench"])
def test_make_knows_what_the_contract_names(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


# --- what may be said where ---------------------------------------------------------------------


def test_nothing_names_a_machine_of_ours() -> None:
    forbidden = re.compile(
        "|".join(
            ("/" + "work/", "/" + "root/", "/" + "opt/pypi", r"/home/\w", "registry" + r"\.npm")
        )
    )
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if forbidden.search(line)
        ]
    assert found == []


def test_no_module_is_called_by_what_it_is_not_about() -> None:
    vague = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert [path for path in tracked() if path.name in vague] == []


def test_nothing_is_left_to_do() -> None:
    words = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if words.search(line)
    ]
    assert found == []


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call in a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_time_and_tasks_come_from_their_one_place() -> None:
    clock = re.compile(
        r"time\.(time|monotonic|time_ns)|(.*\.)?datetime\.(now|utcnow|today)|(.*\.)?date\.today"
    )
    task = re.compile(r"(.*\.)?(create_task|ensure_future)")
    found = []
    for path in MODULES:
        place = str(path.relative_to(PACKAGE))
        for number, name in calls(path):
            if (place != "clock.py" and clock.fullmatch(name)) or (
                place != "tasks.py" and task.fullmatch(name)
            ):
                found.append(f"{place}:{number}: {name}")
    assert found == []


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and value of every string in a module that is no docstring."""
    tree = ast.parse(path.read_text("utf-8"), str(path))
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documents
        ):
            yield node.lineno, node.value


def test_replies_and_metrics_are_named_in_their_one_place() -> None:
    reply = re.compile(r"[245]\d\d[ -][245]\.\d{1,3}\.\d.*", re.S)
    metric = re.compile(r"relay_[a-z_]+_(total|seconds|messages|sessions|rate|listed|info)")
    found = []
    for path in MODULES:
        place = path.relative_to(PACKAGE)
        # the demo's upstream is a small SMTP server of its own
        speaks = place.parts[0] in ("smtp", "egress", "demo")
        for number, value in strings(path):
            if (not speaks and reply.fullmatch(value)) or (
                str(place) != "observe/metrics.py" and metric.fullmatch(value)
            ):
                found.append(f"{place}:{number}: {value}")
    assert found == []


Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(node: ast.Module | ast.ClassDef) -> Iterator[Documented]:
    """Public classes, functions and methods; what overrides is documented by its base."""
    for child in node.body:
        if not isinstance(child, Documented) or child.name.startswith("_"):
            continue
        if isinstance(child, ast.ClassDef):
            yield child
            yield from public(child)
        elif isinstance(node, ast.Module) or not node.bases:
            yield child


def test_whatever_is_public_says_what_it_does() -> None:
    found = []
    for path in MODULES:
        tree = ast.parse(path.read_text("utf-8"), str(path))
        place = path.relative_to(PACKAGE)
        if tree.body and not ast.get_docstring(tree):
            found.append(f"{place}")
        found += [
            f"{place}:{node.lineno}: {node.name}"
            for node in public(tree)
            if not ast.get_docstring(node)
        ]
    assert found == []
