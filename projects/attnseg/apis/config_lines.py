"""Where in the text of a config file a key is set, and by which expression."""

import ast
from dataclasses import dataclass, field
from functools import cached_property

BASE = "_base_"
Path = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A line of a config, and the expression there.

    Attributes:
        line: Counted from 1; None where the text does not show it.
        expression: The code, where it is more than a literal: ``lr``, ``_base_.num_classes``.
        references: What it reads from the bases, as dotted keys without ``_base_.``.
    """

    line: int | None = None
    expression: str = ""
    references: tuple[str, ...] = ()


@dataclass
class Source:
    """The text of a config file; texts that are not Python have no lines.

    Attributes:
        text: The whole file.
    """

    text: str
    _tree: ast.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            self._tree = ast.parse(self.text)
        except SyntaxError:  # YAML, or mmengine's unquoted {{ variables }}
            self._tree = ast.Module([], [])

    @cached_property
    def used(self) -> frozenset[str]:
        """Names that the file reads, its own and those of its bases."""
        names = {
            node.id
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        return frozenset(names | {ref.partition(".")[0] for ref in _references(self._tree)})

    @cached_property
    def _assignments(self) -> list[tuple[Path, ast.expr]]:
        found = []
        for node in self._tree.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    parts = target.elts if isinstance(target, ast.Tuple) else [target]
                    found += [(_keys(part), node.value) for part in parts]
            elif isinstance(node, (ast.AugAssign, ast.AnnAssign)) and node.value is not None:
                found.append((_keys(node.target), node.value))
        return [(keys, value) for keys, value in found if keys][::-1]

    def place(self, path: Path) -> Place:
        """Where ``path`` (keys and the indices of lists, as strings) is set."""
        return self._place(path, frozenset())

    def _place(self, path: Path, seen: frozenset[str]) -> Place:
        for keys, value in self._assignments:
            if path[: len(keys)] == keys:
                return self._descend(value, path[len(keys) :], value.lineno, seen | {keys[0]})
        return Place()

    def _descend(self, node: ast.expr, rest: Path, line: int, seen: frozenset[str]) -> Place:
        if rest:
            child = _child(node, rest[0])
            if child is not None:
                return self._descend(child[0], rest[1:], child[1], seen)
            if isinstance(node, ast.Name) and node.id not in seen:
                inner = self._place((node.id, *rest), seen)
                if inner.line is not None:
                    return inner
        return Place(line, _expression(node), _references(node))


def _keys(target: ast.expr) -> Path:
    """``model["head"]["x"]`` and ``model.head.x`` as keys; empty for other targets."""
    if isinstance(target, ast.Name):
        return (target.id,)
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        before = _keys(target.value)
        return (*before, str(target.slice.value)) if before else ()
    if isinstance(target, ast.Attribute):
        before = _keys(target.value)
        return (*before, target.attr) if before else ()
    return ()


def _child(node: ast.expr, key: str) -> tuple[ast.expr, int] | None:
    """The value of a key in ``dict(...)``, ``{...}`` or a list, with its line."""
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg == key:
                return keyword.value, keyword.lineno
    elif isinstance(node, ast.Dict):
        for name, value in zip(node.keys, node.values, strict=True):
            if isinstance(name, ast.Constant) and str(name.value) == key:
                return value, name.lineno
    elif isinstance(node, (ast.List, ast.Tuple)) and key.isdigit():
        # Behind *items the positions are known only when the file is run.
        before = node.elts[: int(key) + 1]
        if len(before) > int(key) and not any(isinstance(e, ast.Starred) for e in before):
            return before[-1], before[-1].lineno
    return None


def _expression(node: ast.expr) -> str:
    if isinstance(node, (ast.Dict, ast.Constant)) or not _reads(node):
        return ""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict":
        return ""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _reads(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id != "dict" for part in ast.walk(node))


def _references(node: ast.AST) -> tuple[str, ...]:
    """Dotted keys behind ``_base_`` in an expression, the longest of each."""
    inner: set[ast.AST] = set()
    found = []
    for part in ast.walk(node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and part not in inner:
            keys = _keys(part)
            if keys and keys[0] == BASE:
                found.append(".".join(keys[1:]))
                inner.update(ast.walk(part))
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            text = part.value.strip()
            if text.startswith("{{") and text.endswith("}}") and BASE + "." in text:
                found.append(text.strip("{} ").removeprefix(BASE + "."))
    return tuple(dict.fromkeys(found))
