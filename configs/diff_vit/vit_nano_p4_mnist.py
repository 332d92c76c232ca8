"""The plain nano ViT of NanoDiffVision's current MNIST table: 81,546 parameters, 91.70 % published.

    python tools/train.py configs/diff_vit/vit_nano_p4_mnist.py

Patches of 4 pixels, width 64, 2 heads, batch 256, 10 epochs; the rest is that of vit_nano_mnist.py.
About 10 minutes on two CPU cores.
"""

_base_ = './vit_nano_mnist.py'

model = dict(backbone=dict(patch_size=4, embed_dim=64), neck=dict(in_channels=64))

train_dataloader = dict(batch_size=256)
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=256)
