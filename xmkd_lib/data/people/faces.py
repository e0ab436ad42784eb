"""Faces drawn from bent, tapered ellipses with soft edges: legible at 48 pixels, and larger."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from xmkd_lib.data.people.canvas import Canvas, Ellipse, Pose, blur
from xmkd_lib.data.people.traits import ageing, femininity

# Lengths are in half image widths, x to the right, y downwards, (0, 0) the middle of the head. Colours: RGB in [0, 1].
# One FaceSession or Look holds numbers; `_together` makes one of many, whose fields are columns of (n, 1, 1).
Colour = np.ndarray
_SKIN = np.array([(0.36, 0.23, 0.17), (0.62, 0.42, 0.31), (0.87, 0.66, 0.53), (0.98, 0.84, 0.75)])
_HAIR = np.array([(0.08, 0.06, 0.06), (0.27, 0.17, 0.11), (0.52, 0.36, 0.19), (0.88, 0.73, 0.43)])
_EYES = np.array([(0.24, 0.13, 0.07), (0.42, 0.30, 0.14), (0.30, 0.45, 0.30), (0.30, 0.50, 0.72)])
_GREY = np.array([0.80, 0.80, 0.81])
_WHITE = np.array([0.97, 0.96, 0.95]).reshape(3, 1, 1, 1)
_DARK = np.array([0.10, 0.07, 0.07]).reshape(3, 1, 1, 1)
_RAISED = 0.04  # the head's middle above the image's


class FaceSession(NamedTuple):
    """What differs between photographs of a person, and is kept as ground truth."""

    blur: float  # sd in 1/48 of the image's width
    light: float  # gain
    noise: float  # sd of the sensor's noise, which is uniform
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
    light, light_x, light_y, warmth, x, y, roll, yaw, scale, smile, gap, brow = rng.standard_normal(12).tolist()
    shades, hue, clothes = np.split(rng.uniform(size=8), (2, 5))
    return FaceSession(
        blur=rng.uniform(*blur),
        light=math.exp(0.12 * light),
        noise=rng.uniform(0.01, 0.04),
        light_x=0.10 * light_x,
        light_y=0.08 * light_y,
        warmth=0.04 * warmth,
        shift_x=0.04 * x,
        shift_y=0.04 * y,
        roll=0.06 * roll,
        yaw=_clip(0.35 * yaw, -1, 1),
        scale=1.12 * math.exp(0.05 * scale),
        smile=_clip(0.35 + 0.5 * smile, -0.6, 1.3),
        mouth_open=max(0.0, 0.6 * gap),
        brow_raise=brow,
        backdrop=0.25 + 0.6 * shades[:, None] + 0.2 * (hue - 0.5),
        clothes=0.15 + 0.65 * clothes,
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
    grey = _clip((age - 0.45) * 2.2, 0, 0.92)
    skin = _along(_SKIN, 0.62 + 0.24 * traits["skin"]) * (1 + 0.03 * traits["undertone"] * np.array([0.3, 0, -0.8]))
    hair = _along(_HAIR, 0.38 + 0.26 * traits["hair_dark"])
    hair = hair + max(0.0, traits["hair_red"] - 0.3) * 0.16 * np.array([1.3, 0.1, -0.3])
    return Look(
        woman=woman,
        age=age,
        width=0.475 * (1 + 0.075 * size - 0.03 * woman - 0.03 * traits["face_length"]),
        height=0.60 * (1 + 0.03 * size - 0.02 * woman + 0.04 * traits["face_length"]),
        taper=_clip(0.26 + 0.09 * woman + 0.06 * traits["chin"] - 0.05 * size, 0.02, 0.5),
        square=_clip(0.35 - 0.25 * woman + 0.18 * traits["jaw"], 0, 0.85),
        neck=0.24 * (1 + 0.16 * size - 0.15 * woman),
        shoulders=0.74 * (1 + 0.13 * size - 0.08 * woman),
        skin=np.clip(skin, 0, 1),
        hair=np.clip(hair, 0, 1) * (1 - grey) + _GREY * grey,
        iris=_along(_EYES, 0.45 + 0.3 * traits["eye_colour"]),
        lip=np.clip(skin * (0.92, 0.62 - 0.06 * woman, 0.62 - 0.04 * woman) + (0.04 + 0.05 * woman, 0, 0), 0, 1),
        blush=_clip(0.18 + 0.08 * woman + 0.1 * traits["cheeks"], 0, 0.5),
        hair_length=_clip(0.42 + 0.42 * woman + 0.2 * traits["hair_length"], 0, 1),
        hair_volume=0.05 + 0.02 * woman + 0.018 * traits["hair_volume"],
        hairline=-0.40 + 0.05 * traits["hairline"] - 0.20 * man * max(0.0, age - 0.35),
        parting=(0.08 - 0.03 * woman) * traits["parting"],
        fringe=1.5 + 1.2 * woman - 0.9 * man * age,
        beard=_clip(man * (0.35 + 0.5 * traits["beard"]), 0, 0.9),
        eye=(
            *(0.20 + 0.016 * traits["eye_distance"] + 0.008 * size, -0.05 + 0.018 * traits["eye_height"]),
            *(0.103 + 0.010 * traits["eye_size"] + 0.006 * woman, 0.07 * traits["eye_tilt"]),
        ),
        brow=(0.026 - 0.009 * woman + 0.005 * traits["brow"], 0.035 + 0.02 * woman + 0.018 * traits["brow_arch"]),
        nose=(0.17 + 0.022 * traits["nose_length"], 0.080 - 0.008 * woman + 0.014 * traits["nose_width"]),
        mouth=(
            0.325 + 0.018 * traits["mouth_height"],
            0.165 + 0.020 * traits["mouth_width"],
            0.030 + 0.006 * woman + 0.008 * traits["lips"] - 0.008 * age,
        ),
    )


def render(
    people: Sequence[Look], sessions: Sequence[FaceSession], rngs: Sequence[np.random.Generator], size: int
) -> np.ndarray:
    """A photograph of each (n, 3, size, size), uint8: the last bits, in which processors differ, vanish."""
    who, session = _together(people), _together(sessions)
    top, bottom = session.backdrop.swapaxes(0, 1)
    image = top + (bottom - top) * (np.arange(size)[:, None] / size) + np.zeros(size)
    pose = Pose(session.shift_x, session.shift_y - _RAISED, session.roll, session.scale, session.yaw)
    canvas = Canvas(image, pose)
    for draw in (_hair_behind, _body, _head, _eyes, _nose, _mouth, _hair_front):
        draw(canvas, who, session)
    _light(canvas.image, session)
    image = blur(canvas.image, session.blur * (size / 48))
    grain = np.stack([rng.random((3, size, size)) for rng in rngs], axis=1)  # normal would take four times as long
    grain -= 0.5
    grain *= math.sqrt(12) * session.noise
    image += grain
    np.clip(image, 0, 1, out=image)
    image *= 255
    return np.rint(image, out=image).astype(np.uint8).swapaxes(0, 1)


def _together(rows: Sequence) -> NamedTuple:
    """One tuple of columns (n, 1, 1); of vectors, columns (k, n, 1, 1)."""
    return type(rows[0])(*(np.array(column).T[..., None, None] for column in zip(*rows, strict=True)))


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _along(palette: np.ndarray, position: float) -> Colour:
    """The colour at a position in [0, 1] along a palette."""
    place = _clip(position, 0, 1) * (len(palette) - 1)
    left = min(int(place), len(palette) - 2)
    return palette[left] + (palette[left + 1] - palette[left]) * (place - left)


def _tint(colour: Colour, red: float, green: float, blue: float) -> Colour:
    return colour * _column(red, green, blue)


def _column(red: float, green: float, blue: float) -> Colour:
    return np.array([red, green, blue]).reshape(3, 1, 1, 1)


def _hair_behind(canvas: Canvas, who: Look, session: FaceSession) -> None:
    reach = who.height * 0.92 + 0.50 * who.hair_length
    width = who.width + who.hair_volume + 0.06 * who.hair_length
    shape = Ellipse(0, -who.height - who.hair_volume + reach, width, reach, square=0.75 * who.hair_length)
    canvas.draw(shape, who.hair * 0.78)


def _body(canvas: Canvas, who: Look, session: FaceSession) -> None:
    chin = who.height
    with canvas.window(0, chin + 0.1, 1, 0.7) as part:
        part.draw(Ellipse(0, chin, who.neck, 0.34, square=0.8), who.skin * 0.86)
        part.draw(Ellipse(0, chin - 0.02, who.neck, 0.12, depth=0.02), who.skin * 0.68, 0.7, soft=0.1)
    with canvas.window(0, chin + 0.55, 2, 0.7) as part:
        part.draw(Ellipse(0, chin + 0.55, who.shoulders, 0.42, square=0.6), session.clothes)
        part.draw(Ellipse(0, chin + 0.13, who.neck * 0.95, 0.08), who.skin * 0.82)


def _head(canvas: Canvas, who: Look, session: FaceSession) -> None:
    for side in (-1, 1):
        with canvas.window(side * who.width, 0.02, 0.3, 0.4) as part:
            part.draw(Ellipse(side * who.width, 0.02, 0.065, 0.12, depth=-0.04), who.skin * 0.85)
    outline = _outline(canvas, who)
    canvas.paint(outline, who.skin * 0.83)
    canvas.paint(outline - 0.06, who.skin, soft=0.16)
    for side in (-1, 1):
        with canvas.window(side * who.width * 0.58, 0.17, 0.5, 0.45, depth=0.05) as part:
            cheek = Ellipse(side * who.width * 0.58, 0.17, 0.13, 0.10, depth=0.05)
            part.draw(cheek, _tint(who.skin, 1.0, 0.72, 0.70), who.blush, soft=0.1)
    _age_marks(canvas, who)
    _beard(canvas, who, session, outline)


def _outline(canvas: Canvas, who: Look) -> np.ndarray:
    """Distance to the head's outline: a round skull, and a jaw as square as the person's (the same at y = 0)."""
    square = who.square * (canvas.y > 0)
    return canvas.distance(Ellipse(0, 0, who.width, who.height, square=square, taper=who.taper))


def _age_marks(canvas: Canvas, who: Look) -> None:
    crease, strength = who.skin * 0.55, np.maximum(0, who.age - 0.35) * 0.95
    with canvas.window(0, -0.31, 0.75, 0.4, depth=0.05) as part:
        for row in (0, 1):
            line = Ellipse(0, -0.27 - 0.075 * row, 0.22, 0.010, bend=-0.02, depth=0.05)
            part.draw(line, crease, strength, soft=0.015)
    for side in (-1, 1):
        fold = Ellipse(side * 0.19, 0.23, 0.012, 0.13, angle=-side * 0.45, depth=0.06)
        x, y, *_ = who.eye
        bag = Ellipse(side * x, y + 0.10, 0.10, 0.014, bend=0.025, depth=0.06)
        with canvas.window(side * 0.19, 0.17, 0.6, 0.65, depth=0.06) as part:
            part.draw(fold, crease, strength, soft=0.02)
            part.draw(bag, crease, strength, soft=0.02)


def _beard(canvas: Canvas, who: Look, session: FaceSession, outline: np.ndarray) -> None:
    x = canvas.x - 0.06 * session.yaw
    below = canvas.y - (who.mouth[0] - 0.10 - 1.3 * (x * x - 0.03))
    canvas.paint(np.minimum(outline + 0.02, below), who.hair * 0.9, who.beard * (who.beard > 0.03), soft=0.04)


def _eyes(canvas: Canvas, who: Look, session: FaceSession) -> None:
    x, y, radius, tilt = who.eye
    thickness, arch = who.brow
    open_ = radius * (1 - 0.12 * session.smile)
    height = y - 0.155 - 0.018 * session.brow_raise
    for side in (-1, 1):
        about = partial(Ellipse, side * x, angle=-side * tilt, depth=0.07)
        lid = about(y - 0.60 * open_, radius * 1.2, 0.014 + 0.006 * who.woman, bend=-0.6 * open_)
        with canvas.window(side * x, y - 0.06, 0.55, 0.6, depth=0.07) as part:
            part.draw(about(y - 0.01, radius * 1.5, radius * 1.15), who.skin * 0.70, 0.35, soft=0.08)
            part.draw(about(y, radius * 1.15, 0.66 * open_), _WHITE)
            part.draw(about(y, radius * 0.56, radius * 0.62), who.iris)
            part.draw(about(y, radius * 0.27, radius * 0.30), _DARK)
            part.draw(Ellipse(side * x - 0.02, y - 0.022, 0.016, 0.016, depth=0.07), _WHITE, 0.9)
            part.draw(lid, _DARK, 0.75 + 0.2 * who.woman, soft=0.01)
            part.draw(about(height, radius * 1.3, thickness, bend=-arch), who.hair * 0.62, 0.9, soft=0.01)


def _nose(canvas: Canvas, who: Look, session: FaceSession) -> None:
    length, width = who.nose
    tip = who.eye[1] + 0.05 + length
    with canvas.window(0, tip - 0.08, 0.45, 0.6, depth=0.11) as part:
        bridge = Ellipse(width * 0.45, tip - length * 0.55, 0.022, length * 0.62, depth=0.11)
        part.draw(bridge, who.skin * 0.75, 0.55, soft=0.05)
        part.draw(Ellipse(0, tip, width, 0.055, depth=0.12), who.skin * 0.80, 0.75, soft=0.03)
        part.draw(Ellipse(0, tip - 0.015, width * 0.6, 0.04, depth=0.12), who.skin * 1.05, soft=0.04)
        for side in (-1, 1):
            part.draw(Ellipse(side * width * 0.55, tip + 0.03, 0.022, 0.014, depth=0.11), who.skin * 0.4, 0.8)


def _mouth(canvas: Canvas, who: Look, session: FaceSession) -> None:
    y, width, lips = who.mouth
    width, gap = width * (1 + 0.14 * session.smile), 0.045 * session.mouth_open
    shape = partial(Ellipse, 0, bend=0.06 * session.smile, depth=0.08)
    with canvas.window(0, y + 0.02, 0.8, 0.5, depth=0.08) as part:
        upper = part.distance(shape(y - gap * 0.4, width * 0.95, lips * 0.85 + gap))
        lower = part.distance(shape(y + lips * 0.7 + gap * 0.6, width * 0.78, lips * 1.15 + gap))
        opening = part.distance(shape(y + gap * 0.5, width * 0.88, 0.009 + gap))
        teeth = part.distance(shape(y, width * 0.62, 0.002 + gap * 0.45))
        part.paint(np.maximum(upper, lower), who.lip)
        part.paint(opening, who.lip * 0.35)
        part.paint(np.minimum(teeth, opening), _WHITE, 1.0 * (gap > 0.02))


def _hair_front(canvas: Canvas, who: Look, session: FaceSession) -> None:
    volume = who.hair_volume
    cap = Ellipse(0, -0.04, who.width + 0.8 * volume, who.height - 0.02 + volume, square=0.2)
    x = canvas.x - 0.05 * session.yaw
    strands = who.hairline + who.fringe * (x - who.parting) ** 2
    strands = np.minimum(np.minimum(strands, _eye_free(x, who)), 0.25 + 0.5 * who.hair_length)
    canvas.paint(np.minimum(canvas.distance(cap), strands - canvas.y), who.hair)
    with canvas.window(-0.15, -who.height + 0.06, 0.8, 0.4) as part:
        gleam = part.distance(Ellipse(-0.15, -who.height + 0.03, 0.24, 0.07, bend=-0.06))
        gleam = np.minimum(gleam, part.distance(cap))
        part.paint(gleam, np.minimum(who.hair * 1.35 + 0.04, 1), 0.6, soft=0.08)


def _eye_free(x: np.ndarray, who: Look) -> np.ndarray:
    """How low hair may hang: to the brows above an eye, steeply lower beside it."""
    eye, y, radius, _ = who.eye
    return y - 0.13 + 4 * np.maximum(np.abs(x) - (eye + 1.15 * radius), 0)


def _light(image: np.ndarray, session: FaceSession) -> None:
    """Gain, a gradient over the image, and a tint."""
    grid = np.linspace(-1, 1, image.shape[-1])
    image *= session.light * (1 + session.light_x * grid + session.light_y * grid[:, None])
    image *= 1 + session.warmth * _column(1, 0, -1)
