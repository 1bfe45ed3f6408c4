"""WAV in and out, levels and rates, for the speech servers of the end-to-end tests. Standard library only; it never
recognises or speaks anything."""

import array
import io
import math
import struct
import sys
import wave
from operator import mul

ENGINE_RATE_HZ = 16_000
# Half the length of the resampling filter, in samples of the slower rate.
HALF_TAPS = 16


def read(data: bytes) -> tuple[array.array, int]:
    """The samples of a 16-bit PCM WAV, mixed to mono, and their rate. Raises ValueError for anything else."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError, struct.error) as error:
        raise ValueError(f"not a WAV file: {error}") from error
    if width != 2 or not 8_000 <= rate <= 192_000:
        raise ValueError(f"16-bit PCM at 8 kHz or more expected, got {8 * width} bits at {rate} Hz")
    samples = array.array("h", frames[: len(frames) // (2 * channels) * 2 * channels])
    if sys.byteorder == "big":
        samples.byteswap()
    if channels > 1:
        mixed = (sum(samples[i : i + channels]) // channels for i in range(0, len(samples), channels))
        samples = array.array("h", mixed)
    return samples, rate


def write(samples: array.array, rate: int) -> bytes:
    """A mono 16-bit WAV."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return out.getvalue()


def resample(samples: array.array, source_hz: int, target_hz: int) -> array.array:
    """Samples at another rate, through a windowed-sinc filter below half of the slower rate."""
    if source_hz == target_hz:
        return samples
    step = math.gcd(source_hz, target_hz)
    up, down = target_hz // step, source_hz // step
    cutoff = 0.94 * min(1.0, up / down)
    half = math.ceil(HALF_TAPS / cutoff)
    phases = []
    for phase in range(up):
        taps = []
        for n in range(-half + 1, half + 1):
            t = n - phase / up
            sinc = cutoff if t == 0 else math.sin(math.pi * cutoff * t) / (math.pi * t)
            taps.append(sinc * (0.5 + 0.5 * math.cos(math.pi * t / (half + 1))))
        gain = sum(taps)
        phases.append([tap / gain for tap in taps])
    padded = [0] * half + list(samples) + [0] * (half + 1)
    out = array.array("h")
    for index in range(len(samples) * up // down):
        at, phase = divmod(index * down, up)
        value = sum(map(mul, phases[phase], padded[at + 1 : at + 1 + 2 * half]))
        out.append(max(-32_768, min(32_767, round(value))))
    return out


def level(samples: array.array, target_dbfs: float = -20.0) -> array.array:
    """Samples brought to `target_dbfs` over what is not silence; by 30 dB at most, and never into clipping."""
    block = 320
    powers = [
        sum(map(mul, samples[i : i + block], samples[i : i + block])) / block
        for i in range(0, len(samples) - block + 1, block)
    ]
    loudest = max(powers, default=0.0)
    active = [power for power in powers if power > loudest / 1_000]
    if not active or loudest < 1:
        return samples
    gain = 32_768 * 10 ** (target_dbfs / 20) / math.sqrt(sum(active) / len(active))
    gain = min(gain, 10 ** (30 / 20), 32_000 / max(1, max(map(abs, samples))))
    return array.array("h", (round(sample * gain) for sample in samples))
