"""Check model and data loader against the training set: number of classes, at least one batch."""

from mmengine.runner import Runner

from mdvision.findings import Finding

__all__ = ['check_batches', 'check_num_classes']


def check_batches(runner: Runner) -> list[Finding]:
    """Refuse an epoch without iterations: it would save its checkpoint and report success."""
    loader = runner.train_dataloader
    if len(loader):
        return []
    text = (
        f'The training set has {len(loader.dataset)} images, which do not fill a batch of '
        f'{runner.cfg.train_dataloader.batch_size}: 0 iterations. Lower train_dataloader.batch_size'
    )
    return [Finding('error', 'train_dataloader', text)]


def check_num_classes(runner: Runner) -> list[Finding]:
    """Return one finding that names every ``num_classes`` that differs from the training set's."""
    metainfo = getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}
    classes = metainfo.get('classes')
    if not classes:
        return []
    wrong = []
    for name, module in runner.model.named_modules():
        number = getattr(module, 'num_classes', None)
        # Proposals have one class; backbones and segmentation branches have classes of their own.
        other = any(part in name for part in ('rpn', 'backbone', 'semantic'))
        if isinstance(number, int) and number > 0 and not other and number != len(classes):
            wrong.append((_key(runner, name), number))
    if not wrong:
        return []
    found = '; '.join(f'{key} is {number}' for key, number in wrong)
    keys = ' and '.join(key for key, _ in wrong)
    names = ', '.join(classes[:20]) + ', ...' * (len(classes) > 20)
    text = f'{found}, but the training set has {len(classes)} classes: {names}'
    return [Finding('error', 'num_classes', text, f'set {keys} to {len(classes)} in the config')]


def _key(runner: Runner, module: str) -> str:
    """Return the config key from which a module's ``num_classes`` comes."""
    top = runner.cfg.get('data_preprocessor')
    # mmengine builds a preprocessor from the config's top level if the model has none of its own.
    if module == 'data_preprocessor' and top and not (runner.cfg.get('model') or {}).get('data_preprocessor'):
        return 'data_preprocessor.num_classes'
    return f'model.{module}.num_classes'
