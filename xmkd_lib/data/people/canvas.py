"""Painting many small pictures at once: soft-edged shapes in a posed frame, window by window, and a blur.

Arrays are (n, H, W), one picture a row, colours (3, n, 1, 1), everything else a number or (n, 1, 1). All arithmetic is
elementwise and in double precision, so that no picture depends on the others of its batch.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

Value = float | np.ndarray  # one for all pictures, or one a picture: (n, 1, 1)


class Pose(NamedTuple):
    """Where the frame lies in the picture: lengths in half widths, roll in radians, yaw (a slight turn) -1 to 1."""

    shift_x: Value
    shift_y: Value
    roll: Value
    scale: Value
    yaw: Value


class Ellipse(NamedTuple):
    """A bent, tapered, more or less square ellipse about (x, y), half axes rx and ry, in the frame's coordinates."""

    x: Value
    y: Value
    rx: Value
    ry: Value
    square: Value | None = None  # 0 an ellipse to 1 a rectangle
    taper: Value | None = None  # share of the width lost at the bottom
    bend: Value | None = None  # how far the ends are raised
    angle: Value | None = None  # radians
    depth: float = 0.0  # before the axis: how far a full turn moves it


class Canvas:
    """Pictures (3, n, H, W) and the frame's coordinates in them (n, H, W): shapes are given in the frame."""

    def __init__(self, image: np.ndarray, pose: Pose):
        size = image.shape[-1]
        grid = (np.arange(size) + 0.5) * (2 / size) - 1
        x, y = grid - pose.shift_x, grid[:, None] - pose.shift_y
        cos, sin = np.cos(pose.roll) / pose.scale, np.sin(pose.roll) / pose.scale
        self.image, self.pose = np.ascontiguousarray(image), pose  # a window is written through a flat view
        self.x, self.y = cos * x + sin * y, cos * y - sin * x
        self.pixel = 2 / size / pose.scale

    @contextmanager
    def window(self, x: Value, y: Value, width: float, height: float, depth: float = 0.0) -> Iterator["Canvas"]:
        """The surroundings of a small feature, of one size whatever the scale: what is painted there is painted here.

        `width` and `height` are in half widths of the picture, not of the frame.
        """
        pose, size = self.pose, self.image.shape[-1]
        x = x + depth * pose.yaw
        cos, sin = np.cos(pose.roll) * pose.scale, np.sin(pose.roll) * pose.scale
        across = _window(cos * x - sin * y + pose.shift_x, width, size)
        down = _window(sin * x + cos * y + pose.shift_y, height, size)
        where = (np.arange(len(across))[:, None, None] * size + down.swapaxes(1, 2)) * size + across
        pixels = self.image.reshape(3, -1)
        part = copy.copy(self)
        part.x, part.y, part.image = self.x.take(where), self.y.take(where), pixels.take(where, axis=1)
        yield part
        pixels[:, where] = part.image

    def distance(self, shape: Ellipse) -> np.ndarray:
        """Distance to a shape's outline (n, H, W), positive inside, near enough for soft edges."""
        x, y = self.x - (shape.x + shape.depth * self.pose.yaw), self.y - shape.y
        if shape.angle is not None:
            cos, sin = np.cos(shape.angle), np.sin(shape.angle)
            x, y = cos * x + sin * y, cos * y - sin * x
        across, down = 1 / shape.rx, 1 / shape.ry
        u, v = x * across, y * down
        if shape.taper is not None:
            u /= 1 - shape.taper * np.minimum(np.maximum(v, 0), 1) ** 2
        u2 = u * u
        if shape.bend is not None:
            v += u2 * (shape.bend * down)
        v2 = v * v
        if shape.square is None:
            inside = (1 - u2 - v2) / (np.sqrt(u2 * (4 * across**2) + v2 * (4 * down**2)) + 1e-9)
            if shape.bend is None:
                return inside
            return np.minimum(inside, (1 - np.abs(u)) * shape.rx)  # thin bent ones would trail off at their ends
        # Fernandez-Guasti's squircle; without the clip its far branches would show in the corners of the picture.
        flat_u, flat_v = 1 - shape.square * np.minimum(v2, 1), 1 - shape.square * np.minimum(u2, 1)
        return (1 - u2 - v2 * flat_v) / (2 * np.sqrt((u * flat_u * across) ** 2 + (v * flat_v * down) ** 2) + 1e-9)

    def paint(self, distance: np.ndarray, colour: np.ndarray, opacity: Value = 1.0, soft: float = 0.0) -> None:
        """Lay a colour over the inside of a shape (n, H, W); `soft` widens the edge beyond one pixel."""
        cover = distance * (1 / (self.pixel + soft))
        cover += 0.5
        np.clip(cover, 0, 1, out=cover)
        cover *= opacity
        change = colour - self.image
        change *= cover
        self.image += change

    def draw(self, shape: Ellipse, colour: np.ndarray, opacity: Value = 1.0, soft: float = 0.0) -> None:
        """Paint a shape."""
        self.paint(self.distance(shape), colour, opacity, soft)


def _window(centre: np.ndarray, length: float, size: int) -> np.ndarray:
    """Indices (n, 1, pixels) of so many half widths about a centre, shifted to lie inside the picture."""
    pixels = min(math.ceil(length * size / 2) + 1, size)
    first = np.rint((centre + 1) * (size / 2) - pixels / 2).astype(np.int64)
    return np.clip(first, 0, size - pixels) + np.arange(pixels)


def blur(image: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Gaussian of `sigma` pixels (n, 1, 1) over (3, n, H, W), edges repeated."""
    taps = np.arange(math.ceil(3 * sigma.max()) + 1)[:, None, None, None]
    weights = np.exp(-0.5 * (taps / np.maximum(sigma, 1e-9)) ** 2) * (taps < 3 * sigma + 1)  # each row its own reach
    weights /= 2 * sum(weights) - 1  # in one order, however many taps are zero
    for axis in (2, 3):
        size, reach = image.shape[axis], len(taps) - 1
        wide = image.take(np.clip(np.arange(-reach, size + reach), 0, size - 1), axis)
        image = image * weights[0]
        for tap in range(1, reach + 1):
            below, above = (wide[(slice(None),) * axis + (slice(reach + t, reach + t + size),)] for t in (tap, -tap))
            both = below + above
            both *= weights[tap]
            image += both
    return image
