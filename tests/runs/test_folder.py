import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lit_makemore.runs.folder import RunFolder
from tests.conftest import ROOT


def test_without_a_name_the_first_free_suffix_is_taken(tmp_path):
    folders = [RunFolder(tmp_path, None, "deep") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:  # at once: none is shared
        paths = [*pool.map(RunFolder.open, folders), *pool.map(RunFolder.close, folders)]
    assert sorted(path.name for path in paths[:6]) == ["deep", *(f"deep-{n}" for n in range(2, 7))]


def test_the_lock_is_held_as_long_as_the_process_lives(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    code = "import sys; from lit_makemore.runs.folder import RunFolder; "
    code += "folder = RunFolder(sys.argv[1], 'x', ''); folder.open(); "
    code += "print('locked', flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"locked\n"
        with open(tmp_path / "x" / ".lock") as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process.kill()
            process.wait()
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "resume"), [(None, []), ("same", []), ("same", ["--resume", "auto"])]
)
def test_of_two_fits_at_once_neither_enters_the_others_folder(tmp_path, word_list, name, resume):
    arguments = [sys.executable, "train.py", "fit", "--data.path", str(word_list), *resume]
    arguments += ["--data.batch_size", "16", "--model.n_hidden", "10", "--runs_dir", str(tmp_path)]
    arguments += ["--trainer.max_steps", "2000", "--threads", "1"]  # longer than one lags
    arguments += ["--name", name] if name else []
    both = [
        subprocess.Popen(arguments, cwd=ROOT, stdout=-1, stderr=-1, text=True) for _ in range(2)
    ]
    errors = [process.communicate()[1].strip().splitlines()[-1] for process in both]
    statuses = sorted(process.returncode for process in both)
    runs = sorted(tmp_path.glob("*/summary.json"))
    if name is None:
        assert statuses == [0, 0]
        assert [run.parent.name for run in runs] == ["run", "run-2"]
    else:
        assert statuses == [0, 1]
        assert len(runs) == 1
        (error,) = [line for line in errors if line.startswith("error: ")]
        assert "exists" in error or "in use by another process" in error
    for run in runs:
        assert len(list(run.parent.glob("events.*"))) == 1


def test_a_folder_whose_run_was_killed_before_it_began_is_taken_unless_it_is_locked(tmp_path):
    first, second = (RunFolder(tmp_path, "b", "") for _ in range(2))
    first.open()
    with pytest.raises(BlockingIOError):
        RunFolder(tmp_path, "b", "").open()
    first.close()
    second.open()
    second.close()
    (tmp_path / "b" / "config.yaml").touch()
    (tmp_path / "c").mkdir()  # not of this program
    for name in "bc":
        with pytest.raises(FileExistsError, match="exists; continue it"):
            RunFolder(tmp_path, name, "").open()
