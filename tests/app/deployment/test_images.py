"""Images, compose file, units and connection: checked as text and by structure, for no engine is here to run them."""

import configparser
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import typer
import yaml

from app.cli import app
from app.config import FIELDS
from tests.app.deployment.conftest import NAMES

ROLES = {"superlink": "superlink", "serverapp": "superlink", "supernode": "supernode"}


def _compose(made: Path) -> dict:
    return yaml.safe_load((made / "compose.yaml").read_text())


def _dockerfile(repository: Path, role: str) -> list[tuple[str, str]]:
    text = (repository / "deploy" / f"Dockerfile.{role}").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def _parses(verb: str, arguments: list[str]) -> None:
    """Whether the command line takes these arguments."""
    command = typer.main.get_command(app)
    assert isinstance(command, click.Group)
    command.commands[verb].make_context(verb, list(arguments))


def test_the_compose_file_is_whole(made: Path) -> None:
    table = _compose(made)
    assert set(table) == {"services", "volumes"}
    assert set(table["services"]) == {"superlink", "serverapp", *NAMES}
    for name, service in table["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "${CHORUS_UID:-1000}"
        role = name if name in ROLES else "supernode"
        assert service["build"]["dockerfile"] == f"deploy/Dockerfile.{role}"
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            if source.startswith("./"):
                assert (made / source).is_dir(), volume
                assert mode == ["ro"], "a container may not write into a kit"
            else:
                assert target == "/state"
                assert source in table["volumes"]
        _parses(ROLES[role], service["command"])
    assert table["services"]["superlink"]["ports"] == ["8000:8000"]
    assert not any("ports" in table["services"][name] for name in (*NAMES, "serverapp"))


def test_no_container_sees_another_ones_keys(made: Path) -> None:
    services = _compose(made)["services"]
    for name in NAMES:
        mounted = [volume.split(":")[0] for volume in services[name]["volumes"] if volume.startswith("./")]
        assert all(source.startswith(f"./nodes/{name}") for source in mounted)
    assert not any("authority" in volume for service in services.values() for volume in service["volumes"])


@pytest.mark.parametrize("role", ROLES)
def test_an_image_is_plain_pinned_and_not_root(repository: Path, role: str) -> None:
    steps = _dockerfile(repository, role)
    keys = [key for key, _ in steps]
    assert steps[0] == ("FROM", "python:3.11-slim")
    assert keys.index("USER") > max(at for at, key in enumerate(keys) if key in ("RUN", "COPY"))
    (install,) = [value for key, value in steps if key == "RUN" and "pip install" in value]
    assert "-c /build/constraints.txt" in install
    (entry,) = [value for key, value in steps if key == "ENTRYPOINT"]
    assert yaml.safe_load(entry) == ["python", "-P", "-m", "app", ROLES[role]]
    (command,) = [value for key, value in steps if key == "CMD"]
    _parses(ROLES[role], yaml.safe_load(command))
    for key, value in steps:
        if key == "COPY" and not value.startswith(". "):
            for source in value.split()[:-1]:
                assert (repository / source).exists()


def test_images_install_what_pyproject_says(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "packages.py").write_text((repository / "deploy" / "packages.py").read_text())
    (tmp_path / "pyproject.toml").write_text((repository / "pyproject.toml").read_text())
    wanted = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["dependencies"]

    def printed(*arguments: str) -> list[str]:
        command = [sys.executable, str(tmp_path / "packages.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert printed() == wanted
    assert not any("simulation" in line for line in wanted), "no Ray on devices"
    fewer = printed("--without", "torch", "opacus")
    assert [line for line in wanted if line not in fewer] == [
        line for line in wanted if re.match(r"[a-z]+", line)[0] in ("torch", "opacus")
    ]


def test_the_superlink_needs_none_of_what_its_image_leaves_out(
    repository: Path, made: Path, tmp_path: Path
) -> None:
    """The program comes as far as its kit without torch and the others; without the block it would as well."""
    (install,) = [value for key, value in _dockerfile(repository, "superlink") if "--without" in value]
    left_out = install.partition("--without ")[2].partition(" >")[0].split()
    modules = [
        {"scikit-learn": "sklearn", "dp-accounting": "dp_accounting"}.get(name, name) for name in left_out
    ]
    assert "torch" in modules
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}));"
        "from app.deployment import registry, serving; from app.cli import main;"
        f"sys.argv = ['x', 'superlink', {str(tmp_path / 'no kit')!r}]; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no kit" in done.stderr


@pytest.mark.parametrize(
    "unit", ["server/chorus-superlink", "server/chorus-superexec", "nodes/hospital-1/chorus-supernode"]
)
def test_a_unit_starts_a_script_that_is_there(made: Path, repository: Path, unit: str) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((made / f"{unit}.service").read_text())
    script, *arguments = shlex.split(parser["Service"]["ExecStart"])
    assert (repository / Path(script).relative_to("/opt/chorus")).is_file()
    _parses(Path(script).name, arguments)
    assert parser["Service"]["User"] == "chorus"
    assert parser["Service"]["Restart"] == "on-failure"
    kit, state = Path(arguments[0]), Path(arguments[arguments.index("--state") + 1])
    assert kit.parent == Path("/etc/chorus")
    assert state.is_relative_to(parser["Service"]["ReadWritePaths"].split()[0])


def test_whoever_submits_has_a_connection_and_a_run(made: Path) -> None:
    link = tomllib.loads((made / "submit" / "config.toml").read_text())["superlink"]
    assert link["default"] == "chorus"
    assert link["chorus"]["address"] == "localhost:8000"
    assert Path(link["chorus"]["root-certificates"]).read_bytes() == (made / "server" / "ca.crt").read_bytes()
    assert "insecure" not in link["chorus"]
    run = tomllib.loads((made / "submit" / "run.toml").read_text())
    assert run["clients"] == len(NAMES)
    assert run["roster"] == "roster.json"
    assert run["roster-authority"] == (made / "server" / "authority.pub").read_text().strip()
    assert set(run) - {"roster", "roster-authority"} <= set(FIELDS)
    assert {path.name for path in (made / "submit").iterdir()} == {"ca.crt", "config.toml", "run.toml"}


def test_the_policy_of_a_kit_is_one(made: Path) -> None:
    from clients.policy import Policy
    from secagg.bounds import Adversary

    policy = Policy.load(made / "nodes" / "hospital-1" / "policy.toml")
    assert policy.keys.adversary is Adversary.ACTIVE
    assert policy.keys.min_cohort == 3
    assert policy.keys.min_threshold == 2
