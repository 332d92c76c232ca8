"""The plain nano ViT of NanoDiffVision's current MNIST table: 81,546 parameters.

    python tools/train.py configs/diff_vit/vit_nano_p4_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), current table of MNIST.
Reproduces: 91.70 % test accuracy, of the weights of the last epoch.

Patches of 4 pixels, width 64, 2 heads, batch 256, 10 epochs; the rest is that of vit_nano_mnist.py.
"""

_base_ = './vit_nano_mnist.py'

model = dict(backbone=dict(patch_size=4, embed_dim=64))

train_dataloader = dict(batch_size=256)
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=256)
