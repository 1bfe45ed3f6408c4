"""Trains the network on scenes and writes it for the pod.

`train.py SECONDS KEPT TEST.npz TRAIN.npz...` trains for so long, goes on from KEPT where it exists, and keeps the result there.
`train.py export KEPT` writes dataplane/src/audio/vad/network/{weights.bin,scores.txt}.
"""
import pickle
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from features import FEATURES, RATE, describe

UNITS = 32
FRAMES = 400
BATCH = 192
FASTEST = 3e-3
POD = Path(__file__).parents[3] / "dataplane/src/audio/vad/network"


def begin(seed=0):
    rng = np.random.default_rng(seed)
    within = lambda inputs, outputs: jnp.array(rng.uniform(-1, 1, (inputs, outputs)) / np.sqrt(inputs), "f4")
    gru = lambda: {"input": within(UNITS, 3 * UNITS), "state": within(UNITS, 3 * UNITS), "bias": jnp.zeros(3 * UNITS), "candidate": jnp.zeros(UNITS)}
    return {
        "enter": within(FEATURES, UNITS), "enter_bias": jnp.zeros(UNITS), "first": gru(), "second": gru(),
        "leave": within(2 * UNITS, 1)[:, 0], "leave_bias": jnp.zeros(1),
    }


def step(weights, inputs, state):
    """A gated recurrent unit; its gates stand side by side: update, reset, candidate."""
    given, kept = inputs @ weights["input"] + weights["bias"], state @ weights["state"]
    update, reset = (jax.nn.sigmoid(given[..., at : at + UNITS] + kept[..., at : at + UNITS]) for at in (0, UNITS))
    new = jnp.tanh(given[..., 2 * UNITS :] + reset * (kept[..., 2 * UNITS :] + weights["candidate"]))
    return new + update * (state - new)


def run(weights, features):
    """`features` [frames, scenes, FEATURES], normalised. Gives the score before the sigmoid, [frames, scenes]."""
    entered = jnp.tanh(features @ weights["enter"] + weights["enter_bias"])

    def frame(states, inputs):
        first = step(weights["first"], inputs, states[0])
        second = step(weights["second"], first, states[1])
        return (first, second), jnp.concatenate([first, second], -1) @ weights["leave"] + weights["leave_bias"][0]

    silent = jnp.zeros((features.shape[1], UNITS))
    return jax.lax.scan(frame, (silent, silent), entered)[1]


def loss(weights, features, voice):
    score, judged = run(weights, features), voice != 0.5
    entropy = jnp.maximum(score, 0) - score * voice + jnp.log1p(jnp.exp(-jnp.abs(score)))
    return (entropy * judged).sum() / judged.sum()


@jax.jit
def improve(weights, means, squares, count, rate, features, voice):
    """A step of Adam with bounded gradients."""
    value, gradients = jax.value_and_grad(loss)(weights, features, voice)
    length = jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradients)))
    gradients = jax.tree.map(lambda leaf: leaf * jnp.minimum(1, 1 / length), gradients)
    means = jax.tree.map(lambda mean, leaf: 0.9 * mean + 0.1 * leaf, means, gradients)
    squares = jax.tree.map(lambda square, leaf: 0.99 * square + 0.01 * leaf**2, squares, gradients)
    move = lambda weight, mean, square: weight - rate * (mean / (1 - 0.9**count)) / (jnp.sqrt(square / (1 - 0.99**count)) + 1e-8)
    return jax.tree.map(move, weights, means, squares), means, squares, value


def read(files):
    scenes = [np.load(file) for file in files]
    return np.concatenate([scene["features"] for scene in scenes]), np.concatenate([scene["voice"] for scene in scenes])


def train(seconds, kept, test, files):
    features, voice = read(files)
    if kept.exists():
        mean, spread, weights = pickle.loads(kept.read_bytes())
        weights = jax.tree.map(jnp.array, weights)
    else:
        some = features[::7].astype("f4").reshape(-1, FEATURES)
        mean, spread, weights = some.mean(0), some.std(0) + 1e-3, begin()
    seen = lambda part: jnp.array(((part.astype("f4") - mean) / spread).transpose(1, 0, 2))
    means = squares = jax.tree.map(jnp.zeros_like, weights)
    rng, began, count, losses = np.random.default_rng(1), time.monotonic(), 0, []
    while (gone := (time.monotonic() - began) / seconds) < 1:
        count += 1
        which, start = rng.integers(0, len(features), BATCH), rng.integers(0, features.shape[1] - FRAMES + 1)
        part = slice(start, start + FRAMES)
        rate = FASTEST * min(1, count / 50) * (0.01 + 0.49 * (1 + np.cos(np.pi * gone)))
        weights, means, squares, value = improve(
            weights, means, squares, float(count), rate, seen(features[which, part]), jnp.array(voice[which, part].astype("f4").T))
        losses.append(float(value))
        if count % 100 == 0:
            print(f"step {count}, {gone:.0%}: loss {np.mean(losses[-100:]):.4f}", flush=True)
    kept.write_bytes(pickle.dumps((mean, spread, jax.tree.map(np.array, weights))))
    features, voice = read([test])
    score = np.array(jax.jit(run)(weights, seen(features))).T
    for share in (0.005, 0.01, 0.02, 0.05):
        found = (score[voice == 1] > np.quantile(score[voice == 0], 1 - share)).mean()
        print(f"at {share:.1%} of the rest called voice, {found:.1%} of the voice is found")


def export(kept):
    mean, spread, weights = pickle.loads(kept.read_bytes())
    parts = [mean, 1 / spread, weights["enter"], weights["enter_bias"]]
    for gru in (weights["first"], weights["second"]):
        gates = [slice(at, at + UNITS) for at in (0, UNITS, 2 * UNITS)]
        parts += [part for gate in gates for part in (gru["input"][:, gate], gru["bias"][gate])]
        biases = [np.zeros(UNITS), np.zeros(UNITS), gru["candidate"]]
        parts += [part for gate, bias in zip(gates, biases) for part in (gru["state"][:, gate], bias)]
    parts += [weights["leave"], weights["leave_bias"]]
    np.concatenate([np.asarray(part, "<f4").ravel() for part in parts]).tofile(POD / "weights.bin")
    # The sound of the pod's own test, and what the network says of it.
    time_, phase = np.arange(2 * RATE) / RATE, 0
    phase = np.cumsum((140 + 30 * np.sin(5 * time_)) / RATE)
    swell = (1 - np.cos(8 * np.pi * time_)) / 2
    sound = 0.05 * swell * sum(np.sin(2 * np.pi * phase * n) / n for n in range(1, 12))
    features, _ = describe(sound.astype("f4"))
    score = run(jax.tree.map(jnp.array, weights), jnp.array((features - mean) / spread)[:, None])
    lines = (f"{value:.5f}\n" for value in np.asarray(jax.nn.sigmoid(score))[:, 0])
    (POD / "scores.txt").write_text("".join(lines))


if __name__ == "__main__":
    if sys.argv[1] == "export":
        export(Path(sys.argv[2]))
    else:
        train(float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
