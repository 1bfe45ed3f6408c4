"""What the network sees of 16 ms: the same figures as dataplane/src/audio/vad/network/features.rs, for whole recordings at once."""
import numpy as np
from scipy.signal import lfilter

RATE = 16_000
HOP = 256
WINDOW = 2 * HOP
BANDS = 20
FEATURES = BANDS + 4
LOWEST_HZ, HIGHEST_HZ = 100, 3_800
VOICE_BINS = slice(4, 128)
LAGS = np.arange(40, 201)
MIDDLE_LAG = 90

_window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype("f4")
_own = np.fft.irfft(np.abs(np.fft.rfft(_window, 2 * WINDOW)) ** 2)[:WINDOW]
_lag_gain = _own[0] / _own[LAGS]
_scale = 2 / (_own[0] * WINDOW)


def _bands():
    mel = lambda hz: 2_595 * np.log10(1 + hz / 700)
    edges = 700 * (10 ** (np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), BANDS + 2) / 2_595) - 1)
    hz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    bands = [np.clip(np.minimum((hz - low) / (top - low), (high - hz) / (high - top)), 0, None)
             for low, top, high in zip(edges, edges[1:], edges[2:])]
    return np.array([band / band.sum() for band in bands], "f4")


_band_shares = _bands()


def high_pass(sound):
    """The pod's own, 100 Hz: dataplane/src/audio/vad/high_pass.rs."""
    kept = 0.961_496_2
    for _ in range(2):
        sound = lfilter([1, -1], [1, -kept], np.clip(sound, -1, 1))
    return np.clip(sound, -1, 1).astype("f4")


def describe(sound):
    """`sound`: 16 kHz in [-1, 1], behind the high-pass. Gives [frames, FEATURES], and each frame's level in dBFS."""
    count = len(sound) // HOP
    sound = sound[: count * HOP]
    padded = np.concatenate([np.zeros(HOP, "f4"), sound])
    frames = padded[np.arange(count)[:, None] * HOP + np.arange(WINDOW)]
    power = np.abs(np.fft.rfft(frames * _window, axis=1)).astype("f4") ** 2 * _scale
    bands = np.log10(power @ _band_shares.T + 1e-10)
    voice = np.zeros_like(power)
    voice[:, VOICE_BINS] = power[:, VOICE_BINS]
    total = voice.sum(1) + 1e-12
    correlation = np.fft.irfft(voice, axis=1)
    repeats = correlation[:, LAGS] / (correlation[:, :1] + 1e-12 / WINDOW) * _lag_gain
    best = repeats.argmax(1)
    strength = np.clip(repeats[np.arange(count), best], -0.2, 1.5)
    rest = [strength, np.log2(LAGS[best] / MIDDLE_LAG), np.log10(voice.max(1) / total + 1e-3), np.log10(total + 1e-10)]
    level = 10 * np.log10((sound.reshape(count, HOP) ** 2).mean(1) + 1e-12)
    return np.concatenate([bands, np.stack(rest, 1)], 1).astype("f4"), level
