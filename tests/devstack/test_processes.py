"""The supervisor of `make run`, with small shell processes instead of the product's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.devstack.helpers import ROOT, all_gone, eventually, is_running

pytestmark = pytest.mark.slow

# Each process writes its PID to a file, and its name to another when it is told to stop.
SUPERVISE = """
import sys
from devstack.running.processes import Limits, Process, Supervisor

folder = sys.argv[1]
script = (
    "sh -c 'trap \\"echo $NAME >> {0}/stopped; exit 0\\" TERM; echo $$ > {0}/$NAME;"
    " while :; do sleep 0.05; done'"
).format(folder)

def process(name, command=script, **options):
    return Process(name, command, {"NAME": name}, **options)

PLANS = {
    "three": [process("web"), process("receiver", stops_last=True), process("worker")],
    "stubborn": [process("web", f"sh -c 'trap : TERM; echo $$ > {folder}/web; sleep 60 & wait;"
                                " wait; sleep 60'")],
    "lived long enough": [process("worker", "false")],
    "hopeless worker": [process("web"), process("worker", "false")],
    "hopeless web": [process("web", "false", essential=True), process("worker")],
}
limits = Limits(early_deaths=2, grace_s=float(sys.argv[3]))
if sys.argv[2] == "lived long enough":
    limits = Limits(early_s=0, early_deaths=1, grace_s=limits.grace_s)
sys.exit(Supervisor(PLANS[sys.argv[2]], limits).run())
"""


def supervise(folder: Path, plan: str, grace_s: float = 10) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(folder), plan, str(grace_s)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def number_of(folder: Path, name: str) -> int:
    """Returns the PID of a running process, once the process has written it."""
    path = folder / name
    text = eventually(lambda: path.exists() and path.read_text().strip())
    return int(text)


def below(supervisor: "subprocess.Popen[str]") -> set[int]:
    return {child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)}


def test_a_killed_process_is_restarted(tmp_path: Path) -> None:
    with supervise(tmp_path, "three") as supervisor:
        first = number_of(tmp_path, "worker")
        os.kill(first, signal.SIGKILL)

        eventually(lambda: number_of(tmp_path, "worker") != first)

        supervisor.send_signal(signal.SIGINT)
        output = supervisor.communicate()[0]
    assert "worker   | exited with -9, restarting in 1 s\n" in output
    assert supervisor.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_processes_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with supervise(tmp_path, "three") as supervisor:
        for name in ("web", "receiver", "worker"):
            number_of(tmp_path, name)
        pids = below(supervisor)

        supervisor.send_signal(number)

        supervisor.communicate()
    stopped = (tmp_path / "stopped").read_text().split()
    assert sorted(stopped[:2]) == ["web", "worker"]
    assert stopped[2:] == ["receiver"]
    assert supervisor.returncode == 0
    assert all_gone(pids)


def test_a_process_that_does_not_stop_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    with supervise(tmp_path, "stubborn", grace_s=0.2) as supervisor:
        number_of(tmp_path, "web")
        pids = below(supervisor)

        supervisor.send_signal(signal.SIGINT)

        supervisor.communicate(timeout=20)
    assert supervisor.returncode == 0
    eventually(lambda: all_gone(pids))


def test_second_signal_kills_at_once(tmp_path: Path) -> None:
    with supervise(tmp_path, "stubborn", grace_s=1000) as supervisor:
        web = number_of(tmp_path, "web")
        pids = below(supervisor)

        supervisor.send_signal(signal.SIGINT)
        assert is_running(web)
        supervisor.send_signal(signal.SIGTERM)

        supervisor.communicate(timeout=20)
    eventually(lambda: all_gone(pids))


def test_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    with supervise(tmp_path, "three") as supervisor:
        pids = {number_of(tmp_path, name) for name in ("web", "receiver", "worker")}

        supervisor.kill()

        eventually(lambda: all_gone(pids))


def test_a_failing_process_is_given_up_and_the_others_continue(tmp_path: Path) -> None:
    with supervise(tmp_path, "hopeless worker") as supervisor:
        assert supervisor.stdout
        lines = [supervisor.stdout.readline() for _ in range(2)]
        web = number_of(tmp_path, "web")

        assert lines == [
            "worker | exited with 1, restarting in 1 s\n",
            "worker | exited with 1, 2 times within 20 s of its start: not restarting it\n",
        ]
        assert is_running(web)
        supervisor.send_signal(signal.SIGINT)
        supervisor.communicate()
    assert supervisor.returncode == 0


def test_a_failing_essential_process_ends_the_run_with_an_error(tmp_path: Path) -> None:
    with supervise(tmp_path, "hopeless web") as supervisor:
        supervisor.communicate(timeout=20)

    assert supervisor.returncode == 1
    assert (tmp_path / "stopped").read_text() == "worker\n"


def test_a_process_that_ran_long_enough_is_always_restarted(tmp_path: Path) -> None:
    with supervise(tmp_path, "lived long enough") as supervisor:
        assert supervisor.stdout
        lines = [supervisor.stdout.readline() for _ in range(3)]
        supervisor.send_signal(signal.SIGINT)
        supervisor.communicate()

    assert lines == ["worker | exited with 1, restarting in 1 s\n"] * 3
