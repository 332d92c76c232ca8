"""What a model says about one image."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mdvision.errors import UserError

if TYPE_CHECKING:
    import supervision

__all__ = ['Classification', 'Detections', 'Prediction', 'Unreadable']


@dataclass(frozen=True)
class Prediction:
    """What every prediction has.

    Attributes:
        source: the file, or a name such as ``'array 3'`` for an image from memory and ``'clip.mp4 frame 12'``
            for a frame.
        classes: the class names; a label is an index into them.
        size: (height, width) of the image in pixels, rotated as its EXIF tag says.
        image: (height, width, 3) uint8 RGB, if it was asked for.
    """

    source: str
    classes: tuple[str, ...]
    size: tuple[int, int]
    image: np.ndarray | None = field(default=None, repr=False, kw_only=True)


@dataclass(frozen=True)
class Detections(Prediction):
    """The objects that a detector found, best first.

    Attributes:
        boxes: (N, 4) float32, ``[x1, y1, x2, y2]`` in pixels of the image, which reaches from 0 to its width
            and height.
        scores: (N,) float32, from 0 to 1.
        labels: (N,) int64.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> 'Detections':
        """Return those with at least this score."""
        kept = self.scores >= score
        return Detections(
            self.source, self.classes, self.size, self.boxes[kept], self.scores[kept], self.labels[kept],
            image=self.image,
        )  # fmt: skip

    @property
    def names(self) -> list[str]:
        """The class name of each object."""
        return [self.classes[label] for label in self.labels]

    def to_dict(self) -> dict:
        """Return plain values, as in predictions.json."""
        objects = [
            dict(label=name, score=float(score), box=[float(value) for value in box])
            for name, score, box in zip(self.names, self.scores, self.boxes, strict=True)
        ]
        return dict(source=self.source, height=self.size[0], width=self.size[1], objects=objects)

    def to_supervision(self) -> 'supervision.Detections':
        """Return them for the library supervision, with its annotators, trackers and zones.

        ``data['class_name']`` has the class names, from which its labels are made.

        Raises:
            UserError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UserError(
                f'to_supervision() needs the package supervision, which cannot be imported ({error}). '
                'Install it: pip install supervision.'
            ) from error
        return supervision.Detections(
            xyxy=np.array(self.boxes, np.float32).reshape(-1, 4),
            confidence=np.array(self.scores, np.float32),
            class_id=np.array(self.labels, int),
            data=dict(class_name=np.array(self.names, str)),
        )


@dataclass(frozen=True)
class Classification(Prediction):
    """The scores of a classifier.

    Attributes:
        scores: (C,) float32, one per class; they sum to 1.
    """

    scores: np.ndarray

    @property
    def label(self) -> int:
        """The class with the highest score."""
        return int(self.scores.argmax())

    @property
    def name(self) -> str:
        """Its name."""
        return self.classes[self.label]

    @property
    def score(self) -> float:
        """Its score."""
        return float(self.scores.max())

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the classes with the highest scores, best first, each with its score."""
        best = np.argsort(-self.scores, kind='stable')[:count]
        return [(self.classes[label], float(self.scores[label])) for label in best]

    def to_dict(self, count: int = 5) -> dict:
        """Return plain values, as in predictions.json."""
        top = [dict(label=name, score=score) for name, score in self.top(count)]
        return dict(source=self.source, height=self.size[0], width=self.size[1], top=top)


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read: its file or name, and why."""

    source: str
    reason: str
