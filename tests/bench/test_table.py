"""The table's texts, and the parts of the documentation that it replaces."""

from pathlib import Path

import pytest
from bench.results import Row, cost, percentile, speedup, value
from bench.table import (
    BEGIN,
    END,
    as_json,
    cells,
    headlines,
    markdown,
    print_table,
    write_between_marks,
)

ROWS: list[Row] = [
    speedup("start", "start", [2.0, 2.5], "compose", [12.0, 12.5], at_least=3.0),
    cost("plugin", "tests", [1.006], "without", [1.0], at_most=1.01, note="few"),
    percentile("detection", "delay", "ms", [5.0, 70.0], percent=99, at_most=60),
    value("tests", "all", "s", [123.4]),
]


def test_the_cells_of_each_kind_of_row() -> None:
    assert [cells(row) for row in ROWS] == [
        (
            "start",
            "2.25 s (2..2.5)",
            "compose: 12.2 s (12..12.5)",
            "5.44 x (5..6) faster",
            "≥ 3 x",
            "yes",
        ),
        ("tests (few)", "1.006 s", "without: 1.000 s", "1.006 x", "≤ 1.01 x", "yes"),
        ("delay, p99", "69.3 ms (5..70)", "", "", "≤ 60 ms", "NO"),
        ("all", "123 s", "", "", "", ""),
    ]


def test_the_table_shows_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(ROWS)
    printed = capsys.readouterr().out
    assert all(row.what in printed for row in ROWS)


def test_a_page_gets_a_dated_table_between_its_marks(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_between_marks(file, markdown(ROWS, {"cpu": "X", "load": "0.1"}, "2026-01-02"))
    text = file.read_text()
    assert text.startswith(
        f"before\n{BEGIN}\n`make bench` measured this on 2026-01-02: cpu X, load"
    )
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    assert "| tests (few) | 1.006 s | without: 1.000 s | 1.006 x | ≤ 1.01 x | yes |" in text


@pytest.mark.parametrize("content", ["no marks", BEGIN, f"{END} {BEGIN}"])
def test_a_page_without_marks_is_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "README.md"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"README\.md lacks the marks <!-- bench:begin -->"):
        write_between_marks(file, "table")
    assert file.read_text() == content


def test_the_readme_gets_the_main_rows() -> None:
    main = [
        speedup("start", "start until ready", [2.0], "docker compose up --wait", [12.0]),
        speedup("suite", "24 tests, cold", [5.0], "testcontainers-python", [50.0], note="3 run"),
        speedup("suite", "24 tests, cold", [5.0], "pytest-docker, SQL reset", [15.0]),
        cost("tests", "stateful test, whole time, keep_warm", [1.1], "stateless, same body", [1.0]),
    ]
    lines = headlines([*ROWS, *main]).splitlines()
    assert lines[0] == "| what | dockwright | compared with | ratio |"
    assert lines[2:] == [
        "| start until ready | 2 s | docker compose up --wait: 12 s | 6 x faster |",
        "| 24 tests, cold (3 run) | 5 s | testcontainers-python: 50 s | 10 x faster |",
        "| 24 tests, cold | 5 s | pytest-docker, SQL reset: 15 s | 3 x faster |",
        "| stateful test, whole time, keep_warm | 1.1 s | stateless, same body: 1.000 s | 1.1 x |",
    ]


def test_the_readme_is_left_alone_if_a_main_row_is_missing() -> None:
    with pytest.raises(ValueError, match="not measured in this run: start until ready / docker"):
        headlines(ROWS)


def test_json_rows_say_whether_the_target_is_met() -> None:
    output = as_json(ROWS[0])
    assert (output["what"], output["is_met"]) == ("start", True)
