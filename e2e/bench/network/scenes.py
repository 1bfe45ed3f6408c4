"""Eight seconds of a telephone line each: a caller or none, and what lies behind; described as the network sees it.

`scenes.py MATERIAL PART SEED COUNT OUT` writes COUNT scenes of PART (`train` or `test`; a speaker or a piece of music is in one of
them only) to OUT: `features` [COUNT, 500, FEATURES], `voice` [COUNT, 500]: 1 the caller speaks, 0 not, 0.5 not to be judged.
"""
import pickle
import sys

import numpy as np
from scipy.signal import butter, lfilter, resample_poly, sosfilt

from features import RATE, describe, high_pass
from sounds import LENGTH, bursts, noise, rms, tones, tune

# Told apart by level, 8 ms each: loud sounds of a voice, its weak ends, and what is neither.
STEP = 128
VOICE_DB, WEAK_DB = -27, -40
# Gaps in a voice up to here belong to it: 96 ms.
GAP_STEPS = 12
# Who is kept for the test.
TEST_VOICES = [
    "asterisk/sounds/it_IT_m_Carlo", "asterisk/sounds/es_MX_f_Allison", "asterisk/sounds/fr", "klettres/hu", "klettres/he", "klettres/ml",
    "ktuberling/sounds/el", "ktuberling/sounds/da", "ktuberling/sounds/sl", "pocketsphinx",
]
TEST_MUSIC_EACH = 6

_line = [butter(order, band, "band", fs=RATE, output="sos") for order, band in [(3, [300, 3_400]), (3, [300, 3_400]), (2, [250, 3_700])]]


def gain(db):
    return 10 ** (db / 20)


def part_of(material, part):
    voices = {name: said for name, said in material["voices"].items() if (name in TEST_VOICES) == (part == "test")}
    names = sorted(material["music"])
    kept = set(names[::TEST_MUSIC_EACH])
    music = [sound for name, sound in material["music"].items() if (name in kept) == (part == "test")]
    return voices, music


def mu_law(sound):
    """Through G.711 and back, at 8 kHz."""
    pressed = np.sign(sound) * np.log1p(255 * np.abs(np.clip(sound, -1, 1))) / np.log(256)
    pressed = (np.round(pressed * 127.5 - 0.5) + 0.5) / 127.5
    return np.sign(pressed) * (256 ** np.abs(pressed) - 1) / 255


def step_levels(sound):
    steps = sound[: len(sound) // STEP * STEP].reshape(-1, STEP)
    return 10 * np.log10((steps**2).mean(1) + 1e-12)


class Scenes:
    def __init__(self, voices, music, rng):
        self.voices, self.music, self.rng = voices, music, rng
        people = [name for name in voices if not name.startswith("espeak")]
        # Those with much to say more often: else a few words would be heard again and again.
        many = [name for name in people if sum(map(len, voices[name])) > 60 * RATE]
        self.speakers = people + 3 * many + [name for name in voices if name.startswith("espeak")]

    def clip(self, speaker):
        """Something that the speaker says, at a level of -20 dBFS where it is loud."""
        rng, said = self.rng, self.voices[speaker]
        sound = said[rng.integers(len(said))]
        levels = step_levels(sound)
        loud = np.percentile(levels, 95)
        spoken = np.flatnonzero(levels > loud - 34)
        if len(spoken) > 3:
            sound = sound[max(0, spoken[0] * STEP - 480) : (spoken[-1] + 1) * STEP + 480]
        if len(sound) > 6 * RATE:
            start = int(rng.integers(0, len(sound) - 5 * RATE))
            sound = sound[start : start + 5 * RATE]
        return sound / max(gain(loud), 1e-4) * 0.1 * gain(rng.normal(0, 1.5))

    def talk(self, without_pause=False):
        """One speaker for the whole scene, and what each step is."""
        rng = self.rng
        speaker = self.speakers[rng.integers(len(self.speakers))]
        sound, voice = np.zeros(LENGTH, "f4"), np.zeros(LENGTH // STEP, "f4")
        at = 0 if without_pause or rng.random() < 0.25 else int(rng.uniform(0, 3) * RATE)
        while (at := at // STEP * STEP) < LENGTH - RATE // 8:
            clip = self.clip(speaker)[: LENGTH - at]
            clip = clip[: len(clip) // STEP * STEP].copy()
            clip[:160] *= np.linspace(0, 1, min(160, len(clip)))
            sound[at : at + len(clip)] += clip
            levels = step_levels(clip)
            kinds = np.where(levels > VOICE_DB - 20, 1, np.where(levels > WEAK_DB - 20, 0.5, 0))
            voice[at // STEP : at // STEP + len(kinds)] = kinds
            at += len(clip) + int(RATE * (rng.uniform(0, 0.25) if without_pause or rng.random() < 0.55 else rng.uniform(0.3, 2.5)))
        spoken = np.flatnonzero(voice == 1)
        for one, next_one in zip(spoken, spoken[1:]):
            if next_one - one <= GAP_STEPS:
                voice[one:next_one] = 1
        return sound, voice

    def babble(self, people):
        rng = self.rng
        sound = sum(self.talk(without_pause=True)[0] * gain(rng.normal(0, 2)) for _ in range(people))
        if rng.random() < 0.4:
            echo = rng.standard_normal(RATE // 4) * np.exp(-np.arange(RATE // 4) / (RATE * rng.uniform(0.03, 0.12)))
            echo[0] += 3
            sound = np.convolve(sound, echo)[:LENGTH]
        return sound / rms(sound)

    def piece(self):
        rng = self.rng
        if rng.random() < 0.4:
            return tune(rng)
        sound = self.music[rng.integers(len(self.music))]
        sound = np.tile(sound, LENGTH // len(sound) + 1)
        start = rng.integers(0, len(sound) - LENGTH + 1)
        part = sound[start : start + LENGTH]
        return part / rms(part) if rms(part) > 1e-3 else tune(rng)

    def behind(self, kind, near, level):
        """What lies behind a caller of `level` dBFS, or alone on the line."""
        rng = self.rng
        below = lambda low, high, alone_low, alone_high: gain(
            max(-75, level - rng.uniform(low, high)) if near else rng.uniform(alone_low, alone_high))
        if kind == "noise":
            return noise(rng, rng.choice([0, 1, 2, rng.uniform(-0.5, 2)])) * below(3, 35, -62, -24)
        if kind == "babble":
            people = int(rng.choice([2, 3, 4, 5, 6, 6, 8, 12]))
            nearest = {2: 12, 3: 7}.get(people, 5)
            return self.babble(people) * below(nearest, 42, -62, -34 if people <= 3 else -24)
        if kind == "music":
            return self.piece() * below(8, 35, -45, -10)
        if kind == "tones":
            return tones(rng) * below(12, 30, -40, -8)
        if kind == "bursts":
            return bursts(rng) * below(0, 25, -48, -16)
        return np.zeros(LENGTH, "f4")

    def scene(self):
        rng = self.rng
        near = rng.random() < 0.66
        level = rng.uniform(-32, -12) if rng.random() < 0.62 else rng.uniform(-49, -34)
        sound, voice = self.talk() if near else (np.zeros(LENGTH, "f4"), np.zeros(LENGTH // STEP, "f4"))
        if rng.random() < 0.2:
            tilted = lfilter([1, rng.uniform(-0.7, 0.5)], [1], sound)
            sound = tilted / max(rms(tilted), 1e-6) * rms(sound)
        sound = sound * 10 * gain(level)
        kinds, shares = zip(*[
            ("none", 0.14), ("noise", 0.14), ("babble", 0.26), ("music", 0.3), ("tones", 0.04), ("bursts", 0.07), ("two", 0.05)])
        kind = rng.choice(kinds, p=shares)
        kind = "bursts" if kind == "none" and not near else kind
        several = ["noise", rng.choice(["babble", "music", "tones", "bursts"])] if kind == "two" else [kind]
        for one in several:
            heard = self.behind(one, near, level)
            if one == "tones" and near and rng.random() < 0.7:
                # One after the other, and then as loud as networks send them.
                silent = np.convolve(np.repeat(voice, STEP), np.ones(4_000) / 4_000, "same") < 0.01
                heard = tones(rng) * silent * gain(rng.uniform(-32, -10))
            sound = sound + heard
        hiss = min(rng.uniform(-90, -58), level - 15 if near else 0)
        sound = sound + rng.standard_normal(LENGTH) * gain(hiss)
        if rng.random() < 0.7:
            sound = sosfilt(_line[rng.integers(len(_line))], sound)
        if rng.random() < 0.78:
            sound = resample_poly(mu_law(resample_poly(sound, 1, 2)), 2, 1)
        features, _ = describe(high_pass(sound))
        # A frame is seen with the half of the one before.
        pairs = voice[: 2 * len(features)].reshape(-1, 2)
        loudest = np.maximum(pairs.max(1), np.concatenate([[0], pairs[:-1, 1]]) / 2)
        return features, np.where(pairs.max(1) == 1, 1, np.where(loudest >= 0.5, 0.5, 0))


def main(material, part, seed, count, out):
    with open(material, "rb") as file:
        voices, music = part_of(pickle.load(file), part)
    scenes = Scenes(voices, music, np.random.default_rng(int(seed)))
    features, voice = zip(*(scenes.scene() for _ in range(int(count))))
    np.savez(out, features=np.stack(features).astype("f2"), voice=np.stack(voice).astype("f2"))


if __name__ == "__main__":
    main(*sys.argv[1:])
