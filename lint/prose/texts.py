"""Extracts the prose of a file, with the line that each piece of text comes from."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

# A line number and the text of that line.
Row = tuple[int, str]
# A paragraph, comment, cell of a table or string.
Block = list[Row]

# Stands for code and values that are filled in. It is no part of a word.
VALUE = "▯"

_CODE = re.compile(r"``[^`\n]+``|`[^`\n]+`|https?://[^\s)\"'>]+")
_FILLED_IN = re.compile(r"\{[^{}\n]*\}|%\(\w+\)[sd]|%[sd]")
_ESCAPE = re.compile(r"\\+[nrt\"'\\]|&\w+;")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>")
_NEW_ITEM = re.compile(r"^\s*(?:[-*+•]|\d+[.)]|#{1,6}|>)\s")
_WORD = re.compile(r"[A-Za-z]{2,}")
_SQL = re.compile(
    r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|FROM|WHERE|RETURNING|SET|(?:ALTER|CREATE) [A-Z]+"
    r"|GROUP BY|ORDER BY|VALUES|CASE|COALESCE|AND)\b"
)


def _plain(text: str) -> str:
    for pattern, by in (_CODE, VALUE), (_FILLED_IN, VALUE), (_ESCAPE, " "), (_TAG, " "):
        text = pattern.sub(by, text)
    return text


def _paragraphs(rows: Block) -> Iterator[Block]:
    """Splits rows at empty lines, headings and the items of lists."""
    block: Block = []
    for number, text in rows:
        if not text.strip() or _NEW_ITEM.match(text):
            yield block
            block = []
        if text.strip():
            block.append((number, _NEW_ITEM.sub("", text)))
    yield block


def _is_sentence(text: str) -> bool:
    """Whether a string of the code is prose: three words or more, and not SQL."""
    return " " in text and len(_WORD.findall(text)) >= 3 and not _SQL.search(text)


def markdown(source: str) -> Iterator[Block]:
    rows: Block = []
    fenced = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
            rows.append((number, ""))
        elif not fenced:
            rows.append((number, line))
    for block in _paragraphs(rows):
        if block and block[0][1].lstrip().startswith("|"):
            for number, line in block:
                yield from ([(number, _inline(cell))] for cell in _plain(line).split("|"))
        else:
            yield [(number, _inline(line)) for number, line in block]


def _inline(text: str) -> str:
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", _plain(text))
    return re.sub(r"\*+|(?<!\w)_|_(?!\w)", "", text)


def python(source: str, *, strings: bool = True) -> Iterator[Block]:
    """Comments, docstrings and, with `strings`, other strings that are sentences."""
    yield from _comments(source)
    lines = source.splitlines()
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in _strings(tree):
        rows = _rows(node, lines)
        text = " ".join(row for _, row in rows)
        if id(node) in docstrings or (strings and _is_sentence(text)):
            yield from _paragraphs([(number, _plain(text)) for number, text in rows])


def _strings(tree: ast.AST) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Each string; adjacent ones are a single node, and the parts of an f-string are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            yield node
        else:
            yield from _strings(node)


def _rows(node: ast.Constant | ast.JoinedStr, lines: list[str]) -> Block:
    """The lines of a string without its quotes."""
    assert node.end_lineno is not None
    numbers = range(node.lineno, node.end_lineno + 1)
    texts = [lines[number - 1].encode() for number in numbers]
    texts[-1] = texts[-1][: node.end_col_offset]
    texts[0] = texts[0][node.col_offset :]
    triple = re.match(rb"\w{0,2}(?:\"\"\"|''')", texts[0]) is not None
    quotes = r"^\w{0,2}(?:\"\"\"|''')|(?:\"\"\"|''')$" if triple else r"^\s*\w{0,2}[\"']|[\"']\s*$"
    return [
        (number, re.sub(quotes, "", text.decode()))
        for number, text in zip(numbers, texts, strict=True)
    ]


def _comments(source: str) -> Iterator[Block]:
    """Comments; those of adjacent lines that begin in the same column are one."""
    block: Block = []
    previous = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start != (previous[0] + 1, previous[1]):
            yield from _paragraphs(block)
            block = []
        text = re.sub(r"^#+:?|\b(?:noqa|type|pragma)\b.*", "", token.string)
        block.append((token.start[0], _plain(text)))
        previous = token.start
    yield from _paragraphs(block)


_UNSEEN = re.compile(r"<(script|style|code|pre)\b.*?</\1>", re.DOTALL)
_DJANGO_TAG = re.compile(r"\{%-?\s*(\w+).*?%\}", re.DOTALL)
_INLINE_TAG = re.compile(r"</?(?:a|abbr|b|em|i|kbd|small|span|strong|time)\b[^<>]*>")
_ARGUMENT = re.compile(r"(?<!class=)(?<!style=)\"([^\"\n]*)\"")
_BREAK = "\0"


def template(source: str) -> Iterator[Block]:
    """Text, comments, and sentences in attributes or in arguments of Django's tags."""
    for found in _ARGUMENT.finditer(source):
        text = _values(found.group(1))
        if _is_sentence(text) and "=" not in text:
            yield [(source.count("\n", 0, found.start()) + 1, _plain(text))]
    text = _UNSEEN.sub(lambda found: _lines(found, VALUE), source)
    text = _DJANGO_TAG.sub(
        lambda found: _lines(found, "" if found.group(1) in {"if", "endif", "url"} else _BREAK),
        _values(text),
    )
    text = _INLINE_TAG.sub(lambda found: _lines(found, ""), text)
    text = re.sub(r"<[^<>]*>|[{}]#|#[{}]", lambda found: _lines(found, _BREAK), text)
    block: Block = []
    for number, line in enumerate(text.split("\n"), 1):
        first, *rest = line.split(_BREAK)
        block.append((number, _plain(first)))
        for part in rest:
            yield block
            block = [(number, _plain(part))]
    yield block


def _values(text: str) -> str:
    return re.sub(r"\{\{.*?\}\}", VALUE, text)


def _lines(found: re.Match[str], by: str) -> str:
    """Replaces a match and keeps its line breaks, so that line numbers stay right."""
    return by + "\n" * found.group(0).count("\n")


_SCRIPT = re.compile(
    r"//(?P<line>[^\n]*)|/\*(?P<block>.*?)\*/"
    r"|\"(?P<double>[^\"\n]*)\"|'(?P<single>[^'\n]*)'|`(?P<literal>[^`]*)`",
    re.DOTALL,
)


def script(source: str) -> Iterator[Block]:
    """Comments and strings of JavaScript, comments of CSS."""
    for found in _SCRIPT.finditer(source):
        text = found[found.lastgroup or 0]
        number = source.count("\n", 0, found.start()) + 1
        if found.lastgroup in {"line", "block"} or _is_sentence(text):
            rows = [(number + n, _plain(line)) for n, line in enumerate(text.split("\n"))]
            yield from _paragraphs([(n, line.lstrip().removeprefix("*")) for n, line in rows])


def commented(source: str) -> Iterator[Block]:
    """The comments of a file whose comments begin with `#`."""
    rows = []
    for number, line in enumerate(source.splitlines(), 1):
        before, mark, text = re.sub(r"(?:^|\s)#+\s", _BREAK, line, count=1).partition(_BREAK)
        if before.strip():
            rows.append((number, ""))  # a comment after code is a block by itself
        rows.append((number, _plain(text) if mark else ""))
    yield from _paragraphs(rows)


def plain(source: str) -> Iterator[Block]:
    yield from _paragraphs([(n, _values(line)) for n, line in enumerate(source.splitlines(), 1)])


EXTRACTORS: dict[str, Callable[[str], Iterator[Block]]] = {
    ".md": markdown,
    ".py": python,
    ".html": template,
    ".txt": plain,
    ".js": script,
    ".css": script,
    ".toml": commented,
    ".yaml": commented,
    ".yml": commented,
    "": commented,
}


def blocks(path: Path, source: str) -> list[Block]:
    """The blocks of a file that contain text. The strings of tests are data, not prose."""
    if path.suffix == ".py" and "tests" in path.parts:
        found = python(source, strings=False)
    else:
        found = EXTRACTORS[path.suffix](source)
    return [block for block in found if any(text.strip() for _, text in block)]
