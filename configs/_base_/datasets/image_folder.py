"""Pictures of your own, a folder for each class; the classes are the folders of train, sorted.

    data/pictures/train/cat/*.jpg  train/dog/*.jpg
                  val/cat/*.jpg    val/dog/*.jpg

configs/image_folder/resnet18.py builds on it: begin a config of yours with that one, see docs/your_data.md.
"""

_base_ = './imagenet.py'

_files = dict(type='mdvision.ImageFolder', data_root='data/pictures')
train_dataloader = dict(batch_size=32, dataset=_files)
val_dataloader = dict(batch_size=32, dataset=_files)
test_dataloader = val_dataloader
accuracy = dict(type='Accuracy', topk=(1,))
val_evaluator = [accuracy, dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
