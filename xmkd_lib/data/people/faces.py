"""Faces drawn from bent, tapered ellipses with soft edges: legible at 48 pixels, and larger."""

import copy
import math
from functools import partial
from typing import NamedTuple

import numpy as np

from xmkd_lib.data.people.traits import ageing, femininity

# Lengths are in half image widths, x to the right, y downwards, (0, 0) the middle of the head. Colours: RGB in [0, 1].
Colour = np.ndarray
_SKIN = np.array([(0.36, 0.23, 0.17), (0.62, 0.42, 0.31), (0.87, 0.66, 0.53), (0.98, 0.84, 0.75)])
_HAIR = np.array([(0.08, 0.06, 0.06), (0.27, 0.17, 0.11), (0.52, 0.36, 0.19), (0.88, 0.73, 0.43)])
_EYES = np.array([(0.24, 0.13, 0.07), (0.42, 0.30, 0.14), (0.30, 0.45, 0.30), (0.30, 0.50, 0.72)])
_GREY = np.array([0.80, 0.80, 0.81])
_WHITE = np.array([0.97, 0.96, 0.95])
_DARK = np.array([0.10, 0.07, 0.07])
_RAISED = 0.04  # the head's middle above the image's


class FaceSession(NamedTuple):
    """What differs between photographs of a person, and is kept as ground truth."""

    blur: float  # sd in 1/48 of the image's width
    light: float  # gain
    noise: float  # sd of the sensor's noise
    light_x: float  # brightness gained per half width to the right
    light_y: float
    warmth: float  # red up, blue down
    shift_x: float
    shift_y: float
    roll: float  # radians
    yaw: float  # -1 to 1: a slight turn of the head
    scale: float
    smile: float
    mouth_open: float
    brow_raise: float
    backdrop: np.ndarray  # colours at top and bottom (2, 3)
    clothes: Colour


def draw_session(rng: np.random.Generator, blur: tuple[float, float]) -> FaceSession:
    """A photograph's circumstances; `blur` is the range of the Gaussian's sd in 1/48 of the image's width."""
    normal = rng.standard_normal
    return FaceSession(
        blur=rng.uniform(*blur),
        light=math.exp(0.12 * normal()),
        noise=rng.uniform(0.01, 0.04),
        light_x=0.10 * normal(),
        light_y=0.08 * normal(),
        warmth=0.04 * normal(),
        shift_x=0.04 * normal(),
        shift_y=0.04 * normal(),
        roll=0.06 * normal(),
        yaw=float(np.clip(0.35 * normal(), -1, 1)),
        scale=1.12 * math.exp(0.05 * normal()),
        smile=float(np.clip(0.35 + 0.5 * normal(), -0.6, 1.3)),
        mouth_open=max(0.0, 0.6 * normal()),
        brow_raise=normal(),
        backdrop=0.25 + 0.6 * rng.uniform(size=(2, 1)) + 0.2 * (rng.uniform(size=(1, 3)) - 0.5),
        clothes=0.15 + 0.65 * rng.uniform(size=3),
    )


class Look(NamedTuple):
    """What a face's traits come to: lengths and colours."""

    woman: float  # -1 to 1
    age: float  # 0 to 1
    width: float
    height: float
    taper: float  # towards the chin
    square: float  # the jaw: 0 round to 1
    neck: float
    shoulders: float
    skin: Colour
    hair: Colour
    iris: Colour
    lip: Colour
    blush: float
    hair_length: float  # 0 short to 1 below the shoulders
    hair_volume: float
    hairline: float
    parting: float
    fringe: float  # how steeply the hairline falls to the sides
    beard: float  # opacity
    eye: tuple[float, float, float, float]  # x, y, radius, tilt
    brow: tuple[float, float]  # thickness, arch
    nose: tuple[float, float]  # length, width
    mouth: tuple[float, float, float]  # y, half width, lips


def look(traits: dict[str, float]) -> Look:
    """Traits to a face. Large: wide head, neck and shoulders. Women: narrow jaw, long hair, full lips, thin brows."""
    woman, age, size = femininity(traits), ageing(traits), traits["size"]
    man = (1 - woman) / 2
    grey = float(np.clip((age - 0.45) * 2.2, 0, 0.92))
    skin = _along(_SKIN, 0.62 + 0.24 * traits["skin"]) * (1 + 0.03 * traits["undertone"] * np.array([0.3, 0, -0.8]))
    hair = _along(_HAIR, 0.38 + 0.26 * traits["hair_dark"])
    hair = hair + max(0.0, traits["hair_red"] - 0.3) * 0.16 * np.array([1.3, 0.1, -0.3])
    return Look(
        woman=woman,
        age=age,
        width=0.475 * (1 + 0.075 * size - 0.03 * woman - 0.03 * traits["face_length"]),
        height=0.60 * (1 + 0.03 * size - 0.02 * woman + 0.04 * traits["face_length"]),
        taper=float(np.clip(0.26 + 0.09 * woman + 0.06 * traits["chin"] - 0.05 * size, 0.02, 0.5)),
        square=float(np.clip(0.35 - 0.25 * woman + 0.18 * traits["jaw"], 0, 0.85)),
        neck=0.24 * (1 + 0.16 * size - 0.15 * woman),
        shoulders=0.74 * (1 + 0.13 * size - 0.08 * woman),
        skin=np.clip(skin, 0, 1),
        hair=np.clip(hair, 0, 1) * (1 - grey) + _GREY * grey,
        iris=_along(_EYES, 0.45 + 0.3 * traits["eye_colour"]),
        lip=np.clip(skin * (0.92, 0.62 - 0.06 * woman, 0.62 - 0.04 * woman) + (0.04 + 0.05 * woman, 0, 0), 0, 1),
        blush=float(np.clip(0.18 + 0.08 * woman + 0.1 * traits["cheeks"], 0, 0.5)),
        hair_length=float(np.clip(0.42 + 0.42 * woman + 0.2 * traits["hair_length"], 0, 1)),
        hair_volume=0.05 + 0.02 * woman + 0.018 * traits["hair_volume"],
        hairline=-0.40 + 0.05 * traits["hairline"] - 0.20 * man * max(0.0, age - 0.35),
        parting=(0.08 - 0.03 * woman) * traits["parting"],
        fringe=1.5 + 1.2 * woman - 0.9 * man * age,
        beard=float(np.clip(man * (0.35 + 0.5 * traits["beard"]), 0, 0.9)),
        eye=(
            *(0.20 + 0.016 * traits["eye_distance"] + 0.008 * size, -0.05 + 0.018 * traits["eye_height"]),
            *(0.095 + 0.010 * traits["eye_size"] + 0.006 * woman, 0.07 * traits["eye_tilt"]),
        ),
        brow=(0.026 - 0.009 * woman + 0.005 * traits["brow"], 0.035 + 0.02 * woman + 0.018 * traits["brow_arch"]),
        nose=(0.17 + 0.022 * traits["nose_length"], 0.080 - 0.008 * woman + 0.014 * traits["nose_width"]),
        mouth=(
            0.325 + 0.018 * traits["mouth_height"],
            0.165 + 0.020 * traits["mouth_width"],
            0.030 + 0.006 * woman + 0.008 * traits["lips"] - 0.008 * age,
        ),
    )


def render(who: Look, session: FaceSession, rng: np.random.Generator, size: int) -> np.ndarray:
    """A photograph (3, size, size), uint8: the last bits, in which processors differ, vanish."""
    canvas = Canvas(session, size)
    for draw in (_hair_behind, _body, _head, _age_marks, _beard, _eyes, _nose, _mouth, _hair_front):
        draw(canvas, who, session)
    image = _blur(_light(canvas.image, session), session.blur * size / 48)
    image = image + session.noise * rng.standard_normal(image.shape)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


class Ellipse(NamedTuple):
    """A bent, tapered, more or less square ellipse about (x, y) with half axes rx and ry, in the head's coordinates."""

    x: float
    y: float
    rx: float
    ry: float
    square: float = 0.0  # 0 an ellipse to 1 a rectangle
    taper: float = 0.0  # share of the width lost at the bottom
    bend: float = 0.0  # how far the ends are raised
    angle: float = 0.0  # radians
    depth: float = 0.0  # before the head's axis: how far a full turn of the head moves it


class Layer(NamedTuple):
    """A shape to be painted; `soft` widens its edge beyond one pixel."""

    shape: Ellipse
    colour: Colour
    opacity: float = 1.0
    soft: float = 0.0


class Canvas:
    """An image and the head's coordinates in it: shapes are given in the head's frame, whatever its pose."""

    def __init__(self, session: FaceSession, size: int):
        grid = (np.arange(size) + 0.5) * (2 / size) - 1
        x, y = grid[None, :] - session.shift_x, grid[:, None] + _RAISED - session.shift_y
        cos, sin = math.cos(session.roll) / session.scale, math.sin(session.roll) / session.scale
        self.x, self.y = (cos * x + sin * y).ravel(), (cos * y - sin * x).ravel()
        self.session, self.size = session, size
        self.pixel = 2 / size / session.scale
        top, bottom = session.backdrop[:, :, None, None]
        self.image = top + (bottom - top) * (np.arange(size)[:, None] / size) + np.zeros((3, size, size))

    def crop(self, x: float, y: float, reach_x: float, reach_y: float) -> "Canvas":
        """The part of the whole canvas about a small feature: painting it paints the whole, and is cheap."""
        s = self.session
        cos, sin = math.cos(s.roll) * s.scale, math.sin(s.roll) * s.scale
        lean = abs(sin)
        across = self._pixels(cos * x - sin * y + s.shift_x, cos * reach_x + lean * reach_y)
        down = self._pixels(sin * x + cos * y + s.shift_y - _RAISED, cos * reach_y + lean * reach_x)
        part = copy.copy(self)
        part.image = self.image[:, down, across]
        part.x, part.y = (v.reshape(self.size, -1)[down, across].ravel() for v in (self.x, self.y))
        return part

    def _pixels(self, centre: float, reach: float) -> slice:
        first = math.floor((centre - reach + 1) * self.size / 2)
        last = math.ceil((centre + reach + 1) * self.size / 2)
        return slice(max(first, 0), max(last, 0))

    def distances(self, *shapes: Ellipse) -> np.ndarray:
        """Distance to the outlines (shapes, pixels), positive inside, near enough for soft edges."""
        cx, cy, rx, ry, square, taper, bend, angle, depth = np.array(shapes).T[:, :, None]
        x, y = self.x - (cx + depth * self.session.yaw), self.y - cy
        if any(shape.angle for shape in shapes):
            cos, sin = np.cos(angle), np.sin(angle)
            x, y = cos * x + sin * y, cos * y - sin * x
        u, v = x * (1 / rx), y * (1 / ry)
        if any(shape.taper for shape in shapes):
            u /= 1 - taper * np.minimum(np.maximum(v, 0), 1) ** 2
        u2 = u * u
        if any(shape.bend for shape in shapes):
            v += u2 * (bend / ry)
        v2 = v * v
        if not any(shape.square for shape in shapes):
            return (1 - u2 - v2) / (np.sqrt(u2 * (4 / rx**2) + v2 * (4 / ry**2)) + 1e-9)
        # Fernandez-Guasti's squircle; without the clip its far branches would show in the corners of the image.
        flat_u, flat_v = 1 - square * np.minimum(v2, 1), 1 - square * np.minimum(u2, 1)
        return (1 - u2 - v2 * flat_v) / (2 * np.sqrt((u * flat_u / rx) ** 2 + (v * flat_v / ry) ** 2) + 1e-9)

    def paint(self, distance: np.ndarray, colour: Colour, opacity: float = 1.0, soft: float = 0.0) -> None:
        """Lay a colour over the inside of a shape (pixels,); `soft` widens the edge beyond one pixel."""
        cover = np.minimum(np.maximum(distance * (1 / (self.pixel + soft)) + 0.5, 0), 1) * opacity
        self._lay(cover, colour)

    def draw(self, *layers: Layer) -> None:
        """Paint layers, the first one undermost."""
        distances = self.distances(*(layer.shape for layer in layers))
        edges = np.array([[layer.opacity, 1 / (self.pixel + layer.soft)] for layer in layers])
        covers = np.minimum(np.maximum(distances * edges[:, 1:] + 0.5, 0), 1) * edges[:, :1]
        for cover, layer in zip(covers, layers, strict=True):
            self._lay(cover, layer.colour)

    def _lay(self, cover: np.ndarray, colour: Colour) -> None:
        self.image += cover.reshape(self.image.shape[1:]) * (colour[:, None, None] - self.image)


def _along(palette: np.ndarray, position: float) -> Colour:
    """The colour at a position in [0, 1] along a palette."""
    place = min(max(position, 0), 1) * (len(palette) - 1)
    left = min(int(place), len(palette) - 2)
    return palette[left] + (palette[left + 1] - palette[left]) * (place - left)


def _hair_behind(canvas: Canvas, who: Look, session: FaceSession) -> None:
    reach = who.height * 0.92 + 0.50 * who.hair_length
    width = who.width + who.hair_volume + 0.06 * who.hair_length
    shape = Ellipse(0, -who.height - who.hair_volume + reach, width, reach, square=0.75 * who.hair_length)
    canvas.draw(Layer(shape, who.hair * 0.78))


def _body(canvas: Canvas, who: Look, session: FaceSession) -> None:
    chin = who.height
    canvas.crop(0, chin + 0.55, 1.6, 0.9).draw(
        Layer(Ellipse(0, chin, who.neck, 0.34, square=0.8), who.skin * 0.86),
        Layer(Ellipse(0, chin - 0.02, who.neck, 0.12, depth=0.02), who.skin * 0.68, 0.7, soft=0.1),
        Layer(Ellipse(0, chin + 0.55, who.shoulders, 0.42, square=0.6), session.clothes),
        Layer(Ellipse(0, chin + 0.13, who.neck * 0.95, 0.08), who.skin * 0.82),
    )


def _head(canvas: Canvas, who: Look, session: FaceSession) -> None:
    for side in (-1, 1):
        ear = Ellipse(side * who.width, 0.02, 0.065, 0.12, depth=-0.04)
        canvas.crop(ear.x, ear.y, 0.15, 0.2).draw(Layer(ear, who.skin * 0.85))
    outline = _outline(canvas, who)
    canvas.paint(outline, who.skin * 0.83)
    canvas.paint(outline - 0.06, who.skin, soft=0.16)
    flush = who.skin * np.array([1.0, 0.72, 0.70])
    cheeks = (Ellipse(side * who.width * 0.58, 0.17, 0.13, 0.10, depth=0.05) for side in (-1, 1))
    canvas.crop(0, 0.17, 0.58, 0.22).draw(*(Layer(cheek, flush, who.blush, soft=0.1) for cheek in cheeks))


def _outline(canvas: Canvas, who: Look) -> np.ndarray:
    """Distance to the head's outline: a round skull, and a jaw as square as the person's."""
    shape = Ellipse(0, 0, who.width, who.height, taper=who.taper)
    skull, jaw = canvas.distances(shape, shape._replace(square=who.square))
    return np.maximum(skull, np.minimum(jaw, canvas.y))


def _age_marks(canvas: Canvas, who: Look, session: FaceSession) -> None:
    strength = max(0.0, who.age - 0.35) * 0.95
    if strength == 0:
        return
    crease = who.skin * 0.55
    lines = (Ellipse(0, -0.27 - 0.075 * row, 0.22, 0.010, bend=-0.02, depth=0.05) for row in (0, 1))
    canvas.crop(0, -0.31, 0.35, 0.12).draw(*(Layer(line, crease, strength, soft=0.015) for line in lines))
    for side in (-1, 1):
        fold = Ellipse(side * 0.19, 0.23, 0.012, 0.13, angle=-side * 0.45, depth=0.06)
        bag = Ellipse(side * who.eye[0], who.eye[1] + 0.10, 0.10, 0.014, bend=0.025, depth=0.06)
        marks = (Layer(mark, crease, strength, soft=0.02) for mark in (fold, bag))
        canvas.crop(side * 0.19, 0.17, 0.25, 0.28).draw(*marks)


def _beard(canvas: Canvas, who: Look, session: FaceSession) -> None:
    if who.beard < 0.03:
        return
    canvas = canvas.crop(0, 0.45, 0.8, 0.5)
    outline = _outline(canvas, who) + 0.02
    x = canvas.x - 0.06 * session.yaw
    below = canvas.y - (who.mouth[0] - 0.10 - 1.3 * (x * x - 0.03))
    canvas.paint(np.minimum(outline, below), who.hair * 0.9, who.beard, soft=0.04)


def _eyes(canvas: Canvas, who: Look, session: FaceSession) -> None:
    x, y, radius, tilt = who.eye
    thickness, arch = who.brow
    open_ = radius * (1 - 0.12 * session.smile)
    height = y - 0.155 - 0.018 * session.brow_raise
    for side in (-1, 1):
        about = partial(Ellipse, side * x, angle=-side * tilt, depth=0.07)
        lid = about(y - 0.60 * open_, radius * 1.2, 0.014 + 0.006 * who.woman, bend=-0.6 * open_)
        canvas.crop(side * x, y - 0.06, 0.3, 0.25).draw(
            Layer(about(y - 0.01, radius * 1.5, radius * 1.15), who.skin * 0.70, 0.35, soft=0.08),
            Layer(about(y, radius * 1.15, 0.66 * open_), _WHITE),
            Layer(about(y, radius * 0.56, radius * 0.62), who.iris),
            Layer(about(y, radius * 0.27, radius * 0.30), _DARK),
            Layer(Ellipse(side * x - 0.02, y - 0.022, 0.016, 0.016, depth=0.07), _WHITE, 0.9),
            Layer(lid, _DARK, 0.75 + 0.2 * who.woman, soft=0.01),
            Layer(about(height, radius * 1.3, thickness, bend=-arch), who.hair * 0.62, 0.9, soft=0.01),
        )


def _nose(canvas: Canvas, who: Look, session: FaceSession) -> None:
    length, width = who.nose
    tip = who.eye[1] + 0.05 + length
    bridge = Ellipse(width * 0.45, tip - length * 0.55, 0.022, length * 0.62, depth=0.11)
    nostrils = (Ellipse(side * width * 0.55, tip + 0.03, 0.022, 0.014, depth=0.11) for side in (-1, 1))
    canvas.crop(0, tip - 0.1, 0.28, 0.25).draw(
        Layer(bridge, who.skin * 0.75, 0.55, soft=0.05),
        Layer(Ellipse(0, tip, width, 0.055, depth=0.12), who.skin * 0.80, 0.75, soft=0.03),
        Layer(Ellipse(0, tip - 0.015, width * 0.6, 0.04, depth=0.12), who.skin * 1.05, soft=0.04),
        *(Layer(nostril, who.skin * 0.4, 0.8) for nostril in nostrils),
    )


def _mouth(canvas: Canvas, who: Look, session: FaceSession) -> None:
    y, width, lips = who.mouth
    width, gap = width * (1 + 0.14 * session.smile), 0.045 * session.mouth_open
    part = partial(Ellipse, 0, bend=0.06 * session.smile, depth=0.08)
    canvas = canvas.crop(0, y + 0.02, 0.45, 0.2)
    upper, lower, opening, teeth = canvas.distances(
        part(y - gap * 0.4, width * 0.95, lips * 0.85 + gap),
        part(y + lips * 0.7 + gap * 0.6, width * 0.78, lips * 1.15 + gap),
        part(y + gap * 0.5, width * 0.88, 0.009 + gap),
        part(y, width * 0.62, 0.002 + gap * 0.45),
    )
    canvas.paint(np.maximum(upper, lower), who.lip)
    canvas.paint(opening, who.lip * 0.35)
    if gap > 0.02:
        canvas.paint(np.minimum(teeth, opening), _WHITE)


def _hair_front(canvas: Canvas, who: Look, session: FaceSession) -> None:
    volume = who.hair_volume
    cap = Ellipse(0, -0.04, who.width + 0.8 * volume, who.height - 0.02 + volume, square=0.2)
    gleam = Ellipse(-0.15, -who.height + 0.03, 0.24, 0.07, bend=-0.06)
    cap, gleam = canvas.distances(cap, gleam)
    x = canvas.x - who.parting - 0.05 * session.yaw
    above = np.minimum(who.hairline + who.fringe * x * x, 0.25 + 0.5 * who.hair_length) - canvas.y
    hair = np.minimum(cap, above)
    canvas.paint(hair, who.hair)
    canvas.paint(np.minimum(gleam, hair), np.minimum(who.hair * 1.35 + 0.04, 1), 0.6, soft=0.08)


def _light(image: np.ndarray, session: FaceSession) -> np.ndarray:
    """Gain, a gradient over the image, and a tint."""
    grid = np.linspace(-1, 1, image.shape[-1])
    slope = session.light * (1 + session.light_x * grid[None, :] + session.light_y * grid[:, None])
    return image * slope * np.array([1 + session.warmth, 1.0, 1 - session.warmth])[:, None, None]


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of `sigma` pixels over (3, H, W), edges repeated."""
    reach = math.ceil(3 * sigma)
    if reach == 0:
        return image
    side = [math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(1, reach + 1)]
    total = 1 + 2 * sum(side)
    size = image.shape[-1]
    for _ in range(2):  # down, then across: every pass turns the image
        wide = image[:, np.clip(np.arange(-reach, size + reach), 0, size - 1)]
        image = image / total
        for tap, weight in enumerate(side, start=1):
            below, above = wide[:, reach + tap : reach + tap + size], wide[:, reach - tap : reach - tap + size]
            image += (below + above) * (weight / total)
        image = image.swapaxes(1, 2)
    return image
