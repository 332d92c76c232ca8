"""Images as people have them: long, of one pixel, grey, CMYK, 16-bit, transparent, turned by EXIF.

Each shows a bright rectangle on dark ground, so that the pixels themselves tell where the box must be.
"""

import re

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import inference_detector, init_detector
from mmdet.models import BaseDetector
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from PIL import Image

from mdvision import UserError
from mdvision.config.fill import fill_config
from mdvision.console import import_upstream
from mdvision.engine.runner import Runner
from tests.running import ROOT

INK, GROUND = (230, 60, 20), (20, 40, 90)  # RGB
SIZE, BOX = (64, 48), (9, 5, 40, 20)  # width, height; VOC's corners, counted from 1 and inclusive
GOOD_JPEG = dict(quality=95, subsampling=0)
# What shows the stored picture upright again.
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def drawn(size=SIZE, box=BOX) -> Image.Image:
    pixels = np.full((size[1], size[0], 3), GROUND, np.uint8)
    pixels[box[1] - 1 : box[3], box[0] - 1 : box[2]] = INK
    return Image.fromarray(pixels)


def save_16_bit(picture, path):
    cv2.imwrite(str(path), np.asarray(picture)[..., ::-1].astype(np.uint16) * 256)


def save_palette(picture, path):
    picture = picture.quantize(4)
    picture.save(path, transparency=picture.getpixel((0, 0)))


def save_rgba(picture, path):
    pixels = np.asarray(picture.convert('RGBA')).copy()
    pixels[..., 3] = np.where(pixels[..., 0] > 100, 255, 0)
    Image.fromarray(pixels).save(path)


def save_turned(orientation):
    def save(picture, path):
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = GOOD_JPEG if path.suffix == '.jpg' else {}
        picture.transpose(TURNED[orientation]).save(path, exif=exif, **options)

    return save


# name -> how the picture is saved, size and box where they are others.
KINDS = {
    'tall.png': (lambda picture, path: picture.save(path), (37, 501), (6, 101, 30, 260)),
    'wide.png': (lambda picture, path: picture.save(path), (501, 37), (101, 6, 260, 30)),
    'pixel.png': (lambda picture, path: picture.save(path), (1, 1), (1, 1, 1, 1)),
    'grey.jpg': (lambda picture, path: picture.convert('L').save(path, **GOOD_JPEG),),
    'grey.png': (lambda picture, path: picture.convert('L').save(path),),
    'grey_16_bit.png': (lambda picture, path: save_16_bit(picture.convert('L').convert('RGB'), path),),
    'colour_16_bit.png': (save_16_bit,),
    'cmyk.jpg': (lambda picture, path: picture.convert('CMYK').save(path, **GOOD_JPEG),),
    'palette.png': (save_palette,),
    'rgba.png': (save_rgba,),
    **{f'exif_{number}.jpg': (save_turned(number),) for number in TURNED},
    'exif_6.png': (save_turned(6),),
}


def write_folder(root, kinds=KINDS):
    """A VOC folder whose XML files describe the picture as a person sees it."""
    for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (root / name).mkdir(parents=True)
    ids = []
    for name, (save, *shape) in kinds.items():
        size, box = shape or (SIZE, BOX)
        ids.append(name.replace('.', '_'))
        path = root / 'JPEGImages' / f'{ids[-1]}{name[-4:]}'
        save(drawn(size, box), path)
        write_xml(root / 'Annotations' / f'{ids[-1]}.xml', size, box)
    for split in ('train', 'val'):
        (root / f'ImageSets/Main/{split}.txt').write_text('\n'.join(ids))
    return root


def write_xml(path, size, box):
    corners = zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True)
    fields = ''.join(f'<{key}>{value}</{key}>' for key, value in corners)
    path.write_text(
        f'<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>'
        f'<object><name>ink</name><difficult>0</difficult><bndbox>{fields}</bndbox></object></annotation>'
    )


@pytest.fixture(scope='module')
def odd_voc(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp('odd') / 'data')


@pytest.fixture
def make_config(odd_voc, tmp_path, plain_config_text):
    """The demo's narrow detector on the odd images, with the pipelines of a data set of one's own."""

    def make(root=odd_voc) -> Config:
        import_upstream('mmdet')
        cfg = Config.fromfile(ROOT / 'configs/emanet/faster_rcnn_minivoc.py')
        pipelines = Config.fromfile(ROOT / 'configs/emanet/faster_rcnn_bccd_cpu.py')
        cfg.train_dataloader.dataset.pipeline = pipelines.train_pipeline
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.dataset.update(type='mdvision.VOCDataset', data_root=str(root), serialize_data=False)
            loader.dataset.metainfo.classes = ('ink',)
            for step in loader.dataset.pipeline:
                if step.type == 'Resize':
                    step.scale = (128, 96)
                if step.type == 'RandomFlip':
                    step.update(prob=1.0, direction='horizontal')
        fill_config(cfg)
        cfg.val_cfg = dict(type='mdvision.DetectionValLoop')
        cfg.train_cfg.update(max_epochs=1, val_interval=1)
        cfg.work_dir = str(tmp_path / 'run')
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
        cfg.experiment_name = cfg.visualizer.name = tmp_path.name
        return cfg

    return make


def ink_of(image: torch.Tensor) -> torch.Tensor:
    """Where the bright rectangle is in (3, H, W) of any of the kinds: (H, W), True inside."""
    brightness = image.float().amax(0)
    return brightness > (97 if brightness.min() < 97 else 0)


def corners_of(mask: torch.Tensor) -> torch.Tensor:
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


@pytest.mark.parametrize('split', ['train', 'val'])
def test_boxes_lie_on_their_objects_in_what_the_model_gets(make_config, split):
    """Of a training, which flips, in its pixels; of a validation, which does not, in the original's."""
    cfg = make_config()
    init_default_scope('mmdet')
    data_set = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    assert len(data_set) == len(KINDS)
    for index, name in enumerate(KINDS):
        packed, info = data_set[index], data_set.get_data_info(index)
        sample, image = packed['data_samples'], packed['inputs']
        size = (KINDS[name][1:] or (SIZE,))[0]
        assert (info['width'], info['height']) == sample.ori_shape[1::-1] == size
        boxes = sample.gt_instances.bboxes.tensor
        assert boxes.shape == (1, 4), name
        assert sample.img_shape == tuple(image.shape[1:])
        scale = torch.tensor(sample.scale_factor * 2)
        box = boxes[0] if split == 'train' else boxes[0] * scale
        mask = ink_of(image)
        assert (corners_of(mask) - box).abs().max() <= 1, name

        inside = image[:, mask].float().mean(1)
        ink = torch.tensor(INK)
        if 'grey' in name:
            assert inside.max() - inside.min() < 2, name
        else:
            assert (inside.flip(0) - ink).abs().max() < 12, name  # OpenCV's order is BGR
        if size != (1, 1):
            assert image[:, ~mask].float().mean() < 60, name


def pictures(data_set) -> dict[str, tuple]:
    """Path, (width, height) and true box of every picture, in pixels of the picture as it is shown."""
    infos = [data_set.get_data_info(index) for index in range(len(data_set))]
    return {
        info['img_id']: (info['img_path'], (info['width'], info['height']), info['instances'][0]['bbox'])
        for info in infos
    }


@pytest.mark.fault('1.6', '3.17')
@pytest.mark.parametrize('batch_size', [1, 4])
def test_a_detector_trains_on_them(make_config, batch_size):
    cfg = make_config()
    cfg.train_dataloader.batch_size = batch_size
    if batch_size == 1:  # the smallest and the longest by themselves
        cfg.train_dataloader.dataset.indices = [0, 1, 2]
    runner = Runner.from_cfg(cfg)
    predicted = {}

    def remember(module, args, outputs) -> None:
        if isinstance(outputs, list):
            predicted.update({sample.img_id: sample for sample in outputs})

    runner.model.register_forward_hook(remember)
    runner.train()
    assert runner.iter == len(runner.train_dataloader)
    numbers = runner.message_hub.log_scalars
    assert np.isfinite([numbers[f'{mode}/loss'].current() for mode in ('train', 'val')]).all()
    shown = pictures(runner.val_dataloader.dataset)
    assert predicted.keys() == shown.keys()
    for name, (_, (width, height), _) in shown.items():
        boxes = predicted[name].pred_instances.bboxes
        assert boxes.isfinite().all(), name
        assert ((boxes >= 0) & (boxes <= torch.tensor([width, height] * 2) + 1e-3)).all(), name


@MODELS.register_module(force=True)
class FindsInk(BaseDetector):
    """Sees the bright rectangle and, as mmdet's heads do, scales its box back to the original image."""

    def __init__(self, data_preprocessor: dict, backbone: dict):  # init_detector looks into the latter
        super().__init__(data_preprocessor)

    def loss(self, batch_inputs, batch_data_samples) -> dict:
        return dict(loss=batch_inputs.sum() * 0)

    def extract_feat(self, batch_inputs):
        return batch_inputs

    def _forward(self, batch_inputs, batch_data_samples=None):
        return batch_inputs

    def predict(self, batch_inputs, batch_data_samples, rescale=True) -> list:
        for image, sample in zip(batch_inputs, batch_data_samples, strict=True):
            height, width = sample.img_shape
            box = corners_of(ink_of(image[:, :height, :width])) / torch.tensor(sample.scale_factor * 2)
            found = dict(bboxes=box[None], scores=torch.ones(1), labels=torch.zeros(1, dtype=torch.long))
            sample.pred_instances = InstanceData(**found)
        return batch_data_samples


@pytest.fixture
def sees_ink(make_config):
    cfg = make_config()
    preprocessor = dict(type='DetDataPreprocessor', pad_size_divisor=32)
    cfg.model = dict(type='FindsInk', data_preprocessor=preprocessor, backbone=dict())
    return cfg


def test_a_detector_that_sees_the_objects_scores_fully(sees_ink):
    runner = Runner.from_cfg(sees_ink)
    metrics = runner.test()
    assert metrics['voc12/mAP50'] == pytest.approx(1)
    assert metrics['coco/mAP75'] == pytest.approx(1)


def test_inference_gives_boxes_in_pixels_of_the_picture_as_it_is_shown(sees_ink):
    model = init_detector(sees_ink, None, device='cpu', palette='random')
    init_default_scope('mmdet')
    for name, (path, size, box) in pictures(DATASETS.build(sees_ink.val_dataloader.dataset)).items():
        sample = inference_detector(model, path)
        assert sample.ori_shape == size[::-1], name
        one_pixel_of_the_input = 1 / min(sample.scale_factor)
        difference = (sample.pred_instances.bboxes[0] - torch.tensor(box)).abs().max()
        assert difference <= one_pixel_of_the_input, name


def test_what_exif_turns_away_from_its_boxes_is_named(tmp_path):
    """The XML has the stored size, so its boxes were drawn on the stored picture."""
    root = write_folder(tmp_path / 'data', {'a.jpg': KINDS['grey.jpg'], 'b.jpg': KINDS['exif_6.jpg']})
    write_xml(root / 'Annotations' / 'b_jpg.xml', (48, 64), (5, 25, 20, 56))
    init_default_scope('mmdet')
    load = dict(type='LoadImageFromFile')
    boxes, pack = dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')
    common = dict(
        type='mdvision.VOCDataset',
        data_root=str(root),
        ann_file='ImageSets/Main/train.txt',
        metainfo=dict(classes=('ink',)),
    )
    with pytest.raises(UserError, match=re.escape('JPEGImages/b_jpg.jpg: EXIF orientation 6')):
        DATASETS.build(dict(common, pipeline=[load, boxes, pack]))
    load['color_type'] = 'color_ignore_orientation'
    packed = DATASETS.build(dict(common, pipeline=[load, boxes, pack]))[1]
    box = packed['data_samples'].gt_instances.bboxes.tensor[0]
    assert (corners_of(ink_of(packed['inputs'])) - box).abs().max() <= 1
