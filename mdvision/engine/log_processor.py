"""The line of each log step, and the names of all logged numbers."""

import datetime

from mmengine.runner import LogProcessor

from mdvision.engine.hooks.shared_losses import share_losses

__all__ = ['ProgressLog']


class ProgressLog(LogProcessor):
    """mmengine's log processor with human-readable lines and correctly aggregated losses.

    ``epoch  3/20  iter  20/30  loss 0.6990 (rpn_cls 0.031, ...)  lr 8.7e-04  0.42 s/iter  eta 0:03:10``

    The records differ from mmengine's in three ways: a training loss is the mean over all processes,
    not that of the first; a validation loss belongs to this validation alone and is not averaged with
    earlier ones; and it is named ``val/loss``, so that no chart mixes it with the training loss.
    """

    def get_log_after_iter(self, runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        if mode == 'train':
            share_losses(runner)
        tag, _ = super().get_log_after_iter(runner, batch_idx, mode)
        if mode != 'train':
            loader = runner.val_dataloader if mode == 'val' else runner.test_dataloader
            return tag, f'{"validation" if mode == "val" else "test"}  batch {batch_idx + 1}/{len(loader)}'
        parts = []
        if self.by_epoch:
            epochs, iters = runner.max_epochs, len(runner.train_dataloader)
            parts.append(f'epoch {tag["epoch"]:>{len(str(epochs))}}/{epochs}')
            parts.append(f'iter {batch_idx + 1:>{len(str(iters))}}/{iters}')
        else:
            parts.append(f'iter {tag["iter"]:>{len(str(runner.max_iters))}}/{runner.max_iters}')
        parts.append(_loss_text(tag, ''))
        if 'lr' in tag:
            parts.append(f'lr {tag["lr"]:.1e}')
        if 'time' in tag:
            parts.append(f'{tag["time"]:.2f} s/iter')
            waiting = tag.get('data_time', 0.0)
            if waiting > 0.3 * tag['time']:
                parts.append(f'({100 * waiting / tag["time"]:.0f} % of it waiting for data)')
        if 'memory' in tag:
            parts.append(f'{tag["memory"]} MiB')
        if 'eta' in runner.message_hub.runtime_info:
            eta = datetime.timedelta(seconds=int(runner.message_hub.get_info('eta')))
            parts.append(f'eta {eta}')
        return tag, '  '.join(parts)

    def get_log_after_epoch(
        self, runner, batch: int, mode: str, with_non_scalar: bool = False
    ) -> tuple[dict, str]:
        tag, host_line = super().get_log_after_epoch(runner, batch, mode, with_non_scalar)
        if mode == 'train':
            return tag, host_line
        recorded = runner.message_hub.log_scalars
        for key in tag:
            name = key if self.log_with_hierarchy else f'{mode}/{key}'
            if 'loss' in key and name in recorded:
                tag[key] = recorded[name].current()
        if mode == 'val':
            tag = {f'val/{k}' if 'loss' in k and not k.startswith('val') else k: v for k, v in tag.items()}
        # The numbers of individual classes are in the table that the metric has just printed.
        dataset = (runner.val_dataloader if mode == 'val' else runner.test_dataloader).dataset
        metainfo = getattr(dataset, 'metainfo', None) or {}
        endings = tuple(f'_{name}' for name in metainfo.get('classes') or ())
        headline = {
            key: value
            for key, value in tag.items()
            if isinstance(value, float) and not key.endswith(endings) and key not in ('time', 'data_time')
        }
        losses = {key: headline.pop(key) for key in list(headline) if 'loss' in key}
        prefix = 'val/' if mode == 'val' else ''
        shown = [f'{key} {value:.4f}' for key, value in headline.items()]
        shown += [_loss_text(losses, prefix)] if losses else []
        where = mode
        if mode == 'val' and runner.iter:  # in a training
            where = f'epoch {runner.epoch}' if self.by_epoch else f'iter {runner.iter}'
        return tag, f'{where}  ' + '  '.join(shown)


def _loss_text(tag: dict, prefix: str) -> str:
    """Return ``loss 0.6990 (rpn_cls 0.031, ...)``, or '' if there is no loss."""
    total = f'{prefix}loss'
    parts = [
        f'{key.removeprefix(prefix).replace("loss_", "")} {value:.3f}'
        for key, value in tag.items()
        if 'loss' in key and key != total
    ]
    texts = [f'{total} {tag[total]:.4f}'] if total in tag else []
    return ' '.join(texts + ([f'({", ".join(parts)})'] if parts else []))
