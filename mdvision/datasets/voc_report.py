"""Findings from reading one split: faults that stop the run, repairs and warnings that are printed."""

from collections import Counter

from mdvision.errors import UserError
from mdvision.text import shortlist

__all__ = ['SplitReport']

DETAIL_LINES = 20
NAMED_FILES = 10

# kind -> (title, fix). Messages use this order.
FAULTS = {
    'no xml': (
        'annotation files missing',
        'add them, or remove the ids from the split. An image without objects needs an XML file too',
    ),
    'no image': ('images missing', 'add them, or remove the ids from the split'),
    'entry': ('entries that cannot be used', 'correct the named entries, or export the file again'),
    'duplicate': ('duplicate ids and files, which would count twice', 'keep each of them once'),
    'category': (
        'classes that are not in the annotation file: every later label would shift',
        'write metainfo=dict(classes=...) with the names of the file',
    ),
    'order': (
        'class names in a different order than in the file, whose order MMDetection uses for the labels',
        'write metainfo=dict(classes=...) in the order of the file',
    ),
    'label': ('labels that belong to no class', 'correct the annotation, or the classes in metainfo'),
    'same image': ('images shared by two ids', 'correct <filename> in all but one of them'),
    'xml': ('annotation files that cannot be used', 'correct the named places'),
    'class': (
        'objects of classes that are not in the config',
        'correct the names, add them to metainfo=dict(classes=...), or leave them out on purpose with '
        'ignore_classes={ignore}',
    ),
    'image': ('broken images', 'download or export these files again, or remove their ids from the split'),
    'size': (
        'images whose size contradicts the annotation: their boxes may belong to another image',
        'restore the right image or annotation. If only the number in <size> of an XML is wrong, remove '
        '<size>: it is then taken from the image',
    ),
    'turned': (
        'images that EXIF orientation rotates, but not their boxes',
        "use LoadImageFromFile with color_type='color_ignore_orientation' in the pipeline, or save the "
        'images '
        'again upright without the EXIF flag',
    ),
    'unturned': (
        'images whose boxes were drawn on the image as EXIF rotates it',
        "leave color_type of LoadImageFromFile at 'color', or save the images again upright without the "
        'EXIF flag',
    ),
    'normalized': (
        'boxes in fractions instead of pixels',
        'multiply them by width and height: boxes are pixel coordinates',
    ),
    'outside': ('boxes that do not lie in their image', 'correct or remove these objects'),
    'reversed': (
        'boxes with xmax < xmin or ymax < ymin, too many for typos: perhaps (x, y, width, height)',
        'write (xmin, ymin, xmax, ymax)',
    ),
}

REPAIRS = {
    'degenerate': 'degenerate boxes dropped',
    'swapped': 'boxes with swapped corners reordered',
    'clipped': 'boxes clipped to the image',
    'no size': 'sizes missing or not whole numbers, taken from the image',
    'exchanged': 'sizes with width and height swapped, taken from the image (the boxes prove it)',
    'difficult missing': 'objects without <difficult>, taken as 0',
    'difficult odd': 'unusual <difficult> values, read as words or taken as 0',
    'suffix': 'images with an extension other than .jpg',
    'renamed': 'images found by <filename>, not by their id',
    'tiny': 'boxes with zero area, or less than a pixel wide or high, left out by MMDetection',
    'ignore': 'objects with "ignore", left out by MMDetection',
    'beyond': 'boxes that extend beyond the image, which MMDetection clips in training only',
    'filename': "<filename> entries that name another id's image, ignored",
}

WARNINGS = {
    'orientation': 'images mirrored or turned upside down by EXIF: check that their boxes match the image',
    '16 bit': '16-bit images: OpenCV keeps only the high byte, so dark data becomes nearly black',
    'damaged': 'damaged images that OpenCV still reads, perhaps with wrong pixels',
}


class SplitReport:
    """Gather findings over a whole split. File names are relative to the data root.

    ``what`` is the kind of data: ``'VOC'``, ``'COCO'``. ``split`` may be ``''``: all of the data.
    """

    faults = FAULTS
    repairs = REPAIRS

    def __init__(self, split: str, root: str, what: str = 'VOC'):
        self.what = what
        self.split = split
        self.root = root
        self.num_images = 0
        self.num_empty = 0
        self.num_difficult = 0
        self.num_small = 0  # boxes that bbox_min_size marks as ignored
        self.unknown: tuple[str, ...] = ()  # class names in the files that are not in the config
        self.objects: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.boxes = ''
        self.extra: list[str] = []  # lines about what a filter dropped
        self.warnings: list[str] = []
        self._faults: dict[str, list[str]] = {}
        self._found: dict[str, list[str]] = {}

    def fault(self, kind: str, line: str) -> None:
        assert kind in self.faults, kind
        self._faults.setdefault(kind, []).append(line)

    def found(self, kind: str, where: str) -> None:
        """Record a repair or a warning of a kind from the tables above."""
        assert kind in self.repairs or kind in WARNINGS, kind
        self._found.setdefault(kind, []).append(where)

    def places(self, kind: str) -> list[str]:
        """Return where a repair or warning was found so far."""
        return self._found.get(kind, [])

    def kinds_repaired(self) -> list[str]:
        """Return the kinds of repairs that were found."""
        return [kind for kind in self.repairs if kind in self._found]

    def absorb(self, other: 'SplitReport', prefix: str = '') -> None:
        """Add the findings of another report; ``prefix`` says whose they are."""
        for kind, lines in other._faults.items():
            self._faults.setdefault(kind, []).extend(prefix + line for line in lines)
        for kind, places in other._found.items():
            self._found.setdefault(kind, []).extend(prefix + where for where in places)

    def raise_faults(self) -> None:
        """Raise one UserError with every fault, if there is any."""
        if self._faults:
            raise UserError(self.fault_text())

    def fault_text(self) -> str:
        """Return every fault, grouped by kind, or ''."""
        if not self._faults:
            return ''
        total = sum(len(lines) for lines in self._faults.values())
        message = [
            f'{total} {"fault" if total == 1 else "faults"} in the {self.what} data'
            + f' of split {self.split}' * bool(self.split)
            + f' ({self.num_images} images, folder {self.root}):'
        ]
        kinds = [kind for kind in self.faults if kind in self._faults]
        shares, left = {}, DETAIL_LINES  # rare kinds in full, frequent ones share what remains
        for position, kind in enumerate(sorted(kinds, key=lambda kind: len(self._faults[kind]))):
            shares[kind] = min(len(self._faults[kind]), left // (len(kinds) - position))
            left -= shares[kind]
        for kind in kinds:
            lines, share = self._faults[kind], shares[kind]
            name, fix = self.faults[kind]
            message.append(f'{name} ({len(lines)}):')
            message += [f'    {line}' for line in lines[:share]]
            if len(lines) > share:
                message.append(f'    ... and {len(lines) - share} more')
            message.append(f'  fix: {fix.format(ignore=self.unknown)}.')
        return '\n'.join(message)

    def summary(self) -> str:
        """Return the block that is printed for a usable split."""
        counts = [f'{name} {number}' for name, number in self.objects.items()]
        shown = ', '.join(counts[:30]) + (
            f', and {len(counts) - 30} more classes' if len(counts) > 30 else ''
        )
        difficult = f' ({self.num_difficult} difficult)' if self.num_difficult else ''
        lines = [
            f'{self.what} split {self.split}: {self.num_images} images ({self.num_empty} without objects), '
            f'{self.objects.total()} objects{difficult}: {shown}' + f'; {self.boxes}' * bool(self.boxes)
        ]
        if self.ignored:
            names = ', '.join(f'{name} {number}' for name, number in sorted(self.ignored.items()))
            lines.append(f'  left out by ignore_classes: {names}')
        if self.num_small:
            lines.append(f'  ignored in training by bbox_min_size: {self.num_small} boxes')
        for kind, text in self.repairs.items():
            if kind in self._found:
                lines.append(f'  repaired: {text} ({len(self._found[kind])}): {self._where(kind)}')
        return '\n'.join([*lines, *(f'  {line}' for line in self.extra)])

    def warning_text(self) -> str:
        """Return the warnings, or ''."""
        kinds = [kind for kind in WARNINGS if kind in self._found]
        lines = [f'{WARNINGS[kind]} ({len(self._found[kind])}): {self._where(kind)}' for kind in kinds]
        return '\n'.join(f'{self.what} split {self.split}: {line}' for line in [*self.warnings, *lines])

    def _where(self, kind: str) -> str:
        return shortlist(self._found[kind], NAMED_FILES)
