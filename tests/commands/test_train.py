"""What tools/train.py says before the first iteration."""

from pathlib import Path

from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler

from mdvision.commands.train import _announce
from tests.engine.toy import make_runner


@DATA_SAMPLERS.register_module(force=True)
class ToyBatches(BatchSampler):
    """Batches that are made by a batch sampler, as mmdet's of images of like shape."""

    def __init__(self, sampler, batch_size: int):
        super().__init__(sampler, batch_size, drop_last=False)


def test_the_size_of_batches_that_a_batch_sampler_makes(tmp_path, capsys):
    runner = make_runner(tmp_path, train_dataloader=dict(batch_size=4, batch_sampler=dict(type='ToyBatches')))
    assert runner.train_dataloader.batch_size is None
    _announce(runner, Path('somewhere'))
    assert '8 training images, 2 iterations of 4 images an epoch' in capsys.readouterr().out


def test_a_batch_larger_than_the_training_set(tmp_path, capsys):
    runner = make_runner(tmp_path, train_dataloader=dict(batch_size=16))
    _announce(runner, Path('somewhere'))
    assert 'the batch of 16 is larger than the training set' in capsys.readouterr().out
