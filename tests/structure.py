"""The layout of the package, read from its imports: which part may import which.

python -m tests.structure      # writes the diagram and the table of docs/architecture.md

The parts are the folders and single modules of ``mdvision``. They stand on floors; an import leads to a
lower floor, never to a higher one or to a neighbor on the same floor. ``test_structure.py`` holds every
import to that.
"""

import ast
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    'FLOORS',
    'PACKAGE',
    'PAGE',
    'Import',
    'circles',
    'imports_of_the_package',
    'render',
    'replaced',
    'wrong_imports',
]

PACKAGE = Path(__file__).parents[1] / 'mdvision'
PAGE = PACKAGE.parent / 'docs' / 'architecture.md'
BEGIN, END = '<!-- layout: begin -->', '<!-- layout: end -->'

# From the top down. A new folder or module is given its floor here when it is made.
FLOORS = (
    ('__init__',),
    ('commands', 'doctor'),
    ('compare', 'records'),
    ('checks', 'inference'),
    ('engine',),
    ('complexity', 'visualization'),
    ('processes', 'work_dir'),
    ('checkpoints',),
    ('config',),
    ('annotations', 'converters', 'detectors', 'timm'),
    ('datasets', 'evaluation', 'models'),
    ('ops',),
    ('findings', 'provenance', 'registry', 'upstream'),
    ('console', 'cpu', 'errors', 'meta_device', 'text', 'version'),
)
FLOOR = {part: len(FLOORS) - number for number, floor in enumerate(FLOORS) for part in floor}
# Nearly everything imports these; arrows to them would hide the others.
GROUND = {part for floor in FLOORS[-2:] for part in floor}


@dataclass(frozen=True)
class Import:
    """One import, at ``line`` of ``file``: module ``source``, as a dotted name, imports ``target``."""

    file: str
    line: int
    source: str
    target: str

    @property
    def parts(self) -> tuple[str, str]:
        """The parts of the package that it leads from and to."""
        return _part(self.source), _part(self.target)


def _part(module: str) -> str:
    names = module.split('.')
    return names[1] if len(names) > 1 else '__init__'


def imports_of_the_package() -> list[Import]:
    """Every import of mdvision's own modules in mdvision, also those inside functions."""
    found = []
    for path in sorted(PACKAGE.rglob('*.py')):
        names = ['mdvision', *path.relative_to(PACKAGE).with_suffix('').parts]
        source = '.'.join(names[:-1] if names[-1] == '__init__' else names)
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            found += [
                Import(path.relative_to(PACKAGE.parent).as_posix(), node.lineno, source, target)
                for target in _imported(node, names)
                if target.split('.')[0] == 'mdvision'
            ]
    return found


def _imported(node: ast.AST, names: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = [*(names[: -node.level] if node.level else []), *(node.module.split('.') if node.module else [])]
    # "from mdvision import ops" names a module, "from mdvision.ops import nms" what is in one.
    return [
        '.'.join([*base, alias.name] if _is_module([*base, alias.name]) else base) for alias in node.names
    ]


def _is_module(names: list[str]) -> bool:
    path = PACKAGE.parent.joinpath(*names)
    return path.with_suffix('.py').is_file() or (path / '__init__.py').is_file()


def wrong_imports(imports: list[Import]) -> list[str]:
    """Imports that lead up or sideways, or to a part without a floor, each as a line to read."""
    wrong = []
    for one in imports:
        source, target = one.parts
        unknown = {source, target} - set(FLOOR)
        if unknown:
            wrong.append(f'{one.file}:{one.line}: {", ".join(unknown)} has no floor in tests/structure.py')
        elif source != target and FLOOR[target] >= FLOOR[source]:
            wrong.append(
                f'{one.file}:{one.line}: {source} (floor {FLOOR[source]}) imports {one.target} '
                f'(floor {FLOOR[target]})'
            )
    return wrong


def circles(imports: list[Import]) -> list[str]:
    """The modules that import each other, directly or through others, and those between two circles."""
    arrows = {
        (one.source, one.target)
        for one in imports
        # a module of a package imports what the package itself defines
        if one.target != one.source and not one.source.startswith(f'{one.target}.')
    }
    while True:
        # What imports nothing that is left, or is imported by nothing that is left, is in no circle.
        inner = {a for a, _ in arrows} & {b for _, b in arrows}
        left = {(a, b) for a, b in arrows if a in inner and b in inner}
        if left == arrows:
            return sorted(inner)
        arrows = left


def render(imports: list[Import]) -> str:
    """The generated section of the page: a diagram, and what each part holds."""
    arrows = Counter(one.parts for one in imports if one.parts[0] != one.parts[1])
    drawn = {(a, b) for a, b in arrows if a != '__init__' and b not in GROUND}
    lines = ['```mermaid', 'flowchart TB']
    for floor in FLOORS[1:-2]:
        lines.append(f'    subgraph floor{FLOOR[floor[0]]}[" "]')
        lines += [f'        {part}' for part in floor]
        lines.append('    end')
    lines += [f'    {a} --> {b}' for a, b in sorted(_without_shortcuts(drawn), key=_by_floor)]
    lines += ['```', '', '| floor | part | what it holds | imports |', '|---|---|---|---|']
    for floor in FLOORS:
        for part in floor:
            used = sorted((b for a, b in arrows if a == part), key=lambda b: (-FLOOR[b], b))
            path = _path(part)
            link = f'[`{path.relative_to(PACKAGE.parent)}`](../{path.relative_to(PACKAGE.parent)})'
            lines.append(f'| {FLOOR[part]} | {link} | {_summary(path)} | {", ".join(used) or "-"} |')
    up = len(wrong_imports(imports))
    lines += ['', f'{len(FLOOR)} parts, {len(arrows)} arrows between them, {up} of them up or sideways; '
              f'{len(circles(imports))} modules in circles.']  # fmt: skip
    return '\n'.join(lines)


def _without_shortcuts(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that do not follow from others: a -> c goes where there are a -> b and b -> ... -> c."""
    below: dict[str, set[str]] = {}
    for part in sorted({part for arrow in arrows for part in arrow}, key=FLOOR.get):
        direct = {b for a, b in arrows if a == part}
        below[part] = direct.union(*(below[b] for b in direct))
    return {(a, c) for a, c in arrows if not any(c in below[b] for x, b in arrows if x == a)}


def _by_floor(arrow: tuple[str, str]) -> tuple:
    return tuple((-FLOOR[part], part) for part in arrow)


def _path(part: str) -> Path:
    folder = PACKAGE / part
    return folder if folder.is_dir() else folder.with_suffix('.py')


def _summary(path: Path) -> str:
    file = path / '__init__.py' if path.is_dir() else path
    doc = ast.get_docstring(ast.parse(file.read_text(encoding='utf-8'))) or ''
    return doc.partition('\n\n')[0].replace('\n', ' ').removeprefix('mdvision: ').replace('``', '`')


def replaced(page: str, section: str) -> str:
    """The page with the generated section anew."""
    before, rest = page.split(BEGIN)
    return f'{before}{BEGIN}\n{section}\n{END}{rest.split(END)[1]}'


if __name__ == '__main__':
    PAGE.write_text(
        replaced(PAGE.read_text(encoding='utf-8'), render(imports_of_the_package())), encoding='utf-8'
    )
