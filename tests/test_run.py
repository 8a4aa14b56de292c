import subprocess
import sys
from time import sleep

import pytest

from lit_makemore.run import create_run


def test_without_a_name_the_first_free_suffix_is_taken(tmp_path):
    names = [create_run(tmp_path, None, "deep").path.name for _ in range(3)]
    assert names == ["deep", "deep-2", "deep-3"]


def test_a_taken_name_is_an_error(tmp_path):
    create_run(tmp_path, "mine", "deep")
    with pytest.raises(FileExistsError, match="choose another --name"):
        create_run(tmp_path, "mine", "deep")


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc"])
def test_a_name_stays_inside_the_folder_of_runs(tmp_path, name):
    with pytest.raises(ValueError, match="plain folder name"):
        create_run(tmp_path, name, "deep")


def test_runs_started_at_once_never_share_a_folder(tmp_path):
    code = "import sys; from lit_makemore.run import *; "
    code += "print(create_run(sys.argv[1], None, 'x').path)"
    started = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    paths = [process.communicate()[0].strip() for process in started]
    assert len(set(paths)) == 6


def test_the_lock_is_held_as_long_as_the_process_lives(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    code = (
        f"from lit_makemore.run import create_run; create_run({str(tmp_path)!r}, 'x', ''); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        while not (tmp_path / "x" / ".lock").exists():
            sleep(0.01)
        sleep(0.1)
        with open(tmp_path / "x" / ".lock") as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process.kill()
            process.wait()
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
