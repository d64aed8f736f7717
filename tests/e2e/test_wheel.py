"""The wheel beside a project of any shape: packages of its own under our names, in the folder that is worked in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from benchmarks.cluster import Api, clean
from callsheet.errors import SettingsError
from callsheet.orchestration.own_packages import load_own_packages
from tests.support.paths import ROOT
from tests.support.service import Service
from tests.support.waiting import wait_for

NAMES = ("cli", "deployments", "flows", "prompts", "tasks")
SHEET = "campaign,id,prompt\nlamps,red,a red lamp\nlamps,blue,a blue lamp\n"
ENTRYPOINTS = """
import json, sys
from callsheet.orchestration.own_packages import DEPLOYMENTS, PROMPTS, shipped
from prefect.flows import load_flow_from_entrypoint
from ruamel.yaml import YAML
text = (shipped(DEPLOYMENTS) / "prefect.yaml").read_text()
found = [one["entrypoint"] for one in YAML(typ="safe").load(text)["deployments"]]
names = [load_flow_from_entrypoint(one).name for one in found]
print(json.dumps([names, str(shipped(DEPLOYMENTS)), (shipped(PROMPTS) / "demo.csv").is_file()]))
"""


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and a project that has packages under the names of ours."""

    bin: Path
    project: Path
    env: dict[str, str]

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / argv[0]), *argv[1:]],
            cwd=self.project, env={**self.env, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and nothing of the repository; what it depends on is that of this process's environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    argv = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*argv, "--quiet", "--disable-pip-version-check", str(wheel)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    # A path in a .pth file: the .pth files that are there, of the repository's own installation, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def installed(environment: Path, service: Service, tmp_path: Path) -> Installed:
    project = tmp_path / "project"
    for name in NAMES:
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text(f"raise RuntimeError('the {name} of the project')\n")
    (project / "lamps.csv").write_text(SHEET)
    env = clean({"GOOGLE_GEMINI_BASE_URL": service.url, "CALLSHEET_HOME": str(tmp_path / "home")})
    return Installed(environment, project, {name: value for name, value in env.items() if name != "PYTHONPATH"})


@pytest.mark.long
def test_wheel_beside_packages_of_the_same_names_finds_its_own_flows_and_data(installed: Installed) -> None:
    done = installed.run("python", "-c", ENTRYPOINTS)
    assert done.returncode == 0, done.stderr
    names, data, has_samples = json.loads(done.stdout)
    assert {"content-batch", "content-shard", "collect"} < set(names)
    assert Path(data).parts[-2:] == ("callsheet", "deployments")
    assert has_samples
    checked = installed.run("callsheet", "check", "lamps.csv", "--json")
    assert (checked.returncode, json.loads(checked.stdout.splitlines()[-1])["shots"]) == (0, 2), checked.stderr


@pytest.mark.long
@pytest.mark.parametrize("command", ["deploy", "worker"])
@pytest.mark.quick_cases("deploy")
def test_file_that_hides_callsheet_from_runs_is_named_in_one_sentence(installed: Installed, command: str) -> None:
    hiding = installed.project / "callsheet.py"
    hiding.write_text("raise RuntimeError('the callsheet of the project')\n")
    done = installed.run("callsheet", command)
    assert done.returncode == 2, done.stderr
    assert f"{hiding} would hide the package callsheet" in done.stderr


def test_package_imported_before_ours_is_named_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ModuleType("tasks")
    theirs.__file__ = str(tmp_path / "tasks" / "__init__.py")
    monkeypatch.setitem(sys.modules, "tasks", theirs)
    with pytest.raises(SettingsError, match=re.escape(f"{theirs.__file__} hides callsheet's own package 'tasks'")):
        load_own_packages()


@pytest.mark.slow
def test_wheel_beside_packages_of_the_same_names_runs_deploys_and_works(installed: Installed) -> None:
    assert installed.run("callsheet", "init").returncode == 0
    ran = installed.run("callsheet", "run", "lamps.csv", "--json")
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout.splitlines()[-1])
    assert summary["images"]["created"] == 2
    url = re.search(r"Prefect UI: (http://\S+)", ran.stderr)
    assert url, ran.stderr
    worker: subprocess.Popen[bytes] | None = None
    try:
        deployed = installed.run("callsheet", "deploy", "--json")
        assert deployed.returncode == 0, deployed.stderr
        with (installed.project / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [installed.bin / "callsheet", "worker"],
                cwd=installed.project, env={**installed.env, "PREFECT_WORKER_QUERY_SECONDS": "2"},
                stdout=log, stderr=log,
            )  # fmt: skip
        api = Api(f"{url[1]}/api")
        deployments = json.loads(deployed.stdout.splitlines()[-1])["deployments"]
        start = f"deployments/{deployments['content-batch/on-demand']}/create_flow_run"
        run = str(api.ask(start, parameters={"manifest": "lamps.csv", "edition": "second"})["id"])
        wait_for(lambda: api.is_over(run), within_s=500)
        state = api.run(run)["state"]
        assert state["name"] == "Completed", (state, (installed.project / "worker.log").read_text())
        assert "2 of 2 shots done" in state["message"]
    finally:
        if worker is not None:
            for process in psutil.Process(worker.pid).children(recursive=True):
                process.terminate()
            worker.terminate()
            worker.wait(timeout=60)
        installed.run("callsheet", "ui", "--stop")
    assert [one.name for one in (installed.project / "flows").iterdir()] == ["__init__.py"]
