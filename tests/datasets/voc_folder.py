"""A VOC folder that tests build and spoil."""

import numpy as np
from PIL import Image

from mdvision.datasets import VOCDataset

CATS = {'classes': ('cat', 'dog')}
TRAIN = 'ImageSets/Main/train.txt'


def item(name='cat', box=(2, 3, 30, 20), difficult='<difficult>0</difficult>'):
    fields = ''.join(f'<{k}>{v}</{k}>' for k, v in zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True))
    return f'<object><name>{name}</name>{difficult}<bndbox>{fields}</bndbox></object>'


class Folder:
    """A VOC folder under construction: images are 64x48, every one whole and with a cat and a dog."""

    def __init__(self, root, ids=('a', 'b', 'c')):
        self.root = root
        for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
            (root / name).mkdir(parents=True)
        for number, image_id in enumerate(ids):
            self.image(image_id, number)
            self.xml(image_id, item() + item('dog'))
        self.split(ids)

    def image(self, image_id, number=0, size=(64, 48), suffix='.jpg', **options):
        noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        path = self.root / 'JPEGImages' / f'{image_id}{suffix}'
        Image.fromarray(noise).save(path, 'JPEG' if suffix.lower() == '.jpg' else None, **options)
        return path

    def xml(self, image_id, objects='', size=(64, 48), filename=None):
        size = f'<size><width>{size[0]}</width><height>{size[1]}</height></size>' if size else ''
        path = self.root / 'Annotations' / f'{image_id}.xml'
        path.write_text(
            f'<annotation><filename>{filename or image_id + ".jpg"}</filename>{size}{objects}</annotation>'
        )
        return path

    def split(self, ids, name='train'):
        (self.root / f'ImageSets/Main/{name}.txt').write_text(''.join(f'{i}\n' for i in ids))

    def read(self, **options):
        # without serialising: mmengine collects garbage there, 0.2 s each time
        # and without decoding, which starts a process, 0.2 s
        given = {'data_root': str(self.root), 'ann_file': TRAIN, 'metainfo': CATS, 'serialize_data': False}
        return VOCDataset(**{**given, 'check_images': 'header', **options})


def turned(folder, xml_size):
    exif = Image.Exif()
    exif[0x0112] = 6
    folder.image('b', exif=exif)
    folder.xml('b', item(), xml_size)
