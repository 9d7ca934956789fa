"""``dockwright stack install``: settings and secrets, once and whole, and nobody else's to read."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests._support.project import LIMIT_S, Project, free_port, plain_service
from tests.cli.test_terminal import on_terminal

pytestmark = pytest.mark.engine

FOREVER = "exec tail -f /dev/null"
WEB = plain_service("web", FOREVER, ["environment: {TOKEN: '${TOKEN:?needed}'}"])
SECRETS = "x-dockwright: {secrets: [TOKEN, OTHER]}"
BARE = ("--no-check", "--no-pull")  # neither is what these tests are about


def home(project: Project) -> Path:
    return Path(project.environ["XDG_CONFIG_HOME"], "dockwright", project.name)


def variables(project: Project) -> dict[str, str]:
    lines = (home(project) / ".env").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def with_environ(project: Project, **more: str) -> Project:
    environ: Mapping[str, str] = {**project.environ, **more}
    return replace(project, environ=environ)


def test_install_writes_settings_and_secrets_that_only_the_owner_can_read(project: Project) -> None:
    project.write(WEB, SECRETS)
    result = project.done("stack", "install")
    made = home(project)
    assert result.err.splitlines()[-3:] == [
        "generated secrets: TOKEN, OTHER",
        f"installed {project.name} in {made}",
        f"start it with: dockwright stack start -p {project.name}",
    ]
    assert "web: image ready" in result.err
    assert re.search(r"\d checks passed", result.err)
    assert [mode(path) for path in (made, made / ".env", made / "settings.toml")] == [
        0o700,
        0o600,
        0o600,
    ]
    assert sorted(path.name for path in made.iterdir()) == [".env", "settings.toml"]
    secrets = variables(project)
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", each) for each in secrets.values())
    assert len(set(secrets.values())) == 2


def test_a_second_install_changes_nothing(project: Project) -> None:
    project.write(WEB, SECRETS)
    project.done("stack", "install", *BARE)
    before = {path.name: path.stat() for path in home(project).iterdir()}
    result = project.done("stack", "install")
    assert (
        result.err == f"{project.name} is already installed in {home(project)}: nothing changed\n"
    )
    assert {path.name: path.stat() for path in home(project).iterdir()} == before


def test_an_installed_stack_is_found_by_its_name_from_anywhere(
    project: Project, tmp_path: Path
) -> None:
    project.write(f"{WEB}\n{plain_service('extra', FOREVER, ['profiles: [more]'])}", SECRETS)
    project.done("stack", "install", *BARE, "--profile", "more")
    elsewhere = replace(project, directory=tmp_path)
    shown = elsewhere.done("stack", "config", "-p", project.name).out
    assert variables(project)["TOKEN"] in shown
    assert "extra:" in shown
    assert variables(project)["TOKEN"] in project.done("stack", "config").out
    assert "extra" in project.done("stack", "config", "--services").out


def test_an_unknown_name_lists_the_installed_stacks(project: Project, tmp_path: Path) -> None:
    project.write(WEB, SECRETS)
    project.done("stack", "install", *BARE)
    elsewhere = replace(project, directory=tmp_path)
    missing = elsewhere.run("stack", "status", "-p", "nobody")
    assert missing.code == 2
    assert missing.err.startswith(
        f"error: unknown stack 'nobody': it is not installed in {home(project).parent}, "
        f"and there is no Compose file in {tmp_path} or above it\n"
        f"  hint: known stacks: {project.name}"
    )
    assert missing.err.endswith("`dockwright stack install -f FILE`\n")
    unreachable = with_environ(elsewhere, DOCKER_HOST="unix:///nonexistent")
    assert f"stacks: {project.name}; " in unreachable.run("stack", "config", "-p", "no").err


def test_the_name_of_a_stack_that_is_not_installed_names_its_compose_file(
    project: Project, tmp_path: Path
) -> None:
    project.write(plain_service("web", FOREVER))
    project.done("stack", "start")
    elsewhere = replace(project, directory=tmp_path)
    missing = elsewhere.run("stack", "status", "-p", project.name)
    assert missing.code == 2
    option = f"-f {project.directory / 'compose.yaml'}"
    assert missing.err.endswith(f"was started from another directory: add {option}\n")
    found = elsewhere.done("stack", "status", "-p", project.name, *option.split())
    assert "running" in found.out
    other = elsewhere.run("stack", "status", "-p", "nobody")
    assert f"{project.name} (not installed)" in other.err


def test_the_environment_wins_over_secrets_and_secrets_over_dotenv(project: Project) -> None:
    project.write(WEB, SECRETS)
    (project.directory / ".env").write_text("TOKEN=from-dotenv\n")
    project.done("stack", "install", *BARE)
    assert f"TOKEN: {variables(project)['TOKEN']}" in project.done("stack", "config").out
    shown = with_environ(project, TOKEN="from-process").done("stack", "config").out
    assert "TOKEN: from-process" in shown


def test_different_settings_need_a_terminal_or_force(
    project: Project,
) -> None:
    project.write(WEB, SECRETS)
    project.write(plain_service("more", FOREVER), file="more.yaml")
    project.done("stack", "install", *BARE)
    (home(project) / "notes.txt").write_text("mine")
    secrets = variables(project)
    files = ("-f", "compose.yaml", "-f", "more.yaml")
    refused = project.run("stack", "install", *BARE, *files)
    assert refused.code == 2
    first, second = (project.directory / name for name in ("compose.yaml", "more.yaml"))
    assert refused.err.splitlines() == [
        f"error: {project.name} is installed with different settings:",
        f"  files: {first} -> {first}, {second}",
        "  hint: add --force to replace them; secrets and data are kept",
    ]
    assert "more.yaml" not in (home(project) / "settings.toml").read_text()
    project.done("stack", "install", *BARE, *files, "--force")
    assert "more.yaml" in (home(project) / "settings.toml").read_text()
    assert variables(project) == secrets
    assert (home(project) / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_on_a_terminal_install_asks(project: Project, answer: str, code: int) -> None:
    project.write(WEB, SECRETS)
    project.done("stack", "install", *BARE)
    command = ("stack", "install", *BARE, "--profile", "more")
    ended, shown = on_terminal(project, *command, answer={"[y/N]": answer})
    assert ended == code
    assert "profiles: none -> more" in shown
    assert ("nothing was changed" in shown) is bool(code)
    assert ('"more"' in (home(project) / "settings.toml").read_text()) is not bool(code)


def test_new_secrets_replace_only_what_is_declared(project: Project) -> None:
    project.write(WEB, SECRETS)
    project.done("stack", "install", *BARE)
    with (home(project) / ".env").open("a") as file:
        file.write("# mine\nMINE='stays as it is'\n")
    before = variables(project)
    project.done("stack", "install", *BARE, "--new-secrets")
    after = variables(project)
    assert before["TOKEN"] != after["TOKEN"]
    assert before["OTHER"] != after["OTHER"]
    assert after["MINE"] == "'stays as it is'"
    assert "# mine" in (home(project) / ".env").read_text()


def test_a_newly_declared_secret_is_added(project: Project) -> None:
    project.write(WEB, SECRETS)
    project.done("stack", "install", *BARE)
    before = variables(project)
    project.write(WEB, "x-dockwright: {secrets: [TOKEN, OTHER, THIRD]}")
    assert "generated secrets: THIRD\n" in project.done("stack", "install", *BARE).err
    assert before.items() <= variables(project).items()


def test_loose_file_modes_are_tightened_and_reported(project: Project) -> None:
    project.write(WEB, SECRETS)
    project.done("stack", "install", *BARE)
    made = home(project)
    made.chmod(0o755)
    (made / ".env").chmod(0o644)
    result = project.done("stack", "install", *BARE)
    assert f"removed the permissions of other users on {made}\n" in result.err
    assert f"removed the permissions of other users on {made / '.env'}\n" in result.err
    assert (mode(made), mode(made / ".env")) == (0o700, 0o600)


def test_the_option_wins_over_the_variable_and_the_variable_over_the_default(
    project: Project, tmp_path: Path
) -> None:
    project.write(WEB, SECRETS)
    chosen = with_environ(project, DOCKWRIGHT_CONFIG_DIR=str(tmp_path / "variable"))
    chosen.done("stack", "install", *BARE)
    chosen.done("stack", "install", *BARE, "--config-dir", str(tmp_path / "option"))
    assert (tmp_path / "variable" / project.name / "settings.toml").exists()
    assert (tmp_path / "option" / project.name / "settings.toml").exists()
    assert not home(project).exists()


def test_a_failed_check_installs_nothing(project: Project) -> None:
    port = free_port()
    project.write(plain_service("web", FOREVER, [f"ports: ['127.0.0.1:{port}:80']"]), SECRETS)
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", port))
        taker.listen()
        refused = project.run("stack", "install")
    assert refused.code == 1
    assert f"fail: port {port}/tcp: for web: in use by a process on this host" in refused.err
    assert refused.err.endswith(
        f"error: 1 check failed: {project.name} was not installed\n"
        "  hint: fix this, or skip the checks with --no-check\n"
    )
    assert not home(project).exists()


def test_ctrl_c_leaves_nothing(project: Project) -> None:
    dockerfile = f"FROM {project.image}\\nRUN tail -f /dev/null"
    project.write(f'web: {{build: {{context: ., dockerfile_inline: "{dockerfile}"}}}}', SECRETS)
    with project.popen("stack", "install", "--no-check") as process:
        assert process.stderr
        next(line for line in process.stderr if "building" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
        assert process.stderr.read().endswith("error: interrupted\n")
    assert not home(project).exists()


def test_existing_data_keeps_the_secrets_it_was_created_with(project: Project) -> None:
    project.write(plain_service("web", FOREVER, ["volumes: ['data:/data']"]), "volumes: {data: {}}")
    project.done("stack", "start")
    project.write(WEB, f"{SECRETS}\nvolumes: {{data: {{}}}}")
    (project.directory / ".env").write_text("TOKEN=it's the old one\n")
    project.done("stack", "install", "--no-pull", "--no-check")
    assert variables(project)["TOKEN"] != "'it\\'s the old one'"  # the engine was not asked
    (home(project) / ".env").unlink()
    project.done("stack", "install", "--no-pull")
    assert variables(project)["TOKEN"] == "'it\\'s the old one'"
    assert "TOKEN: it's the old one" in project.done("stack", "config").out


def test_unreadable_settings_are_reported_and_replaced_with_force(project: Project) -> None:
    project.write(WEB, SECRETS)
    project.done("stack", "install", *BARE)
    file = home(project) / "settings.toml"
    file.write_text("format = 1\n")
    refused = project.run("stack", "install", *BARE)
    assert refused.code == 2
    assert refused.err == (
        f"error: cannot read {file}: 'project' is missing\n"
        "  hint: replace it with `dockwright stack install --force`\n"
    )
    project.done("stack", "install", *BARE, "--force")
    project.done("stack", "config", "-p", project.name)


def test_a_config_directory_that_cannot_be_created(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "below"
    project.write(WEB, SECRETS)
    refused = project.run("stack", "install", *BARE, "--config-dir", str(place))
    assert refused.code == 1
    assert "Not a directory\n  hint: a file is in the way: move it elsewhere\n" in refused.err
    assert str(place) in refused.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_config_directory_without_write_permission(project: Project, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    project.write(WEB, SECRETS)
    refused = project.run("stack", "install", *BARE, "--config-dir", str(tmp_path / "no"))
    tmp_path.chmod(0o700)
    assert refused.code == 1
    assert "Permission denied" in refused.err


def test_a_wrong_project_name_is_a_usage_error(project: Project) -> None:
    project.write(WEB, SECRETS)
    for name in ("../up", "UPPER", "/etc"):
        refused = project.run("stack", "install", *BARE, "-p", name)
        assert refused.code == 2
        assert f"invalid project name {name!r}" in refused.err
