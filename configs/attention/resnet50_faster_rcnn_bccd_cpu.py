"""The narrow, shallow ResNet that the BCCD detector for a CPU is compared with.

    python tools/train.py configs/attention/resnet50_faster_rcnn_bccd_cpu.py

Source: ours, on Shenggan/BCCD_Dataset.
Reproduces: no published number.

As ../emanet/faster_rcnn_bccd_cpu.py in everything but the backbone, which has the same blocks and
width. docs/comparisons/bccd.md compares the two.
"""

_base_ = '../emanet/faster_rcnn_bccd_cpu.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.AttentionResNet',
        depth=50,
        stem='imagenet',
        stage_blocks=(1, 1, 1, 1),
        base_channels=16,
        out_indices=(0, 1, 2, 3),
    )
)
