"""Weights and pictures from a seed, the same bits everywhere, so that another system's outputs can be kept without
them: SplitMix64 over a key that is the SHA-256 of "seed:name"."""

from __future__ import annotations

import hashlib
import json

import numpy as np

SAMPLES = 2000


def unit(seed, name, count):
    """`count` numbers in [0, 1), float64, multiples of 2**-24."""
    key = np.frombuffer(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "<u8")
    z = key + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)) * 2.0**-24


def between(low, high, seed, name, shape):
    """Uniform numbers in [low, high), float32."""
    return (low + (high - low) * unit(seed, name, int(np.prod(shape)))).astype(np.float32).reshape(shape)


def state(shapes, *, seed=0):
    """Random weights and random BatchNorm statistics for a state dict of these {name: shape}; counters left out."""
    found = {}
    for name, shape in shapes.items():
        stem, _, leaf = name.rpartition(".")
        normalises = f"{stem}.running_mean" in shapes
        if leaf == "num_batches_tracked":
            continue
        if leaf == "running_mean":
            low, high = -0.3, 0.3
        elif leaf == "running_var" or (leaf == "weight" and normalises):
            low, high = 0.5, 1.5
        elif leaf == "bias":
            low, high = (-0.5, 0.5) if normalises else (-0.2, 0.2)
        else:  # the variance 1 / fan_in, in heads, where nothing is added up, 2 / fan_in
            high = ((3 if name.startswith(("backbone.", "encoder.")) else 6) / np.prod(shape[1:])) ** 0.5
            low = -high
        found[name] = between(low, high, seed, name, shape)
    return found


def picture(height, width, *, seed=0):
    """A normalised image (1, 3, height, width), float32: patches of colour under noise."""
    patches = between(-2, 2, seed, "patches", (1, 3, height // 16 + 1, width // 16 + 1))
    smooth = patches.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
    return smooth + between(-0.5, 0.5, seed, "noise", smooth.shape)


def places(size, *, seed=0):
    """The places of the flattened outputs that are kept."""
    return np.floor(unit(seed, "places", SAMPLES) * size).astype(np.int64)


def record(path, *, shapes, outputs, picture, **facts):
    """Write what a system gave for `state(shapes)` and `picture(*picture)`, with what else is to be known."""
    described = json.dumps({"shapes": shapes, "picture": picture, "outputs": outputs.shape, **facts})
    kept = outputs.ravel()[places(outputs.size)].astype(np.float32)
    np.savez_compressed(path, described=described, kept=kept, deviation=outputs.std())
