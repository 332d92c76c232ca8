"""Draw one image of the generated data set: a cluttered background and objects of three classes.

Masks and images are (height, width[, 3]) arrays in BGR order; sizes are (width, height) in pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ['CLASSES', 'SPLITS', 'DrawnObject', 'draw_image']

CLASSES = ('circle', 'cross', 'triangle')
SPLITS = ('train', 'val')

EMPTY_FRACTION = 0.08
MIN_VISIBLE = 0.15  # below it, an object is not drawn at all
DIFFICULT_VISIBLE = 0.45
TINY_SIDE = 12  # pixels of the shorter box side
MAX_TURN = 0.25  # radians: shapes only lean, so that a small network learns them in minutes
# (saturation, value) ranges, 0..255 as in OpenCV. Objects are bright and colorful on a dull, darker
# background, so that a network can tell them apart after a few hundred images.
DULL = ((0, 70), (50, 140))
BRIGHT = ((110, 256), (150, 256))
CONTRAST = 42.0  # distance in CIELAB (8-bit OpenCV units) between a fill and its surroundings


@dataclass
class DrawnObject:
    """One drawn object. Masks are (height, width) of the image; ``alpha`` is its soft coverage 0..1."""

    name: str
    alpha: np.ndarray
    mask: np.ndarray
    full_pixels: int  # of the whole shape, including the part outside the image
    truncated: bool
    visible: np.ndarray  # the part of ``mask`` that no later object hides
    low_contrast: bool = False

    @property
    def visible_fraction(self) -> float:
        return float(self.visible.sum()) / self.full_pixels

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(xmin, ymin, xmax, ymax), 1-based and inclusive as in VOC: tight around the part in the image."""
        ys, xs = np.nonzero(self.mask)
        return int(xs.min()) + 1, int(ys.min()) + 1, int(xs.max()) + 1, int(ys.max()) + 1

    @property
    def difficult(self) -> bool:
        xmin, ymin, xmax, ymax = self.box
        tiny = min(xmax - xmin, ymax - ymin) + 1 < TINY_SIDE
        return tiny or self.low_contrast or self.visible_fraction < DIFFICULT_VISIBLE


def _noise(rng: np.random.Generator, width: int, height: int, cell: float) -> np.ndarray:
    """Return smooth noise in about -1..1, (height, width, 3), with features of about ``cell`` pixels."""
    grid = (max(2, round(height / cell) + 1), max(2, round(width / cell) + 1), 3)
    coarse = rng.uniform(-1, 1, grid).astype(np.float32)
    gray = coarse.mean(axis=2, keepdims=True)  # mostly brightness, some color, as in photographs
    return cv2.resize(0.75 * gray + 0.25 * coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _random_color(rng: np.random.Generator, kind: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """Return a BGR color, float 0..255, of any hue, with saturation and value in two half-open ranges."""
    hsv = np.uint8([[[rng.integers(0, 180), *(rng.integers(*limits) for limits in kind)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Draw a gradient between two dull colors, noise at three scales, and clutter of no class."""
    first, second = (_random_color(rng, DULL) for _ in range(2))
    angle = rng.uniform(0, 2 * np.pi)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    ramp = (xs / width - 0.5) * np.cos(angle) + (ys / height - 0.5) * np.sin(angle) + 0.5
    ramp = np.clip(ramp, 0, 1)[..., None]
    image = first * (1 - ramp) + second * ramp
    for cell, strength in ((48, 34), (14, 20), (4, 12)):
        image = image + strength * rng.uniform(0.3, 1.0) * _noise(rng, width, height, cell)
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(2, 8)):
        kind = BRIGHT if rng.random() < 0.3 else DULL
        color = tuple(float(c) for c in _random_color(rng, kind))
        thickness = int(rng.integers(1, 4))
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        if rng.random() < 0.5:
            points = np.array([[x, y]]) + np.cumsum(rng.integers(-40, 41, (rng.integers(2, 4), 2)), axis=0)
            cv2.polylines(image, [points.astype(np.int32)], False, color, thickness, cv2.LINE_AA)
        else:  # at most half of an ellipse: a whole one would be an unlabeled circle
            axes = (int(rng.integers(5, 35)), int(rng.integers(5, 35)))
            start = int(rng.integers(0, 360))
            span = int(rng.integers(30, 170))
            turn = int(rng.integers(0, 180))
            cv2.ellipse(image, (x, y), axes, turn, start, start + span, color, thickness, cv2.LINE_AA)
    return image.astype(np.float32)


def _outline(name: str) -> np.ndarray:
    """Return the polygon of a class, (points, 2), centered, with a half-side of about one."""
    if name == 'cross':
        arm = 0.38
        quarter = np.array([(arm, -1.0), (arm, -arm), (1.0, -arm)])
        turns = [np.array([[c, -s], [s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
        return np.concatenate([quarter @ turn.T for turn in turns])
    corners = {'triangle': 3, 'circle': 72}[name]
    angles = np.arange(corners) * 2 * np.pi / corners - np.pi / 2
    return {'triangle': 1.25, 'circle': 1.0}[name] * np.stack([np.cos(angles), np.sin(angles)], 1)


def _place(rng: np.random.Generator, name: str, width: int, height: int) -> DrawnObject | None:
    """Sample size, rotation, proportions and place; None if too little of the object is in the image."""
    scale = min(width, height) / 120
    smallest, largest = 20.0, max(32.0, 72.0 * scale)
    # A power above one: somewhat more small objects than large ones.
    half = 0.5 * (smallest + (largest - smallest) * rng.random() ** 1.2)
    polygon = _outline(name) * half
    turn = rng.uniform(-MAX_TURN, MAX_TURN)
    stretch = np.diag(rng.uniform(0.88, 1.12, 2))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    polygon = polygon @ rotation.T @ stretch
    low, high = polygon.min(0), polygon.max(0)
    if rng.random() < 0.18:  # anywhere: often cut off by the border
        center = rng.uniform(0, [width, height])
    else:
        first, last = 1 - low, np.array([width, height]) - 2 - high
        if (last <= first).any():
            return None
        center = rng.uniform(first, last)
    pad = int(np.ceil(np.abs(polygon).max())) + 2
    canvas = np.zeros((height + 2 * pad, width + 2 * pad), np.uint8)
    points = np.round((polygon + center + pad) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, shift=4)
    whole = canvas >= 128
    inside = np.s_[pad : pad + height, pad : pad + width]
    mask = whole[inside]
    full_pixels = int(whole.sum())
    if full_pixels == 0 or mask.sum() < MIN_VISIBLE * full_pixels:
        return None
    return DrawnObject(
        name=name,
        alpha=canvas[inside].astype(np.float32) / 255,
        mask=mask,
        full_pixels=full_pixels,
        truncated=int(mask.sum()) < full_pixels,
        visible=mask.copy(),
    )


def _arrange(rng: np.random.Generator, width: int, height: int) -> list[DrawnObject]:
    """Place the objects of one image in drawing order; each stays visible by at least ``MIN_VISIBLE``."""
    if rng.random() < EMPTY_FRACTION:
        return []
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.12, 0.25, 0.3, 0.22, 0.11]))
    names = [CLASSES[c] for _ in range(2) for c in rng.permutation(len(CLASSES))][:count]
    objects: list[DrawnObject] = []
    for name in names:
        may_overlap = rng.random() < 0.15
        for _ in range(30):
            new = _place(rng, name, width, height)
            if new is None:
                continue
            left = [o.visible & ~new.mask for o in objects]
            least = MIN_VISIBLE if may_overlap else 0.9
            if all(
                v.sum() >= min(least * o.full_pixels, o.visible.sum())
                for o, v in zip(objects, left, strict=True)
            ):
                for other, visible in zip(objects, left, strict=True):
                    other.visible = visible
                objects.append(new)
                break
    return objects


def _lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_BGR2LAB).astype(np.float32)


def _paint(rng: np.random.Generator, image: np.ndarray, item: DrawnObject) -> np.ndarray:
    """Paint an object over ``image`` (height, width, 3), in a color that almost always stands out."""
    height, width = image.shape[:2]
    ring = cv2.dilate(item.mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~item.mask
    around = _lab(image)[ring if ring.any() else ~item.mask].mean(axis=0)
    item.low_contrast = bool(rng.random() < 0.03)
    best, best_error = _random_color(rng, BRIGHT), np.inf
    for _ in range(25):
        color = _random_color(rng, BRIGHT)
        distance = float(np.linalg.norm(_lab(color[None, None])[0, 0] - around))
        error = abs(distance - 14) if item.low_contrast else max(0.0, CONTRAST - distance)
        if error < best_error:
            best, best_error = color, error
        if best_error == 0:
            break
    item.low_contrast = item.low_contrast or best_error > CONTRAST / 2

    fill = np.broadcast_to(best, image.shape).astype(np.float32)
    style = rng.choice(['flat', 'gradient', 'stripes', 'noise'])
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = xs * np.cos(angle) + ys * np.sin(angle)
    if style == 'gradient':
        inside = along[item.mask]
        fill = fill + 30 * (2 * (along - inside.min()) / max(np.ptp(inside), 1) - 1)[..., None]
    elif style == 'stripes':
        fill = fill + 16 * np.sign(np.sin(along * (2 * np.pi / rng.uniform(4, 10))))[..., None]
    elif style == 'noise':
        fill = fill + 26 * _noise(rng, width, height, rng.uniform(3, 9))
    alpha = item.alpha[..., None]
    if rng.random() < 0.3 and not item.low_contrast:
        inner = cv2.erode(item.mask.astype(np.uint8), np.ones((3, 3), np.uint8))[..., None]
        fill = np.where(inner, fill, fill * rng.uniform(0.45, 0.75))
    return image * (1 - alpha) + fill * alpha


def draw_image(
    split: str, index: int, size: tuple[int, int], seed: int
) -> tuple[np.ndarray, list[DrawnObject]]:
    """Draw one image, (height, width, 3) BGR uint8; return it and its objects in drawing order."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    width, height = size
    image = _background(rng, width, height)
    objects = _arrange(rng, width, height)
    for item in objects:
        image = _paint(rng, image, item)
    image = 255 * (np.clip(image, 0, 255) / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.85, 1.1)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.7))
    image = image + rng.normal(0, rng.uniform(1, 5), image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), objects
