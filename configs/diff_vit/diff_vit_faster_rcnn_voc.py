"""A differential ViT in Faster R-CNN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/diff_vit/diff_vit_faster_rcnn_voc.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.

The network of diff_vit_imagenet.py; a simple pyramid makes four feature maps of its one.
"""

_base_ = '../_base_/detectors/faster_rcnn_voc.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.DiffViT',
        attention='differential',
        out_type='featmap',
        image_size=224,
        patch_size=16,
        in_channels=3,
        embed_dim=192,
        hidden_dim=768,
        depth=12,
        num_heads=3,
        drop_rate=0.0,
        layer_index_start=1,
        head_norm=True,
        mlp_activation_out=False,
        unused_norm=False,
    ),
    neck=dict(_delete_=True, type='mdvision.SimplePyramid', in_channels=None, out_channels=256, num_outs=5),
)
