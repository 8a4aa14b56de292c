import functools
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lit_makemore.training.native import build
from lit_makemore.training.native.build import BuildError
from tests.conftest import ROOT

FAKE = """#!/bin/sh
if [ "$1" = --version ]; then echo fake 1.0; exit 0; fi
{body}
"""
TEXT = 'for target; do :; done; echo text > "$target"'  # instead of a library


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder with a space in its path."""
    for thread in threading.enumerate():  # of a fit in a test before: it would build in this folder
        if thread.name.endswith("(build)"):  # `build.ahead`
            thread.join()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a cache"))
    build.library.cache_clear()
    yield tmp_path / "a cache" / "lit_makemore"
    build.library.cache_clear()


def use_compiler(tmp_path, monkeypatch, body: str) -> None:
    path = tmp_path / "compiler"
    path.write_text(FAKE.format(body=body))
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))


def test_it_is_built_once(cache, monkeypatch):
    build.library()
    (built,) = cache.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    before = built.stat().st_mtime_ns
    build.library.cache_clear()
    build.library()
    assert [*cache.iterdir()] == [built]
    assert built.stat().st_mtime_ns == before


def of_another_machine(path: Path) -> None:
    """Whole, by its name, and not a program of this machine."""
    text = b"an ELF of another machine"
    key, name = path.stem.rpartition("-")[0], hashlib.sha256(text).hexdigest()[:16]
    path.unlink()
    path.with_name(f"{key}-{name}.so").write_bytes(text)
    path.with_name(f"{key}-{name}.so").chmod(0o755)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE = {
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "a byte is another": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
    "of another machine": of_another_machine,
    "a pipe": a_pipe,
    "gone": Path.unlink,
}
AS_ROOT = {"of another user": lambda path: os.chown(path, 12345, 12345)}


@pytest.mark.parametrize("damage", [*DAMAGE, *AS_ROOT])
def test_a_cache_is_not_believed(cache, damage, tmp_path, monkeypatch):
    """Loaded, a library that was cut ends the process by SIGBUS or SIGSEGV."""
    if damage in AS_ROOT and os.getuid():
        pytest.skip("only root can give a file away")
    whole = Path(shutil.copy(_whole(), tmp_path))
    use_compiler(tmp_path, monkeypatch, f'for target; do :; done; cp {whole} "$target"')
    first = build._built()
    {**DAMAGE, **AS_ROOT}[damage](first)
    assert first not in (f for f in first.parent.iterdir() if build._is_as_built(f))
    code = "from lit_makemore.training.native import build; build.library()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert [path for path in cache.iterdir() if build._is_as_built(path)] == [first]


@functools.cache
def _whole() -> Path:
    """The library in the cache of this user, which other tests build too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XDG_CACHE_HOME", raising=False)
        return build._built()


def test_an_unreadable_library_is_built_again(cache, monkeypatch, tmp_path):
    use_compiler(tmp_path, monkeypatch, TEXT)
    first, read = build._built(), Path.read_bytes

    def refused(path):
        if path == first:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    before = first.stat().st_ino
    assert build._built() == first
    assert first.stat().st_ino != before


def test_another_processor_or_compiler_has_its_own(cache, tmp_path, monkeypatch):
    use_compiler(tmp_path, monkeypatch, TEXT)
    first = build._built()
    monkeypatch.setattr(build, "_processor", lambda: "another")
    second = build._built()
    use_compiler(tmp_path, monkeypatch, f"{TEXT} # other")
    assert build._built() == second  # told apart by its version only
    (tmp_path / "compiler").write_text((tmp_path / "compiler").read_text().replace("1.0", "2.0"))
    assert len({first, second, build._built()}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["-fopenmp", "-march=native"])
def test_a_compiler_without_some_flags_builds_as_well(cache, tmp_path, monkeypatch, flag):
    """Apple's, for one."""
    refusing = f'for a; do [ "$a" = {flag} ] && {{ echo "error: what?" >&2; exit 1; }}; done'
    use_compiler(tmp_path, monkeypatch, refusing + '\nexec g++ "$@"')
    build.library()


def test_without_a_compiler_there_is_a_remedy(cache, monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"there is no C\+\+ compiler; install g\+\+"):
        build.library()
    monkeypatch.setenv("CXX", "/nowhere/g++")
    with pytest.raises(BuildError, match=r"/nowhere/g\+\+ cannot be started \(No such file"):
        build.library()


@pytest.mark.parametrize("what", ["--version", "-shared"])
def test_a_compiler_that_does_not_end_is_named(cache, tmp_path, monkeypatch, what):
    monkeypatch.setattr(build, "PATIENCE", 0.5)
    body = f'case "$*" in *{what}*) exec sleep 100; esac; echo 1'
    monkeypatch.setattr(f"{__name__}.FAKE", "#!/bin/sh\n{body}\n")
    use_compiler(tmp_path, monkeypatch, body)
    with pytest.raises(BuildError, match="compiler .*/compiler does not end"):
        build.library()
    assert not cache.exists() or [*cache.iterdir()] == []


@pytest.mark.parametrize(
    ("fake", "body", "says"),
    [
        ("{body}", "printf '\\377' >&2; printf '\\377'; exit 1", r"cannot build native.cpp"),
        (FAKE, 'echo "warning" >&2; echo "error: no space" >&2; exit 1', r"cpp: error: no space"),
        # as in a folder that is mounted noexec
        (FAKE, TEXT, "cannot be loaded .*; let XDG_CACHE_HOME name a folder"),
    ],
)
def test_what_cannot_be_built_or_loaded_is_said(cache, tmp_path, monkeypatch, fake, body, says):
    monkeypatch.setattr(f"{__name__}.FAKE", f"#!/bin/sh\n{fake}")
    use_compiler(tmp_path, monkeypatch, body)
    with pytest.raises(BuildError, match=says):
        build.library()
    assert [path.suffix for path in cache.iterdir()] == [".so"] * (body == TEXT)


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    build.library.cache_clear()
    with pytest.raises(BuildError, match="nothing can be stored in .*; let XDG_CACHE_HOME name"):
        build.library()


@pytest.mark.slow
def test_two_processes_may_build_at_once(cache):
    code = "from lit_makemore.training.native import build; build.library()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len([*cache.iterdir()]) == 1


@pytest.mark.slow
def test_sigterm_during_the_build_saves_as_anywhere_else(cache, tmp_path, word_list, monkeypatch):
    started = tmp_path / "started"
    use_compiler(tmp_path, monkeypatch, f'touch {started}; sleep 2; exec g++ "$@"')
    command = [sys.executable, "train.py", "fit", "--data.path", str(word_list)]
    command += ["--data.batch_size", "16", "--trainer.max_steps", "100000", "--name", "run"]
    process = subprocess.Popen([*command, "--runs_dir", str(tmp_path)], cwd=ROOT)
    while not started.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(600) == 143
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_the_compiler_is_the_one_named_or_a_common_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert build.compiler() is None
    (tmp_path / "clang++").write_text("")
    (tmp_path / "clang++").chmod(0o755)
    assert build.compiler() == [str(tmp_path / "clang++")]
    monkeypatch.setenv("CXX", "ccache g++")
    assert build.compiler() == ["ccache", "g++"]
