"""What can be known about the data before the first iteration; every check returns its findings."""

from mmengine.runner import Runner

from mdvision.findings import Finding

from .files import check_data_files
from .images import check_built_images
from .model import check_batches, check_num_classes
from .splits import check_splits

__all__ = ['check_data', 'check_data_files', 'check_test_data']


def check_data(runner: Runner) -> list[Finding]:
    """Find what is wrong with the data of a built training run, beyond its data sets' own checks."""
    training, check = runner.train_dataloader.dataset, runner.cfg.get('check_images')
    findings = check_batches(runner) + check_num_classes(runner)
    findings += check_built_images(training, 'train', check)
    if runner.cfg.get('val_dataloader'):
        validation = runner.val_dataloader.dataset
        findings += check_built_images(validation, 'val', check)
        findings += check_splits(training, validation)
    return findings


def check_test_data(runner: Runner) -> list[Finding]:
    """Find what is wrong with the data of a built test run."""
    return check_built_images(runner.test_dataloader.dataset, 'test', runner.cfg.get('check_images'))
