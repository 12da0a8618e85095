"""The checks: expressions of rules.toml, long sentences, and a choice of proselint's own."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from proselint.checks import __register__ as own_checks
from proselint.config import Config
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags, CheckResult, types
from proselint.registry.checks.engine import Fancy, RegexOptions
from proselint.tools import LintFile

from lint.prose.texts import VALUE, Block

RULES = tomllib.loads(Path(__file__).with_name("rules.toml").read_text())

# Separates blocks. It is no white space, so no expression reaches from one block into the next.
SEPARATOR = "\n¶\n"

_ENGINE = Fancy(RegexOptions(case_insensitive=True, multi_line=True))
_ANYWHERE = CheckFlags(allow_quotes=True)
_END_OF_SENTENCE = re.compile(r"(?<=[.!?…])[)\"”’]*\s+(?=[^a-z\s])|" + re.escape(SEPARATOR))
_WORD = re.compile(rf"[\w{VALUE}]\S*")


class Finding(NamedTuple):
    line: int
    rule: str
    message: str


def _expression(name: str, rule: dict[str, str]) -> Check:
    return Check(
        check_type=types.ExistenceSimple(pattern=rule["find"].replace(" ", r"\s+")),
        path=f"words.{name}",
        message=f"'{{}}': {rule['say']}",
        engine=_ENGINE,
        flags=_ANYWHERE,
    )


def _long_sentences(text: str, check: Check) -> Iterator[CheckResult]:
    start = 0
    for end in [*_END_OF_SENTENCE.finditer(text), None]:
        sentence = text[start : end.start() if end else len(text)]
        words = len(_WORD.findall(sentence))
        if words > RULES["most_words_in_a_sentence"]:
            first = start + len(sentence) - len(sentence.lstrip())
            message = check.message.format(words, " ".join(sentence.split()[:6]))
            yield CheckResult(check.path, message, (first, start + len(sentence)), None)
        start = end.end() if end else len(text)


_SENTENCES = Check(
    check_type=_long_sentences,
    path="sentence",
    message="A sentence of {} words: '{} …'. Split it.",
    flags=_ANYWHERE,
)


def _configured() -> Config:
    """Registers the checks, which proselint keeps for the whole process."""
    ours = [_SENTENCES, *(_expression(name, rule) for name, rule in RULES["words"].items())]
    chosen = tuple(RULES["proselint"])
    CheckRegistry().register_many(
        (*ours, *(check for check in own_checks if check.path.startswith(chosen)))
    )
    return {"max_errors": 100_000, "checks": dict.fromkeys(("words", "sentence", *chosen), True)}


_CONFIG = _configured()


def lint(blocks: list[Block]) -> list[Finding]:
    """The findings of all checks in the blocks of a file, by line."""
    if not blocks:
        return []
    lines: list[int] = []
    for number, block in enumerate(blocks):
        lines += [line for line, _ in block]
        if number < len(blocks) - 1:
            lines.append(block[-1][0])  # the line of the separator
    content = SEPARATOR.join("\n".join(text for _, text in block) for block in blocks)
    return [
        Finding(
            lines[found.pos[0] - 1],
            found.check_result.check_path,
            " ".join(found.check_result.message.split()),
        )
        for found in LintFile("text", content).lint(_CONFIG)
    ]
