"""One small data set, written by hand in every format: what a tool exports, not what our writers write.

Three images of 64x48: ``a`` has a cat at (1, 2, 30, 20) and a dog at (5.5, 6, 40, 48), ``b`` has nothing,
``c`` a cat at (10, 10, 20, 20); continuous coordinates.
"""

import json
from pathlib import Path

import cv2
import numpy as np

BOXES = {
    'a': [('cat', (1, 2, 30, 20)), ('dog', (5.5, 6, 40, 48))],
    'b': [],
    'c': [('cat', (10, 10, 20, 20))],
}


def picture(path: Path, number: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)
    return path


def pictures(folder: Path, names=('a', 'b', 'c'), suffix: str = '.jpg') -> None:
    for number, name in enumerate(names):
        picture(folder / f'{name}{suffix}', number)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')
    return path


def coco_content() -> dict:
    return dict(
        images=[dict(id=n, file_name=f'{name}.jpg', width=64, height=48) for n, name in enumerate('abc')],
        categories=[dict(id=7, name='cat'), dict(id=3, name='dog')],
        annotations=[
            dict(id=1, image_id=0, category_id=7, bbox=[1, 2, 29, 18], area=522, iscrowd=0),
            dict(id=2, image_id=0, category_id=3, bbox=[5.5, 6, 34.5, 42], area=1449, iscrowd=0),
            dict(id=4, image_id=2, category_id=7, bbox=[10, 10, 10, 10], area=100, iscrowd=0),
        ],
    )


def coco(root: Path, spoil=lambda content: None) -> Path:
    content = coco_content()
    spoil(content)
    pictures(root / 'images')
    return write(root / 'instances.json', json.dumps(content)).parent


# With six decimals, as most tools write.
YOLO = {
    'a': '0 0.242188 0.229167 0.453125 0.375000\n1 0.355469 0.562500 0.539062 0.875000\n',
    'c': '0 0.234375 0.312500 0.156250 0.208333\n',
}
YOLO_YAML = 'train: images\nval: images\nnames: [cat, dog]\n'


def yolo(root: Path, a: str | None = None, **files: str) -> Path:
    """``a`` replaces the labels of image a; other files are given by name, with ``__`` for a dot."""
    pictures(root / 'images')
    for name, text in YOLO.items():
        write(root / f'labels/{name}.txt', a if a is not None and name == 'a' else text)
    write(root / 'classes.txt', 'cat\ndog\n')
    for name, text in files.items():
        write(root / name.replace('__', '.'), text)
    return root


CSV = """\
filename,width,height,class,xmin,ymin,xmax,ymax
a.jpg,64,48,cat,2,3,30,20
a.jpg,64,48,dog,6.5,7,40,48
b.jpg,64,48,,,,,
c.jpg,64,48,cat,11,11,20,20
"""


def table(root: Path, text: str = CSV) -> Path:
    pictures(root / 'images')
    write(root / 'boxes.csv', text)
    return root


CVAT = """\
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels>
    <label><name>cat</name><attributes></attributes></label><label><name>dog</name></label>
  </labels></task></meta>
  <image id="0" name="a.jpg" width="64" height="48">
    <box label="cat" source="manual" occluded="0" xtl="1.00" ytl="2.00" xbr="30.00" ybr="20.00"></box>
    <box label="dog" occluded="0" xtl="5.50" ytl="6.00" xbr="40.00" ybr="48.00" z_order="0"></box>
  </image>
  <image id="1" name="b.jpg" width="64" height="48"></image>
  <image id="2" name="c.jpg" width="64" height="48">
    <box label="cat" occluded="0" xtl="10.00" ytl="10.00" xbr="20.00" ybr="20.00" z_order="0"></box>
  </image>
</annotations>
"""


def cvat(root: Path, old: str = '', new: str = '') -> Path:
    assert old in CVAT
    pictures(root / 'images')
    write(root / 'annotations.xml', CVAT.replace(old, new, 1) if old else CVAT)
    return root


def rectangle(label: str, box: tuple) -> dict:
    x1, y1, x2, y2 = box
    return dict(label=label, points=[[x2, y1], [x1, y2]], shape_type='rectangle', flags={}, group_id=None)


def labelme(root: Path, spoil=lambda content: None) -> Path:
    """``spoil`` changes the file of image a."""
    pictures(root)
    for name, boxes in BOXES.items():
        content = dict(
            version='5.4.1', flags={}, shapes=[rectangle(*box) for box in boxes], imagePath=f'{name}.jpg',
            imageData=None, imageHeight=48, imageWidth=64,
        )  # fmt: skip
        if name == 'a':
            spoil(content)
        write(root / f'{name}.json', json.dumps(content))
    return root


def voc(root: Path) -> Path:
    pictures(root / 'JPEGImages')
    for name, boxes in BOXES.items():
        objects = ''.join(
            f'<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{x1 + 1}</xmin>'
            f'<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
            for label, (x1, y1, x2, y2) in boxes
        )
        size = '<size><width>64</width><height>48</height></size>'
        write(root / f'Annotations/{name}.xml', f'<annotation>{size}{objects}</annotation>')
    return root


SETS = dict(voc=voc, coco=coco, yolo=yolo, csv=table, cvat=cvat, labelme=labelme)
