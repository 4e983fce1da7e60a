"""The files that `ordermgmt deploy` writes: for whom they are, and what it does with files that are there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result
from msgspec.structs import replace

from ordermgmt.__main__ import main
from ordermgmt.config import Config
from ordermgmt.deployment.compose import compose
from ordermgmt.deployment.plan import Options, configuration_file, in_containers, parts
from ordermgmt.system import SERVICES, service_names
from tests.contract.test_deployment import CONFIGURED


def deploy(kind: str, out: Path, *arguments: str) -> Result:
    return CliRunner(env={"ORDERMGMT_CONFIG": None}).invoke(main, ["deploy", kind, "--out", str(out), *arguments])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ('[sts]\nlisten = "127.0.0.1:0"', "sts.listen: has to name a port that the others can know"),
        (
            '[[order.issuers]]\nissuer = "x"\naudience = "x"\njwks_url = "https://x/"\nca_file = "ca.pem"',
            "order.issuers[0].ca_file: has to be the path in the container, from / on",
        ),
    ],
)
def test_what_cannot_be_deployed_is_one_line(tmp_path: Path, settings: str, line: str) -> None:
    (tmp_path / "bad.toml").write_text(settings)
    done = deploy("kubernetes", tmp_path / "out", "--config", str(tmp_path / "bad.toml"))
    assert (done.exit_code, done.stderr) == (1, f"Error: {line}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["docker", "compose", "kubernetes"])
def test_the_same_files_are_written_twice(tmp_path: Path, kind: str) -> None:
    assert deploy(kind, tmp_path / "one").exit_code == 0
    assert deploy(kind, tmp_path / "two").exit_code == 0
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        content = (tmp_path / "one" / name).read_text()
        assert content == (tmp_path / "two" / name).read_text()
        assert str(tmp_path) not in content
    again = deploy(kind, tmp_path / "one")
    assert again.stdout.count(": as it was\n") == len(files)


def test_what_was_changed_by_hand_is_kept(tmp_path: Path) -> None:
    assert deploy("kubernetes", tmp_path).exit_code == 0
    edited = tmp_path / "order.yaml"
    edited.write_text(edited.read_text().replace("replicas: 2", "replicas: 5"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    refused = deploy("kubernetes", tmp_path, "--replicas", "3")
    assert refused.exit_code == 1
    assert refused.stderr == f"Error: changed by hand: {edited}; --force overwrites them\n"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    forced = deploy("kubernetes", tmp_path, "--replicas", "3", "--force")
    assert forced.exit_code == 0
    assert "replicas: 3" in edited.read_text()
    # what nobody touched is replaced without a word of force
    assert deploy("kubernetes", tmp_path, "--replicas", "4").exit_code == 0
    assert "replicas: 4" in edited.read_text()


def test_the_compose_file_fits_the_schema_of_compose(tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text(CONFIGURED)
    for number, arguments in enumerate([(), ("--config", str(tmp_path / "here.toml"))]):
        out = tmp_path / str(number)
        assert deploy("compose", out, "--image", "shop/orders:7", *arguments).exit_code == 0
        check = [f"{Path(sys.executable).parent}/check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
        done = subprocess.run([*check, str(out / "compose.yaml")], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        services = yaml.safe_load((out / "compose.yaml").read_text())["services"]
        assert list(services) == service_names()
        assert {service["image"] for service in services.values()} == {"shop/orders:7"}
        assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in services.values())


def test_a_compose_file_hands_each_service_its_own_key() -> None:
    config = replace(Config(), suite=replace(Config().suite, database="postgresql://db/x", database_password_file="pw"))
    deployed = parts(SERVICES, config)
    found = compose(deployed, config, configuration_file(in_containers(config, deployed)), Options())
    for name, service in found["services"].items():
        keys = [secret["source"] for secret in service["secrets"] if secret["source"].endswith("-key")]
        assert keys == [f"{name}-key"]
        keeps_data = next(one.keeps_data for one in SERVICES if one.name == name)
        assert ("database-password" in str(service["secrets"])) is keeps_data
        assert ("database" in service["networks"]) is keeps_data
    assert found["secrets"]["database-password"] == {"file": "./pw"}


def instructions(out: Path) -> list[tuple[str, str]]:
    lines = (out / "Containerfile").read_text().splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name != "#"]


def test_the_image_starts_from_one_base_and_runs_as_nobody(tmp_path: Path) -> None:
    assert deploy("docker", tmp_path, "--base", "python:3.13-slim", "--user", "12345").exit_code == 0
    found = instructions(tmp_path)
    assert [rest for name, rest in found if name == "FROM"] == ["python:3.13-slim AS packages", "python:3.13-slim"]
    names = [name for name, _ in found]
    assert dict(found)["USER"] == "12345:12345"
    assert "RUN" not in names[names.index("USER") :]
    for name, rest in found:
        if name in {"RUN", "ENTRYPOINT", "CMD"}:
            assert msgspec.json.decode(rest, type=list[str])
    assert dict(found)["HEALTHCHECK"].endswith('CMD ["python", "-P", "-m", "ordermgmt.probe", "127.0.0.1:9400"]')
