"""Speech to text with PocketSphinx's default English sounds, the same for the server and for `recognise.py`. Each
utterance is recognised afresh: the same audio always gives the same text, whatever came before."""

import array
import os
import re
import threading

import language
import wav
from pocketsphinx import Decoder

# Silence around an utterance: the decoder settles on it, and endpointing has cut it away.
MARGIN = array.array("h", bytes(2 * wav.ENGINE_RATE_HZ * 3 // 10))


class Recogniser:
    """One decoder, used by one thread at a time.

    `general`: with the general English language model instead of the tests' own."""

    def __init__(self, general: bool = False) -> None:
        if general:
            self._decoder = Decoder(samprate=wav.ENGINE_RATE_HZ, loglevel="FATAL")
        else:
            path = language.write_model()
            try:
                self._decoder = Decoder(samprate=wav.ENGINE_RATE_HZ, loglevel="FATAL", lm=path)
            finally:
                os.unlink(path)
        self._fresh = self._decoder.get_cmn(False)
        self._lock = threading.Lock()

    def text(self, samples: array.array, rate_hz: int) -> str:
        """The words of an utterance in lower case, or an empty string."""
        samples = wav.level(wav.resample(samples, rate_hz, wav.ENGINE_RATE_HZ))
        audio = (MARGIN + samples + MARGIN).tobytes()
        with self._lock:
            self._decoder.set_cmn(self._fresh)
            self._decoder.start_utt()
            self._decoder.process_raw(audio, full_utt=True)
            self._decoder.end_utt()
            hypothesis = self._decoder.hyp()
        # Pronunciation variants are written "the(2)".
        return re.sub(r"\(\d+\)", "", hypothesis.hypstr).strip() if hypothesis else ""
