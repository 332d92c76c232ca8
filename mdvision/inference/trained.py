"""A trained model, ready to predict."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mdvision.checkpoints.reading import match_weights
from mdvision.config.tree import type_name
from mdvision.console import import_upstream, say
from mdvision.errors import UserError
from mdvision.work_dir.model_file import read_model

from .predictions import Classification, Detections, Unreadable
from .sources import Frame, Source, open_source, read_file
from .zoo import find_trained

__all__ = ['TrainedModel', 'load', 'predict']


def load(model: str | Path, device: str | torch.device | None = None) -> 'TrainedModel':
    """Load a trained model.

    No code from the file is executed. The classes it names must be registered: those of mdvision and the
    upstream libraries are, your own are once you have imported their module.

    Args:
        model: ``model.json`` or ``model.safetensors`` of a run, the folder of both, a checkpoint
            (``.pth``), or a model that comes with mdvision (``mdvision.list_models(pretrained=True)``).
        device: ``'cpu'``, ``'cuda'``, ...; by default the GPU if there is one.

    Raises:
        UserError: the file is missing, damaged, incomplete or of another program; the message says which.

    Example::

        detector = mdvision.load('work_dirs/faster_rcnn_minivoc')
        found = detector.predict('street.jpg')[0]
        found.boxes, found.scores, found.names
    """
    path = Path(model)
    if not path.exists() and not path.suffix and len(path.parts) == 1:
        path = find_trained(path.name)
    description, weights = read_model(path)
    config = description['config']
    scope = config['default_scope']
    import_upstream(scope)
    with DefaultScope.overwrite_default_scope(scope):
        try:
            network = MODELS.build(ConfigDict(config['model']))
            prepare = _compose(config['pipeline'])
        except KeyError as error:
            modules = (config.get('custom_imports') or {}).get('imports')
            which = f' (the run imported {modules})' if modules else ''
            raise UserError(
                f'{path}: {error.args[0] if error.args else error} Import the module that registers it '
                f'before loading the model{which}.'
            ) from error
    advice = 'The weights are not those of the config beside them.'
    matched, _ = match_weights(network.state_dict(), weights, str(path), 1.0, advice)
    network.load_state_dict(matched, strict=False)
    device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    return TrainedModel(network.to(device).eval(), description, prepare)


def _compose(pipeline: list[dict]) -> tuple[object | None, Compose]:
    """Return the transform that loads a file, if there is one, and the others."""
    from mmengine.registry import TRANSFORMS

    loads = bool(pipeline) and type_name(pipeline[0]) == 'LoadImageFromFile'
    return TRANSFORMS.build(pipeline[0]) if loads else None, Compose(pipeline[loads:])


class TrainedModel:
    """A trained classifier or detector.

    Attributes:
        model: the network, as the upstream library builds it, in evaluation mode.
        classes: the class names; a label is an index into them.
        task: ``'classification'`` or ``'detection'``.
        config: the config of the network and of the preparation of images, as plain values.
        description: everything that ``model.json`` says.
    """

    def __init__(self, model: nn.Module, description: dict, prepare: tuple):
        self.model = model
        self.description = description
        self.classes = tuple(description['classes'])
        self.task: str = description['task']
        self.config: dict = description['config']
        self._load, self._transforms = prepare

    def __repr__(self) -> str:
        return f'<{self.task} {self.description["name"]}: {len(self.classes)} classes>'

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    def predict(self, source: object, **options) -> list[Detections | Classification]:
        """Return a prediction per image of a source; for a long video use :meth:`stream`.

        What cannot be read is reported and left out.

        Args:
            source: see :func:`~mdvision.inference.sources.open_source`.
            options: those of :meth:`stream`.

        Raises:
            UserError: nothing of the source can be read; and as :meth:`stream`.
        """
        found, failed = [], []
        for one in self.stream(source, **options):
            (failed if isinstance(one, Unreadable) else found).append(one)
        for one in failed:
            say(f'warning: {one.source}: {one.reason}')
        if failed and not found:
            raise UserError(f'Nothing to predict on: {failed[0].source}: {failed[0].reason}')
        return found

    def stream(
        self,
        source: object,
        *,
        batch_size: int = 16,
        score: float = 0.0,
        color: str = 'rgb',
        images: bool = False,
        workers: int = 1,
    ) -> Iterator[Detections | Classification | Unreadable]:
        """Yield a prediction per image, in order; memory does not grow with their number.

        The images are prepared as in ``tools/test.py``. Only images of the same size are put into one batch,
        so that none is padded for the sake of another: a prediction does not depend on the batch size.

        Args:
            source: a source, or what :func:`~mdvision.inference.sources.open_source` takes.
            batch_size: images per forward pass, at most.
            score: detections with a lower score are left out.
            color: the channel order of arrays, ``'rgb'`` or ``'bgr'``.
            images: keep the image in the prediction, to draw on it.
            workers: threads that read and prepare images while the network computes.

        Raises:
            UserError: see :func:`~mdvision.inference.sources.open_source`.
        """
        source = source if isinstance(source, Source) else open_source(source, color)
        frames = iter(source)
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future] = deque()
            for frame in islice(frames, 2 * batch_size):
                waiting.append(pool.submit(self._prepared, frame))
            batch: list[tuple] = []
            while waiting:
                one = waiting.popleft().result()
                waiting.extend(pool.submit(self._prepared, frame) for frame in islice(frames, 1))
                other = isinstance(one, Unreadable) or (batch and _shape(one) != _shape(batch[0]))
                if batch and (other or len(batch) == batch_size):
                    yield from self._predicted(batch, score, images)
                    batch = []
                if isinstance(one, Unreadable):
                    yield one
                else:
                    batch.append(one)
            if batch:
                yield from self._predicted(batch, score, images)

    def _prepared(self, frame: Frame | Unreadable) -> tuple | Unreadable:
        """Read and transform an image: its name, its pixels (BGR) and what the network takes."""
        if isinstance(frame, Unreadable):
            return frame
        try:
            pixels = self._pixels(frame)
            if isinstance(pixels, Unreadable):
                return pixels
            results = dict(img=pixels, img_path=frame.name, img_id=frame.name)
            results['img_shape'] = results['ori_shape'] = pixels.shape[:2]
            if 'array_side' in self.config:
                results['img'] = self._as_array(pixels)
                results['img_shape'] = results['img'].shape[:2]
            elif frame.path is None and self._load.color_type == 'grayscale':
                results['img'] = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
            return frame.name, pixels, self._transforms(results)
        except Exception as error:  # one image of a thousand, of which the others are predicted
            return Unreadable(frame.name, f'{type(error).__name__}: {error}')

    def _pixels(self, frame: Frame) -> np.ndarray | Unreadable:
        if frame.path is None:
            return frame.pixels
        fault = read_file(frame.path)
        if fault:
            return Unreadable(frame.name, fault)
        if self._load is not None:  # as in training
            return self._load(dict(img_path=str(frame.path)))['img']
        pixels = cv2.imread(str(frame.path), cv2.IMREAD_COLOR)
        return Unreadable(frame.name, 'OpenCV cannot decode it') if pixels is None else pixels

    def _as_array(self, pixels: np.ndarray) -> np.ndarray:
        """Return a picture as data sets that keep their images in memory do: small, and RGB or gray."""
        side = self.config['array_side']
        if pixels.shape[:2] != (side, side):
            shrinks = side < min(pixels.shape[:2])
            pixels = cv2.resize(
                pixels, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            )
        channels = len(self.config['model']['data_preprocessor'].get('mean') or [0] * 3)
        if channels == 1:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[..., None]
        return np.ascontiguousarray(pixels[..., ::-1])

    @torch.inference_mode()
    def _predicted(
        self, batch: list[tuple], score: float, images: bool
    ) -> Iterator[Detections | Classification]:
        inputs = [data['inputs'] for _, _, data in batch]
        samples = [data['data_samples'] for _, _, data in batch]
        if self.task == 'classification':
            inputs = torch.stack(inputs)
        outputs = self.model.test_step(dict(inputs=inputs, data_samples=samples))
        for (name, pixels, _), output in zip(batch, outputs, strict=True):
            facts = dict(source=name, classes=self.classes, size=pixels.shape[:2])
            if images:
                rgb = np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels[..., ::-1]
                facts['image'] = np.ascontiguousarray(rgb.clip(0, 255).astype(np.uint8))
            if self.task == 'classification':
                yield Classification(scores=output.pred_score.float().cpu().numpy(), **facts)
                continue
            found = output.pred_instances
            order = found.scores.argsort(descending=True, stable=True)
            yield Detections(
                boxes=found.bboxes[order].float().cpu().numpy(),
                scores=found.scores[order].float().cpu().numpy(),
                labels=found.labels[order].cpu().numpy(),
                **facts,
            ).above(score)


def _shape(prepared: tuple) -> tuple[int, ...]:
    return tuple(prepared[2]['inputs'].shape)


def predict(
    model: 'TrainedModel | str | Path', source: object, **options
) -> list[Detections | Classification]:
    """Predict on images: ``mdvision.predict('work_dirs/my_run', 'shots/')``.

    Args:
        model: what :func:`load` takes or returns.
        source: see :func:`~mdvision.inference.sources.open_source`.
        options: those of :meth:`TrainedModel.stream`.
    """
    trained = model if isinstance(model, TrainedModel) else load(model)
    return trained.predict(source, **options)
