"""The documentation agrees with the code: links, paths, commands, settings and records."""

import re
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "*/README.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts and not path.parent.name.startswith(".")
)
RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
# A path in backticks: a folder of the repository, then more. Globs and placeholders are not paths.
FOLDERS = "api|bench|console|deploy|devstack|docs|eventlog|metaaccess|settings|tests|webhooks"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
TEST_FILE = re.compile(r"`(?:[\w./]*/)?(test_\w+\.py)`")
COMMAND = re.compile(r"manage\.py (\w+)")
# Read by make, by the shell of the Procfile or by Celery's command line, not by the settings.
NOT_SETTINGS = {"NAME", "PORT"}


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def prose_of(document: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^```.*?^```", "", text_of(document), flags=re.M | re.S)


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@cache
def python_of(*folders: str) -> str:
    return "\n".join(
        path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    broken = []
    for link in LINK.findall(prose_of(document)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / document).parent / name if name else ROOT / document
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_paths_exist(document: str) -> None:
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}

    paths = [path for path in PATH.findall(text_of(document)) if not (ROOT / path).exists()]
    files = [name for name in TEST_FILE.findall(text_of(document)) if name not in tests]

    assert paths + files == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_commands_exist(document: str) -> None:
    assert set(COMMAND.findall(text_of(document))) <= set(get_commands())


def test_the_readme_lists_every_setting() -> None:
    table = text_of("README.md").partition("## Settings")[2].partition("## Tests")[0]
    listed = set(re.findall(r"`([A-Z][A-Z_]+)`", "\n".join(re.findall(r"^\|([^|]*)", table, re.M))))
    # Every function that reads a variable takes its name first.
    read = set(re.findall(
        r"\bread\w*\(\s*(?:env\.\w+,\s*)?\"([A-Z][A-Z_]+)\"|env\.\w+\(\"([A-Z][A-Z_]+)\"",
        python_of("settings"),
    ))  # fmt: skip
    names = {first or second for first, second in read}

    assert "WEBHOOK_TIMEOUT" in names
    assert names - listed == set()
    mentioned = python_of("settings")
    assert {name for name in listed - NOT_SETTINGS if f'"{name}"' not in mentioned} == set()


def test_metrics_that_the_guide_names_exist() -> None:
    named = set(re.findall(r"metaaccess_\w+", text_of("docs/operations.md")))
    source = python_of("webhooks", "metaaccess")

    assert named
    assert {name for name in named if f'"{name}"' not in source} == set()


def test_the_path_of_an_event_names_at_most_ten_files() -> None:
    section = text_of("ARCHITECTURE.md").partition("## The path of an event")[2]
    files = re.findall(r"^\| \d+ \| `([\w./]+\.py)` \|", section.partition("\n## ")[0], re.M)

    assert 5 <= len(set(files)) == len(files) <= 10


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem[:4])
def test_a_record_has_a_header_and_a_row_in_the_index(record: Path) -> None:
    header = re.match(
        r"# (\d+)\. (.+)\n\nStatus: (\w+)\n\nDate: (\d{4}-\d\d-\d\d)\n", record.read_text()
    )
    assert header is not None
    number, title, status, date = header.groups()

    assert int(record.name[:4]) == int(number)
    row = f"| {number} | [{title}]({record.name}) | {status} | {date} |"
    assert row in text_of("docs/adr/README.md").splitlines()


def test_records_are_numbered_without_gaps() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
