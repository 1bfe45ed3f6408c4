#!/usr/bin/env python3
"""Prints what is said in WAV files: a JSON object from file name to text, or to one text for each channel of a stereo
file with --channels. Exit status 1 when a file cannot be read."""

import argparse
import array
import io
import json
import sys
import wave

import wav
from recogniser import Recogniser


def channels(data: bytes) -> list[bytes]:
    """Each channel of a WAV as a WAV of its own."""
    with wave.open(io.BytesIO(data)) as file:
        count, rate = file.getnchannels(), file.getframerate()
        samples = array.array("h", file.readframes(file.getnframes()))
    return [wav.write(samples[index::count], rate) for index in range(count)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="WAV")
    parser.add_argument("--channels", action="store_true", help="a list of texts, one for each channel")
    parser.add_argument("--from", dest="start", type=float, default=0.0, metavar="S", help="begin here, in seconds")
    parser.add_argument("--to", dest="end", type=float, default=None, metavar="S", help="end here, in seconds")
    parser.add_argument("--general", action="store_true", help="with the general English language model")
    options = parser.parse_args()
    recogniser = Recogniser(options.general)

    def text(data: bytes) -> str:
        samples, rate = wav.read(data)
        end = len(samples) if options.end is None else int(options.end * rate)
        return recogniser.text(samples[int(options.start * rate) : end], rate)

    texts = {}
    for path in options.files:
        try:
            with open(path, "rb") as file:
                data = file.read()
            texts[path] = [text(channel) for channel in channels(data)] if options.channels else text(data)
        except (OSError, ValueError, wave.Error) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
    print(json.dumps(texts, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
