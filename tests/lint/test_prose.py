"""The prose linter: each rule finds its bad sentence, in each kind of file."""

import subprocess
import sys
from pathlib import Path

import pytest

from lint.prose.__main__ import ROOT, files_of_project, is_checked, main
from lint.prose.checks import RULES, Finding, lint
from lint.prose.texts import blocks

WORDS = RULES["words"]
BAD = "The receiver is mended."
FOUND = (1, "words.mend")


def findings(name: str, source: str) -> list[tuple[int, str]]:
    """Line and rule of each finding in a file with this name and content."""
    return [(finding.line, finding.rule) for finding in lint(blocks(Path(name), source))]


@pytest.mark.parametrize("name", WORDS)
def test_each_rule_finds_its_bad_sentence(name: str) -> None:
    assert (1, f"words.{name}") in findings("a.md", WORDS[name]["bad"])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [(name, sentence) for name, rule in WORDS.items() for sentence in rule.get("fine", [])],
)
def test_no_rule_finds_its_fine_sentences(name: str, sentence: str) -> None:
    assert (1, f"words.{name}") not in findings("a.md", sentence)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("archaism", "The webhook is disabled for ever."),
        ("misc.many_a", "There have been many a failure."),
        ("nonwords", "It fails irregardless."),
        ("redundancy", "First of all, it is stored."),
        ("spelling", "The error is detectible."),
        ("uncomparables", "The ID is very unique."),
    ],
)
def test_checks_of_proselint_are_on(rule: str, sentence: str) -> None:
    assert [found for _, found in findings("a.md", sentence) if found.startswith(rule)]


def test_a_long_sentence_is_found_at_its_first_line() -> None:
    words = "One two three four five " * (RULES["most_words_in_a_sentence"] // 5)

    assert findings("a.md", f"Short.\nA {words}\nends here.\n") == [(2, "sentence")]
    assert findings("a.md", f"{words.strip()}. {words.strip()}.") == []


def test_the_message_names_the_expression_and_the_remedy() -> None:
    (finding,) = lint(blocks(Path("a.md"), BAD))

    assert finding == Finding(1, "words.mend", "'mended': fix")


def test_a_finding_may_cross_a_line_but_not_a_paragraph() -> None:
    assert findings("a.md", "One outage of\nour own.") == [(1, "words.our-own-outage")]
    assert findings("a.md", "One outage of\n\nour own.") == []


@pytest.mark.parametrize(
    ("name", "source", "line"),
    [
        ("a.md", "# Title\n\n- {}\n", 3),
        ("a.md", "| a | b |\n|---|---|\n| c | {} |\n", 3),
        ("a.py", "\n# {}\n", 2),
        ("a.py", "x = 1  # {}\n", 1),
        ("a.py", 'def f():\n    """Does it.\n\n    {}\n    """\n', 4),
        ("a.py", 'x = Field(\n    help_text="Kept. "\n    "{}"\n)\n', 3),
        ("a.py", 'x = f"{{name}}: {}"\n', 1),
        ("tests/a.py", 'def test_it():\n    """{}"""\n', 2),
        ("a.html", "<p>\n  {}\n</p>\n", 2),
        ("a.html", '<p\n  title="{}">x</p>\n', 2),
        ("a.html", '{{% include "b" with text="{}" %}}\n', 1),
        ("a.html", "{{# {} #}}\n", 1),
        ("a.txt", "Hello,\n\n{}\n", 3),
        ("a.js", "// {}\n", 1),
        ("a.js", 'show("{}");\n', 1),
        ("a.css", "/* Colours.\n   {} */\n", 2),
        ("a.toml", "# {}\n", 1),
        ("Makefile", "run:  ## {}\n", 1),
    ],
)
def test_a_bad_sentence_is_found_in_each_place(name: str, source: str, line: int) -> None:
    assert findings(name, source.format(BAD)) == [(line, "words.mend")]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.md", "```\n{}\n```\n"),
        ("a.md", "`{}`\n"),
        ("a.md", "[text](https://example.com/mended)"),
        ("a.py", 'x = "mended"\n'),
        ("a.py", 'x = "SELECT mended FROM the table"\n'),
        ("tests/a.py", 'x = "{}"\n'),
        ("a.html", "<p>{{{{ mended }}}}</p><script>let mended;</script>\n"),
        ("a.js", "let mended = 1;\n"),
    ],
)
def test_code_and_data_are_no_prose(name: str, source: str) -> None:
    assert findings(name, source.format(BAD)) == []


def test_all_kinds_of_files_are_walked_and_none_of_others() -> None:
    checked = {str(path.relative_to(ROOT)) for path in files_of_project()}
    checked = {path for path in checked if is_checked(Path(path))}

    assert {
        "README.md",
        "docs/api.md",
        "Makefile",
        "pyproject.toml",
        "webhooks/models.py",
        "webhooks/templates/webhooks/notice.txt",
        "console/templates/404.html",
        "console/static/console/console.js",
    } <= checked
    assert not [path for path in checked if ".venv" in path or "migrations/" in path]


def test_the_command_prints_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lint.prose.__main__.ROOT", tmp_path)
    (tmp_path / "good.md").write_text("The receiver is fixed.\n")
    (tmp_path / "bad.md").write_text(f"# Title\n\n{BAD}\n")

    assert main([str(tmp_path / "good.md")]) == 0
    assert capsys.readouterr().out == ""
    assert main([]) == 1
    assert capsys.readouterr().out.startswith("bad.md:3: words.mend: 'mended': fix\n")


def test_an_exception_is_for_one_rule_and_some_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lint.prose.__main__.ROOT", tmp_path)
    (tmp_path / "old.md").write_text(BAD)

    monkeypatch.setitem(RULES, "allow", [{"files": "old.*", "rule": "words.mend"}])
    assert main([]) == 0
    monkeypatch.setitem(RULES, "allow", [{"files": "old.*", "rule": "words.hook"}])
    assert main([]) == 1


def test_a_misspelling_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("We recieve it.\n")

    command = [Path(sys.executable).with_name("codespell"), tmp_path / "a.md"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode != 0
    assert checked.stdout.endswith("a.md:1: recieve ==> receive\n")
