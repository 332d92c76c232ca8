"""Configs whose batches a sampler makes, as in the VOC config, train too."""

import pytest

from tests.running import run_tool


@pytest.mark.slow
def test_the_voc_config_trains_on_a_voc_folder(mini_voc, tmp_path):
    """``faster_rcnn_voc.py`` itself, narrow and short: two folders of the same data, aspect-ratio batches."""
    names = "('circle','cross','triangle')"
    loaders = [f'train_dataloader.dataset.datasets.{i}' for i in (0, 1)] + ['val_dataloader.dataset']
    loaders += ['test_dataloader.dataset']
    printed = run_tool(
        'train.py',
        'configs/emanet/faster_rcnn_voc.py',
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *(f'{loader}.data_root={mini_voc}' for loader in loaders),
        *(f'{loader}.metainfo.classes={names}' for loader in loaders),
        *(f'{loader}.ann_file=ImageSets/Main/train.txt' for loader in loaders[:2]),
        *(f'{loader}.ann_file=ImageSets/Main/val.txt' for loader in loaders[2:]),
        *(f'train_dataloader.dataset.datasets.{i}.pipeline.2.scale=(96,72)' for i in (0, 1)),
        'val_dataloader.dataset.pipeline.1.scale=(96,72)',
        'train_dataloader.batch_size=4',
        'model.backbone.base_channels=16',
        'model.backbone.stage_blocks=(1,1,1,1)',
        'model.backbone.gate_reduction=4',
        'model.backbone.groups=(1,2,4,4)',
        'model.neck.in_channels=[64,128,256,512]',
        'model.roi_head.bbox_head.num_classes=3',
        'train_cfg.max_epochs=1',
    )
    assert 'the learning rate is for a batch of 2; with 4 it is multiplied by 2' in printed
    assert '16 training images, 4 iterations of 4 images' in printed
    assert 'mAP at IoU 0.5:0.95 (COCO)' in printed
