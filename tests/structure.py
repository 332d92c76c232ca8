"""The layout of the package, read from its imports: which folder may import which.

python -m tests.structure      # writes the diagram and the table of docs/architecture.md

Rooms (the folders and single modules of ``mdvision``) stand on floors. An import leads to a lower floor,
never to a higher one or to a neighbor; ``test_structure.py`` holds every import to that.
"""

import ast
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / 'mdvision'
PAGE = HERE.parent / 'docs' / 'architecture.md'
MARKS = ('<!-- layout: begin -->', '<!-- layout: end -->')

# From the top down. What is not here fails the test: a new folder is given its floor when it is made.
FLOORS = (
    ('__init__',),
    ('commands', 'doctor'),
    ('records', 'compare'),
    ('checks',),
    ('engine',),
    ('complexity', 'visualization'),
    ('work_dir', 'processes'),
    ('checkpoints',),
    ('config',),
    ('converters', 'detectors', 'timm_names'),
    ('models', 'datasets', 'evaluation'),
    ('ops',),
    ('findings', 'provenance', 'registry'),
    ('console', 'cpu', 'errors', 'text', 'version'),
)
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}


@dataclass(frozen=True)
class Import:
    """One import of one file.

    Attributes:
        file: path from the project's root.
        line: in the file.
        room: of the file.
        module: what is imported, by its whole name.
        target: the room of that.
    """

    file: str
    line: int
    room: str
    module: str
    target: str


def imports_of_the_package() -> list[Import]:
    """Every import of mdvision's own modules in mdvision, also those inside functions."""
    found = []
    for path in sorted(PACKAGE.rglob('*.py')):
        module = ['mdvision', *path.relative_to(PACKAGE).with_suffix('').parts]
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            for name in _imported(node, module):
                if name[0] != 'mdvision':
                    continue
                room, target = _room(module), _room(name)
                file = path.relative_to(PACKAGE.parent).as_posix()
                found.append(Import(file, node.lineno, room, '.'.join(name), target))
    return found


def _imported(node: ast.AST, module: list[str]) -> list[list[str]]:
    if isinstance(node, ast.Import):
        return [alias.name.split('.') for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module.split('.') if node.module else []
    if node.level:
        base = module[: -node.level] + base
    # "from mdvision import ops" names a module, "from mdvision.ops import nms" what is in one
    return [[*base, alias.name] if _is_module([*base, alias.name]) else base for alias in node.names]


def _is_module(name: list[str]) -> bool:
    path = PACKAGE.parent.joinpath(*name)
    return path.with_suffix('.py').is_file() or (path / '__init__.py').is_file()


def _room(name: list[str]) -> str:
    return name[1] if len(name) > 1 else '__init__'


def wrong_imports(imports: list[Import]) -> list[str]:
    """Imports that lead up or sideways, each as a line to read."""
    return [
        f'{one.file}:{one.line}: {one.room} (floor {len(FLOORS) - FLOOR[one.room]}) imports {one.module} '
        f'(floor {len(FLOORS) - FLOOR[one.target]})'
        for one in imports
        if one.room != one.target and FLOOR[one.target] <= FLOOR[one.room]
    ]


if __name__ == '__main__':
    arrows = defaultdict(set)
    for one in imports_of_the_package():
        if one.room != one.target:
            arrows[one.room].add(one.target)
    for room, targets in sorted(arrows.items(), key=lambda item: FLOOR.get(item[0], 99)):
        print(room, '->', ' '.join(sorted(targets)))
    known = [one for one in imports_of_the_package() if one.room in FLOOR and one.target in FLOOR]
    print(
        {one.room for one in imports_of_the_package()} - set(FLOOR),
        {one.target for one in imports_of_the_package()} - set(FLOOR),
    )
    print('\n'.join(wrong_imports(known)))
    sys.exit()
