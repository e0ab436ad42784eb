"""Every loss once more, as its docstring and its paper write it: loops over samples, pairs and triplets of scalars.

A reference takes student and teacher as `Rows` (lists of lists of float64 scalars), the labels as a list and the loss's
parameters, and returns a list of N scalars; torch's scalars are used so that autograd gives the reference's gradient.
What a docstring calls a constant is detached here, too. Losses with layers of their own get their parameters as `own`.
"""

import cmath
import math
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F


class Rows(NamedTuple):
    """Embeddings z and logits l: a list of scalars for each sample."""

    z: list
    l: list  # noqa: E741


def rows(x):
    """(N, D) -> N lists of D scalars, still part of the graph."""
    return [list(row.unbind()) for row in x.unbind()]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def minus(a, b):
    return [x - y for x, y in zip(a, b, strict=True)]


def square(a):
    return dot(a, a)


def length(a):
    return square(a).sqrt()


def scaled(a):
    size = length(a)
    return [x / size for x in a]


def cos(a, b):
    return dot(a, b) / (length(a) * length(b))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def softmax(logits, temperature=1.0):
    exps = [(x / temperature).exp() for x in logits]
    return [e / sum(exps) for e in exps]


def kl(p, q):
    return sum(a * (a / b).log() for a, b in zip(p, q, strict=True))


def without(values, y):
    return values[:y] + values[y + 1 :]


def huber(x):
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def centred(a):
    middle = mean(a)
    return [x - middle for x in a]


def pearson(a, b):
    return cos(centred(a), centred(b))


def standardised(a):
    """Mean 0 and population standard deviation 1."""
    deviations = centred(a)
    spread = mean(x * x for x in deviations).sqrt()
    return [x / spread for x in deviations]


def linear(weight, bias, x):
    return [dot(row, x) + b for row, b in zip(weight, bias, strict=True)]


def perceptron(own, x):
    hidden = linear(rows(own["connector.0.weight"]), own["connector.0.bias"], x)
    hidden = [h if h > 0 else 0 * h for h in hidden]
    return linear(rows(own["connector.2.weight"]), own["connector.2.bias"], hidden)


# Feature level, one sample at a time.


def l2(s, t, y, normalise=True):
    shape = scaled if normalise else list
    return [square(minus(shape(a), shape(b))) for a, b in zip(s.z, t.z, strict=True)]


def distance(s, t, y, normalise=True):
    return [value.sqrt() for value in l2(s, t, y, normalise)]


def cosine(s, t, y):
    return [1 - cos(a, b) for a, b in zip(s.z, t.z, strict=True)]


def angular(s, t, y):
    return [cos(a, b).acos() for a, b in zip(s.z, t.z, strict=True)]


def hint(s, t, y):
    return [mean(x * x for x in minus(a, b)) for a, b in zip(s.z, t.z, strict=True)]


def fd(s, t, y, cut=0.5):
    """Parts of the mean squared error of standardised rows: over all D frequencies, where D − k is k."""
    values = []
    for a, b in zip(s.z, t.z, strict=True):
        gap = minus(standardised(a), standardised(b))
        width = len(gap)
        low = high = 0
        for k in range(width):
            turns = [cmath.exp(-2j * math.pi * k * d / width) / math.sqrt(width) for d in range(width)]
            real, imaginary = dot([w.real for w in turns], gap), dot([w.imag for w in turns], gap)
            energy = (real * real + imaginary * imaginary) / width
            if min(k, width - k) < round(cut * (width // 2 + 1)):
                low = low + energy
            else:
                high = high + energy
        values.append(low + (1 + high).log() if cut < 1 else low)
    return values


def simkd(s, t, y, own):
    return [mean(x * x for x in minus(perceptron(own, a), b)) for a, b in zip(s.z, t.z, strict=True)]


def vid(s, t, y, own):
    variances = [(1 + raw.exp()).log() + 1e-5 for raw in own["raw_variance"]]  # the released code's floor
    values = []
    for a, b in zip(s.z, t.z, strict=True):
        gaps = minus(b, perceptron(own, a))
        values.append(mean((v.log() + g * g / v) / 2 for g, v in zip(gaps, variances, strict=True)))
    return values


# Classifier level, one sample at a time.


def teacher_head(s, t, y, weight, scale=16.0):
    return [-softmax([scale * cos(w, a) for w in rows(weight)])[c].log() for a, c in zip(s.z, y, strict=True)]


def srrl(s, t, y, own, weight, scale=16.0, beta=1.0):
    values = []
    for a, b in zip(s.z, t.z, strict=True):
        z = perceptron(own, a)
        gaps = [scale * cos(w, z) - scale * cos(w, b) for w in rows(weight)]
        values.append(mean(x * x for x in minus(z, b)) + beta * mean(g * g for g in gaps))
    return values


def centres(s, t, y, weight, student_weight):
    return [1 - cos(rows(student_weight)[c], rows(weight)[c]) for c in y]


def kd(s, t, y, temperature=4.0):
    pairs = zip(s.l, t.l, strict=True)
    return [temperature**2 * kl(softmax(b, temperature), softmax(a, temperature)) for a, b in pairs]


def dkd(s, t, y, alpha=1.0, beta=8.0, temperature=4.0):
    values = []
    for a, b, c in zip(s.l, t.l, y, strict=True):
        own_s, own_t = softmax(a, temperature)[c], softmax(b, temperature)[c]
        others_s, others_t = softmax(without(a, c), temperature), softmax(without(b, c), temperature)
        target = kl([own_t, 1 - own_t], [own_s, 1 - own_s])
        values.append(temperature**2 * (alpha * target + beta * kl(others_t, others_s)))
    return values


def nkd(s, t, y, gamma=1.5, temperature=1.0):
    values = []
    for a, b, c in zip(s.l, t.l, y, strict=True):
        others_s, others_t = softmax(without(a, c), temperature), softmax(without(b, c), temperature)
        cross_entropy = -sum(q * p.log() for p, q in zip(others_s, others_t, strict=True))
        values.append(-softmax(b)[c] * softmax(a)[c].log() + gamma * temperature**2 * cross_entropy)
    return values


def wsld(s, t, y, temperature=2.0):
    values = []
    for a, b, c, divergence in zip(s.l, t.l, y, kd(s, t, y, temperature), strict=True):
        ratio = -softmax(a)[c].log() / max(-softmax(b)[c].log(), 1e-7)
        values.append((1 - (-ratio).exp()).detach() * divergence)
    return values


def kendall(a, b):
    """Agreeing less disagreeing pairs, as a share of all pairs; a tie is neither."""
    pairs = [(j, k) for j in range(len(a)) for k in range(j)]
    signs = [torch.sign(a[j] - a[k]) * torch.sign(b[j] - b[k]) for j, k in pairs]
    return mean(signs) if signs else 1.0


def ntkl(s, t, y, threshold=0.0, temperature=1.0):
    values = []
    for a, b, c in zip(s.l, t.l, y, strict=True):
        others_s, others_t = without(a, c), without(b, c)
        divergence = temperature**2 * kl(softmax(others_t, temperature), softmax(others_s, temperature))
        values.append(divergence if kendall(others_s, others_t) > threshold else 0 * divergence)
    return values


def logit_margin(s, t, y, class_margin=0.0):
    values = []
    for a, b in zip(s.l, t.l, strict=True):
        gaps = [abs(x) for x in minus(standardised(a), standardised(b))]
        values.append(mean(g - class_margin if g > class_margin else 0 * g for g in gaps))
    return values


def rank(s, t, y, k=5, gap=0.0):
    values = []
    for a, b in zip(s.l, t.l, strict=True):
        favourites = sorted(range(len(b)), key=lambda c, b=b: -b[c])[:k]
        pairs = [(high, low) for high in favourites for low in favourites if b[high] > b[low]]
        shortfalls = [gap + a[low] - a[high] for high, low in pairs]
        values.append(mean(x if x > 0 else 0 * x for x in shortfalls) if pairs else 0 * sum(a))
    return values


# Relations: samples are compared with each other.


def dist(s, t, y, beta=1.0, gamma=1.0, temperature=1.0):
    p_s, p_t = ([softmax(row, temperature) for row in side.l] for side in (s, t))
    size, classes = len(p_s), len(p_s[0])
    units = []
    for p in (p_s, p_t):
        units.append([scaled(centred([row[c] for row in p])) for c in range(classes)])
    values = []
    for i in range(size):
        columns = sum((units[0][c][i] - units[1][c][i]) ** 2 for c in range(classes)) * size / (2 * classes)
        values.append(temperature**2 * (beta * (1 - pearson(p_s[i], p_t[i])) + gamma * columns))
    return values


def mlld(s, t, y, temperatures=(2.0, 3.0, 4.0, 5.0, 6.0)):
    size, classes = len(s.l), len(s.l[0])
    values = [0] * size
    for temperature in temperatures:
        p_s, p_t = ([softmax(row, temperature) for row in side.l] for side in (s, t))
        q_s, q_t = ([[row[c] for row in p] for c in range(classes)] for p in (p_s, p_t))
        between_classes = sum(
            (dot(q_s[c], q_s[d]) - dot(q_t[c], q_t[d])) ** 2 for c in range(classes) for d in range(classes)
        )
        for i in range(size):
            between_samples = sum((dot(p_s[i], p_s[j]) - dot(p_t[i], p_t[j])) ** 2 for j in range(size))
            divergence = temperature**2 * kl(p_t[i], p_s[i])
            values[i] = values[i] + divergence + between_samples + between_classes / classes
    return values


def apart(a, b):
    """Distance; for equal rows 0 with no gradient."""
    gap = minus(a, b)
    return length(gap) if any(gap) else torch.zeros(())


def rkd_distance(s, t, y):
    size = len(s.z)
    gaps = []
    for side in (s, t):
        far = [[apart(a, b) for b in side.z] for a in side.z]
        middle = mean(d for row in far for d in row if d > 0)
        gaps.append([[d / middle for d in row] for row in far])
    return [mean(huber(gaps[0][i][j] - gaps[1][i][j]) for j in range(size)) for i in range(size)]


def angle(z, i, j, k):
    """Cosine of the angle at i between j and k; 0 where a side has no length."""
    sides = minus(z[j], z[i]), minus(z[k], z[i])
    return cos(*sides) if all(map(any, sides)) else torch.zeros(())


def rkd_angle(s, t, y):
    indices = range(len(s.z))
    return [mean(huber(angle(s.z, i, j, k) - angle(t.z, i, j, k)) for j in indices for k in indices) for i in indices]


def sp(s, t, y):
    g_s, g_t = ([scaled([dot(a, b) for b in side.z]) for a in side.z] for side in (s, t))
    return [square(minus(a, b)) / len(g_s) for a, b in zip(g_s, g_t, strict=True)]


def cc(s, t, y):
    indices = range(len(s.z))
    return [mean((dot(s.z[i], s.z[j]) - dot(t.z[i], t.z[j])) ** 2 for j in indices) for i in indices]


def gram(s, t, y, form="gram"):
    s, t = (Rows([scaled(a) for a in side.z], []) for side in (s, t))
    return cc(s, t, y) if form == "gram" else procrustes(s, t)


def procrustes(s, t):
    """‖ŝ_i Q − t̂_i‖²; the narrower side is filled up with zeros, so that Q is a rotation (or reflection)."""
    width = max(len(s.z[0]), len(t.z[0]))
    z_s, z_t = ([[*a, *[torch.zeros(())] * (width - len(a))] for a in side.z] for side in (s, t))
    q = polar(np.array([[x.item() for x in a] for a in z_s]).T @ np.array([[x.item() for x in a] for a in z_t]))
    turned = [[dot(a, column) for column in q.T.tolist()] for a in z_s]
    return [square(minus(a, b)) for a, b in zip(turned, z_t, strict=True)]


def polar(m):
    """The orthogonal factor of M = Q·√(MᵀM); a direction that M does not reach is turned into any that is left."""
    squares, right = np.linalg.eigh(m.T @ m)
    left = m @ right
    for k in np.argsort(-squares):
        if squares[k] > 1e-12 * squares.max():
            left[:, k] /= math.sqrt(squares[k])
            continue
        done = [j for j in range(len(squares)) if squares[j] > squares[k] or (squares[j] == squares[k] and j < k)]
        rest = np.eye(len(m)) - left[:, done] @ left[:, done].T
        best = rest[:, np.argmax(np.linalg.norm(rest, axis=0))]
        left[:, k] = best / np.linalg.norm(best)
    return left @ right.T


def pkt(s, t, y, form="paper"):
    size = len(s.z)
    p = []
    for side in (s, t):
        kernel = [[(1 + cos(a, b)) / 2 if a is not b or form == "code" else None for b in side.z] for a in side.z]
        p.append([[None if k is None else k / sum(x for x in row if x is not None) for k in row] for row in kernel])
    values = []
    for p_s, p_t in zip(*p, strict=True):
        value = sum(b * (b / a).log() for a, b in zip(p_s, p_t, strict=True) if a is not None)
        values.append(value / size if form == "code" else value)
    return values


def infonce(s, t, y, temperature=0.07, symmetric=False):
    scores = [[cos(a, b) / temperature for b in t.z] for a in s.z]
    values = [-softmax(row)[i].log() for i, row in enumerate(scores)]
    if not symmetric:
        return values
    back = [-softmax([row[i] for row in scores])[i].log() for i in range(len(scores))]
    return [(a + b) / 2 for a, b in zip(values, back, strict=True)]


class Contrast:
    """CRD with its memory: call it batch after batch; each call is one in training mode."""

    def __init__(self, memory=4096, temperature=0.07):
        self.size, self.temperature = memory, temperature
        self.memory = []  # (student, teacher, label), the newest batch first
        self.z = [None, None]

    def __call__(self, s, t, y, own):
        g_s = [scaled(linear(rows(own["student_map.weight"]), own["student_map.bias"], a)) for a in s.z]
        g_t = [scaled(linear(rows(own["teacher_map.weight"]), own["teacher_map.bias"], b)) for b in t.z]
        there = self.contrast(0, g_s, g_t, y, [entry[1] for entry in self.memory])
        back = self.contrast(1, g_t, g_s, y, [entry[0] for entry in self.memory])
        stored = [[x.detach() for x in a] for a in g_s], [[x.detach() for x in b] for b in g_t], y
        self.memory = (list(zip(*stored, strict=True)) + self.memory)[: self.size]
        return [a + b for a, b in zip(there, back, strict=True)]

    def contrast(self, direction, anchors, others, y, remembered):
        candidates = list(zip(others + remembered, y + [entry[2] for entry in self.memory], strict=True))
        scores = [[dot(a, b) / self.temperature for b, c in candidates if c != y[i]] for i, a in enumerate(anchors)]
        pool = [u.detach().exp() for row in scores for u in row]
        if self.z[direction] is None and pool:
            self.z[direction] = mean(pool)
        values = []
        for anchor, other, negatives in zip(anchors, others, scores, strict=True):
            offset = self.z[direction].log() + math.log(len(negatives)) if negatives else 0
            own_pair = dot(anchor, other) / self.temperature - offset
            values.append(F.softplus(-own_pair) + sum(F.softplus(u - offset) for u in negatives))
        return values


def crd(s, t, y, own, memory=4096, temperature=0.07):
    return Contrast(memory, temperature)(s, t, y, own)


EVERY = [l2, distance, cosine, angular, hint, fd, simkd, vid, teacher_head, srrl, centres, kd, dkd, nkd, wsld, ntkl]
EVERY += [logit_margin, rank, dist, mlld, rkd_distance, rkd_angle, sp, cc, gram, pkt, infonce, crd]
REFERENCES = {function.__name__: function for function in EVERY}


def reference(name, student, teacher, labels, own=None, **params):
    """Values (N,) of the loss called `name`, with the graph of the student and of `own` parameters."""
    sides = [Rows(rows(side.embedding), rows(side.logits)) for side in (student, teacher)]
    if own:
        params["own"] = own
    values = REFERENCES[name](*sides, labels.tolist(), **params)
    return torch.stack(values)
