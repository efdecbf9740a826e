"""Docstrings, comments and local names of the package stay readable: an alarm, not a proof.

Relative clauses that begin with "what" and the pronoun "one" hide the subject of a sentence, and some local names say
nothing of the value they hold. Well-written packages of the field have almost none of either.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "registry"
FILES = sorted(PACKAGE.rglob("*.py"))
#: Occurrences allowed among 1,000 words of docstrings and comments.
MOST_WORDS = {"what": 1.0, "one": 3.0}
#: Functions out of 100 that may store a value under such a name.
MOST_VAGUE = 1.0
VAGUE = frozenset(["found", "one", "own", "made", "there", "known", "named", "said", "given", "kept", "others", "left"])


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of every docstring and comment of a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            docstring = ast.get_docstring(node)
            if docstring:
                yield getattr(node, "lineno", 1), docstring
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def vague_names(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and name of every vague local name, once a function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            for name in sorted(stored & VAGUE):
                yield node.lineno, name


def num_functions(text: str) -> int:
    """Return the number of functions and methods of a module."""
    return sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(ast.parse(text)))


@pytest.mark.parametrize("word", MOST_WORDS)
def test_sentences_name_their_subject(word: str) -> None:
    counts: Counter[str] = Counter()
    places = []
    for file in FILES:
        for line, text in prose(file.read_text(encoding="utf-8")):
            words = re.findall(r"[a-z']+", text.lower())
            counts["all"] += len(words)
            if word in words:
                counts[word] += words.count(word)
                places.append(f"{file.relative_to(PACKAGE.parent)}:{line}: {' '.join(text.split())[:100]}")
    rate = 1000 * counts[word] / counts["all"]
    assert rate <= MOST_WORDS[word], f"{rate:.1f} of 1,000 words are {word!r}:\n" + "\n".join(places)


def test_local_names_say_what_they_hold() -> None:
    texts = {file: file.read_text(encoding="utf-8") for file in FILES}
    places = [
        f"{file.relative_to(PACKAGE.parent)}:{line}: {name}"
        for file, text in texts.items()
        for line, name in vague_names(text)
    ]
    rate = 100 * len(places) / sum(map(num_functions, texts.values()))
    assert rate <= MOST_VAGUE, f"{rate:.1f} vague names in 100 functions:\n" + "\n".join(places)


def test_the_measure_counts_docstrings_comments_and_names() -> None:
    text = '"""What is left."""\ndef f():\n    one = 1  # the one\n    return one\n'
    assert list(prose(text)) == [(1, "What is left."), (3, "# the one")]
    assert list(vague_names(text)) == [(2, "one")]
    assert num_functions(text) == 1
