"""The plain nano ViT of NanoDiffVision's current FashionMNIST table: 81,546 parameters, 83.14 % published.

    python tools/train.py configs/diff_vit/vit_nano_p4_fashion_mnist.py

Patches of 4 pixels, width 64, 2 heads, batch 256, 30 epochs; the rest is that of
vit_nano_fashion_mnist.py. About 30 minutes on two CPU cores.
"""

_base_ = './vit_nano_fashion_mnist.py'

model = dict(backbone=dict(patch_size=4, embed_dim=64), neck=dict(in_channels=64))

train_dataloader = dict(batch_size=256)
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=256)
