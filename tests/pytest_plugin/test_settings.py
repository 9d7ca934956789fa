"""Where settings come from, what the header shows of them, and what they may not be."""

from __future__ import annotations

import pytest

from tests._support.suite import output


def header(bare: pytest.Pytester, *arguments: str) -> str:
    result = bare.runpytest_inprocess("--collect-only", *arguments)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    return next((line for line in result.outlines if line.startswith("dockwright:")), "")


def test_command_line_over_environment_over_ini_over_default(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert header(bare) == ""

    bare.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        dockwright_max_stacks = "3"
        dockwright_profiles = ["a", "b"]
        """
    )
    assert header(bare) == (
        "dockwright: profiles=a,b (pyproject.toml), max_stacks=3 (pyproject.toml)"
    )
    monkeypatch.setenv("DOCKWRIGHT_MAX_STACKS", "4")
    monkeypatch.setenv("DOCKWRIGHT_KEEP_WARM", "1m30s")
    told = header(bare)
    assert "max_stacks=4 (environment)" in told
    assert "keep_warm=90.0 (environment)" in told
    told = header(bare, "--dockwright-max-stacks", "5", "--dockwright-keep-failed")
    assert "max_stacks=5 (command line)" in told
    assert "keep_failed=True (command line)" in told
    assert "profiles=a,b (pyproject.toml)" in told
    told = header(bare, "--dockwright-stacks", "mail=mail.yaml")
    assert f"stacks=mail={bare.path / 'mail.yaml'} (command line)" in told
    told = header(bare, "--dockwright-stacks", "mail=x/../mail.yaml", "--dockwright-compose=../a.y")
    assert f"stacks=mail={bare.path / 'mail.yaml'} (command line)" in told
    assert f"compose={bare.path.parent / 'a.y'} (command line)" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--dockwright-max-stacks=many"],
            "max_stacks = 'many': expected 'auto' or a",
        ),
        (["--dockwright-max-stacks=0"], "max_stacks = '0': expected 'auto' or a whole number"),
        (["--dockwright-max-stacks=-1"], "max_stacks = '-1': expected 'auto' or a whole number"),
        (
            ["--dockwright-keep-warm=soon"],
            "keep_warm = 'soon': expected a duration, such as 250ms, 30s",
        ),
        (["--dockwright-keep-warm=10x"], "keep_warm = '10x': expected a duration, such as"),
        (["--dockwright-start-timeout="], "start_timeout = '': expected a duration, such as"),
        (["--dockwright-start-timeout=0"], "start_timeout must be greater than 0"),
        (["--dockwright-log-tail=-3"], "log_tail = '-3': expected a whole number, 0 or more"),
        (["--dockwright-poll-first=2s"], "polling needs 0 < poll_first <= poll_ceiling"),
        (["--dockwright-poll-first=0"], "polling needs 0 < poll_first <= poll_ceiling"),
        (["--dockwright-stacks=mail"], "stacks = 'mail': expected NAME=FILE"),
        (["--dockwright-stacks=a b=x.yaml"], "stacks = 'a b=x.yaml': expected NAME=FILE"),
        (["--dockwright-stacks=a=x", "--dockwright-stacks=a=y"], "'a' is declared twice"),
        (["--dockwright-stacks=default=x"], "'default' is declared twice"),
        (["--dockwright-compat=nose-docker"], "compat = 'nose-docker': expected one of: pytest-do"),
        (["--dockwright-nonsense=1"], "unrecognized arguments: --dockwright-nonsense=1"),
    ],
)
def test_bad_values_say_what_is_expected(
    bare: pytest.Pytester, arguments: list[str], said: str
) -> None:
    result = bare.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = output(result)
    assert said in text
    assert "Traceback" not in text


def test_bad_values_name_their_source(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.makeini("[pytest]\ndockwright_keep_failed = maybe\n")
    result = bare.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = "keep_failed = 'maybe': expected one of true, false, yes, no, on, off, 1, 0"
    assert f"tox.ini: {said}" in output(result)
    monkeypatch.setenv("DOCKWRIGHT_KEEP_FAILED", "perhaps")
    assert f"environment: {said.replace('maybe', 'perhaps')}" in output(bare.runpytest_inprocess())


@pytest.mark.parametrize(
    ("name", "value"), [("compose", "gone.yaml"), ("stacks", "mail=gone.yaml"), ("env_files", "x")]
)
def test_a_missing_file_is_reported_with_its_setting(
    bare: pytest.Pytester, name: str, value: str
) -> None:
    bare.makeini(f"[pytest]\ndockwright_{name} = {value}\n")
    bare.path.joinpath("compose.yaml").write_text("services: {web: {image: a}}")
    mark = "@pytest.mark.stack('mail')\n" if name == "stacks" else ""
    bare.makepyfile(f"import pytest\n{mark}def test_it(stack): pass\n")
    result = bare.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(errors=1)
    file = bare.path / value.rpartition("=")[2]
    text = output(result)
    assert f"tox.ini: {name}: no such file: {file}" in text
    assert f"hint: correct dockwright_{name}; " in text
    assert "Traceback" not in text


def test_an_invalid_address_is_reported_with_its_setting(bare: pytest.Pytester) -> None:
    bare.makeini("[pytest]\ndockwright_engine = ftp://host\n")
    bare.makepyfile("def test_it(docker_client): pass\n")
    result = bare.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(errors=1)
    assert "the setting engine: 'ftp://host' is not the address of an engine" in output(result)


def test_only_misspelt_variables_are_reported(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DOCKWRIGHT_CACHE_DIR", "DOCKWRIGHT_PROFILE_DIR", "DOCKWRIGHT_MINE"):
        monkeypatch.setenv(name, str(bare.path))
    assert header(bare) == ""
    monkeypatch.setenv("DOCKWRIGHT_KEPP_WARM", "10m")
    told = header(bare)
    assert told == (
        "dockwright: unknown setting DOCKWRIGHT_KEPP_WARM; did you mean DOCKWRIGHT_KEEP_WARM?"
    )


def test_the_plugin_can_be_switched_off(bare: pytest.Pytester) -> None:
    bare.makepyfile("def test_it(): pass\ndef test_stack(stack): pass\n")
    result = bare.runpytest_subprocess("-p", "no:dockwright", "-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'stack' not found"])


def test_a_suite_without_stacks_loads_nothing_heavy(bare: pytest.Pytester) -> None:
    bare.makepyfile(
        """
        import sys

        def test_it():
            heavy = {"docker", "yaml", "rich", "requests", "dockwright.pool.session"}
            assert heavy.isdisjoint(sys.modules)
        """
    )
    result = bare.runpytest_subprocess("-p", "no:randomly", "-p", "no:xdist")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*= dockwright =*")
