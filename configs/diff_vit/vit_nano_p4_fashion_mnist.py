"""The plain nano ViT of NanoDiffVision's current FashionMNIST table: 81,546 parameters.

    python tools/train.py configs/diff_vit/vit_nano_p4_fashion_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), current table of FashionMNIST.
Reproduces: 83.14 % test accuracy, of the weights of the last epoch.

Patches of 4 pixels, width 64, 2 heads, batch 256, 30 epochs; the rest is that of
vit_nano_fashion_mnist.py.
"""

_base_ = './vit_nano_fashion_mnist.py'

model = dict(backbone=dict(patch_size=4, embed_dim=64))

train_dataloader = dict(batch_size=256)
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=256)
