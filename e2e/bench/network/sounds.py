"""Sounds that are no voice, or not the caller's, made with a random generator: eight seconds each at a mean square of one."""
import numpy as np
from scipy.signal import butter, lfilter

RATE = 16_000
LENGTH = 8 * RATE
TIME = np.arange(LENGTH) / RATE


def rms(sound):
    return float(np.sqrt((sound**2).mean() + 1e-20))


def at_one(sound):
    loud = sound[sound != 0]
    return (sound / max(rms(loud), 1e-6)).astype("f4") if len(loud) else np.zeros(LENGTH, "f4")


def noise(rng, slope):
    """Noise that falls by `slope` x 3 dB an octave: 0 is white, 1 pink, 2 brown; now and then it swells and fades."""
    spectrum = np.fft.rfft(rng.standard_normal(LENGTH))
    spectrum *= np.maximum(np.fft.rfftfreq(LENGTH, 1 / RATE), 40) ** (-slope / 2)
    sound = np.fft.irfft(spectrum, LENGTH)
    if rng.random() < 0.25:
        sound *= 1 + rng.uniform(0, 0.6) * np.sin(2 * np.pi * rng.uniform(0.1, 3) * TIME + rng.uniform(0, 6))
    return at_one(sound)


def cadence(rng, on, off):
    return (TIME + rng.uniform(0, on + off)) % (on + off) < on


def tones(rng):
    """What networks and machines say in tones: ringing, busy, keys, fax, modems, special information."""
    sine = lambda hz: np.sin(2 * np.pi * hz * TIME)
    kind = rng.integers(9)
    if kind == 0:
        on, off = [(1, 4), (1, 3), (2, 4), (0.5, 0.5), (0.25, 0.25), (0.4, 0.2), (50, 1)][rng.integers(7)]
        sound = sine(rng.choice([350, 400, 425, 440, 480])) * cadence(rng, on, off)
    elif kind == 1:
        sound = (sine(440) + sine(480)) * cadence(rng, 2, 4)
    elif kind == 2:
        pause = rng.choice([0.25, 0.5])
        sound = (sine(480) + sine(620)) * cadence(rng, pause, pause)
    elif kind == 3:
        sound = keys(rng)
    elif kind == 4:
        sound = sine(1_100) * cadence(rng, 0.5, 3)
    elif kind == 5:
        sound = sine(2_100) * cadence(rng, 3.3, rng.uniform(0.1, 3))
    elif kind == 6:
        third = (TIME % rng.uniform(1.2, 4)) / 0.33
        sound = sum(sine(hz) * ((third >= n) & (third < n + 1)) for n, hz in enumerate([950, 1_400, 1_800]))
    elif kind == 7:
        high, low = [(1_180, 980), (1_850, 1_650)][rng.integers(2)]
        bits = np.repeat(rng.integers(0, 2, LENGTH // 53 + 1), 53)[:LENGTH]
        sound = np.sin(2 * np.pi * np.cumsum(np.where(bits, high, low)) / RATE)
    else:
        hz = np.exp(rng.uniform(np.log(200), np.log(3_000)))
        wobble = rng.uniform(0, 3) * np.sin(2 * np.pi * rng.uniform(0, 8) * TIME)
        sound = np.sin(2 * np.pi * hz * TIME + wobble) * cadence(rng, rng.uniform(0.1, 2), rng.uniform(0.1, 2))
    return at_one(sound)


def keys(rng):
    sound, at = np.zeros(LENGTH), rng.uniform(0, 1)
    while at < LENGTH / RATE - 0.5:
        length = rng.uniform(0.05, 0.4)
        part = slice(int(at * RATE), int((at + length) * RATE))
        low, high = rng.choice([697, 770, 852, 941]), rng.choice([1_209, 1_336, 1_477, 1_633])
        twist = 10 ** (rng.uniform(-4, 4) / 20)
        sound[part] += np.sin(2 * np.pi * low * TIME[part]) + twist * np.sin(2 * np.pi * high * TIME[part])
        at += length + rng.uniform(0.05, 0.8)
    return sound


def bursts(rng):
    """Typing, breath, coughs, thumps."""
    sound, at = np.zeros(LENGTH), rng.uniform(0, 1.5)
    kind = rng.choice(["keys", "keys", "keys", "breath", "breath", "cough", "cough", "thump"])
    while at < LENGTH / RATE - 1:
        start = int(at * RATE)
        if kind == "keys":
            length = int(rng.uniform(0.002, 0.02) * RATE)
            burst = rng.standard_normal(length) * np.exp(-np.arange(length) / (length / 4)) * rng.uniform(0.3, 3)
            at += rng.uniform(0.05, 0.25) if rng.random() < 0.85 else rng.uniform(0.3, 1.2)
        elif kind == "breath":
            length = int(rng.uniform(0.25, 0.65) * RATE)
            band = butter(2, [rng.uniform(200, 600), rng.uniform(1_500, 3_500)], "band", fs=RATE)
            burst = lfilter(*band, rng.standard_normal(length)) * np.sin(np.pi * np.arange(length) / length) ** 2
            at += rng.uniform(1, 3)
        elif kind == "cough":
            burst = np.concatenate([one_cough(rng) for _ in range(rng.integers(1, 4))])[: RATE - 1]
            at += rng.uniform(0.8, 3)
        else:
            length = int(rng.uniform(0.05, 0.3) * RATE)
            walk = np.cumsum(rng.standard_normal(length))
            burst = (walk - walk.mean()) * np.exp(-np.arange(length) / (length / 3))
            at += rng.uniform(0.4, 2)
        sound[start : start + len(burst)] += burst / max(rms(burst), 1e-6) * rng.uniform(0.5, 1.5)
    return at_one(sound)


def one_cough(rng):
    length, middle = int(rng.uniform(0.08, 0.25) * RATE), rng.uniform(400, 1_500)
    band = butter(1, [middle * 0.6, min(middle * 2.2, 3_800)], "band", fs=RATE)
    burst = lfilter(*band, rng.standard_normal(length)) * np.exp(-np.arange(length) / (length * rng.uniform(0.2, 0.5)))
    return np.concatenate([burst, np.zeros(int(rng.uniform(0.05, 0.25) * RATE))])


def tune(rng):
    """Music by rule: one to three instruments, often drums, often somebody who sings vowels."""
    sound = sum(instrument(rng) for _ in range(rng.integers(1, 4)))
    if rng.random() < 0.5:
        sound = sound + drums(rng) * (rms(sound) + 0.3)
    if rng.random() < 0.35:
        lead = singer(rng)
        sound = sound + lead / max(rms(lead), 1e-6) * max(rms(sound), 0.05) * rng.uniform(0.4, 1.6)
    return at_one(sound)


def instrument(rng):
    sound, at = np.zeros(LENGTH), 0.0
    root, vibrato, depth = rng.uniform(90, 600), rng.uniform(4, 7), rng.choice([0, 0, 0.01, 0.02])
    harmonics, roll_off, attack, decay = rng.integers(1, 12), rng.uniform(0.5, 2), rng.uniform(0.005, 0.15), rng.uniform(0.2, 3)
    while at < LENGTH / RATE - 0.05:
        length = rng.choice([0.15, 0.25, 0.3, 0.5, 0.6, 1.0, 2.0])
        start, end = int(at * RATE), min(LENGTH, int((at + length) * RATE))
        time, hz = np.arange(end - start) / RATE, root * 2 ** (rng.integers(-12, 13) / 12)
        phase = 2 * np.pi * hz * time + depth * hz / vibrato * np.sin(2 * np.pi * vibrato * time)
        partials = (n for n in range(1, harmonics + 1) if n * hz < 7_000)
        note = sum((np.sin(n * phase + rng.uniform(0, 6)) / n**roll_off for n in partials), np.zeros(end - start))
        envelope = np.minimum(time / attack, 1) * np.exp(-time / decay) * np.minimum((time[-1] - time) / 0.02, 1)
        sound[start:end] += note * envelope * rng.uniform(0.3, 1)
        at += length * (1 if rng.random() < 0.85 else 2)
    return sound


def drums(rng):
    sound, beat = np.zeros(LENGTH), 30 / rng.uniform(70, 150)
    for n in range(int(LENGTH / RATE / beat)):
        start = max(0, int(n * beat * RATE + rng.normal(0, 60)))
        time = np.arange(min(int(0.3 * RATE), LENGTH - start)) / RATE
        white = rng.standard_normal(len(time))
        hit = {
            "kick": lambda: 2 * np.sin(2 * np.pi * (50 + 90 * np.exp(-time * 30)) * time) * np.exp(-time * rng.uniform(10, 25)),
            "snare": lambda: white * np.exp(-time * rng.uniform(12, 40)) + 0.6 * np.sin(380 * np.pi * time) * np.exp(-time * 30),
            "hat": lambda: 0.5 * np.diff(white, prepend=0) * np.exp(-time * rng.uniform(30, 90)),
            "rest": lambda: 0 * time,
        }[rng.choice(["kick", "snare", "hat", "rest"])]
        sound[start : start + len(time)] += hit() * rng.uniform(0.4, 1.5)
    return sound


def singer(rng):
    sound, at, root = np.zeros(LENGTH), 0.0, rng.uniform(120, 420)
    while at < LENGTH / RATE - 0.1:
        length = rng.choice([0.25, 0.5, 0.5, 0.75, 1.0, 1.5])
        start, end = int(at * RATE), min(LENGTH, int((at + length) * RATE))
        time, hz = np.arange(end - start) / RATE, root * 2 ** (rng.choice([-5, -3, -1, 0, 0, 2, 4, 5, 7]) / 12)
        vibrato = 1 + rng.uniform(0.003, 0.012) * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * time)
        phase = 2 * np.pi * np.cumsum(hz * vibrato) / RATE
        first, second = rng.uniform(300, 800), rng.uniform(900, 2_300)
        loud = lambda f: 1 / (1 + ((f - first) / 150) ** 2) + 0.6 / (1 + ((f - second) / 200) ** 2)
        note = sum((loud(n * hz) + 0.15 / n) * np.sin(n * phase) for n in range(1, int(3_600 / hz)))
        sound[start:end] = note * np.minimum(time / 0.04, 1) * np.minimum((time[-1] - time) / 0.06 + 0.02, 1)
        at += length * (1 if rng.random() < 0.9 else 2)
    return sound
